/* SPDX-License-Identifier: MIT */
#include "dryrun.h"

#include "mounts.h"

#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

static void print_mount(const struct mount *m)
{
	printf("mount %s /%s %s %s%s%s%s%s%s%s\n", m->stage == MOUNT_OUTER ? "outer" : "inner",
	       m->target, m->type ? m->type : m->source, m->type ? "" : "bind,",
	       m->flags & MS_RDONLY ? "ro" : "rw", m->flags & MS_NOSUID ? ",nosuid" : "",
	       m->flags & MS_NODEV ? ",nodev" : "", m->flags & MS_NOEXEC ? ",noexec" : "",
	       m->data ? "," : "", m->data ? m->data : "");
}

void dryrun_print(const struct closure *closure, const struct plan *plan)
{
	printf("machine %s %s\n", plan->name, plan->machine_id);
	printf("inner uid 0 0 65536\ninner gid 0 0 65536\n");
	printf("mount outer / tmpfs rw,nodev,mode=755\n");
	for (size_t i = 0; i < mounts_count; i++)
		print_mount(&mounts[i]);
	for (size_t i = 0; i < mount_devices_count; i++)
		printf("mount outer /dev/%s /dev/%s bind\n", mount_devices[i], mount_devices[i]);
	printf("mount outer /dev/pts devpts rw,nosuid,noexec\n");
	for (char *const *e = plan->env; *e; e++)
		printf("env %s\n", *e);
	printf("exec %s/%s", closure->toplevel,
	       faccessat(closure->fd, "prepare-root", F_OK, 0) == 0 ? "prepare-root" : "init");
	for (char *const *a = plan->args; *a; a++)
		printf(" %s", *a);
	printf("\n");
}
