/* SPDX-License-Identifier: MIT */
#include "mounts.h"

#include "auto.h"
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>

const struct mount mounts[] = {
	{MOUNT_OUTER, "nix/store", STORE_DIR, NULL, MS_RDONLY | MS_NOSUID | MS_NODEV, NULL},
	{MOUNT_OUTER, "dev", "tmpfs", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=4m,nr_inodes=4k"},

	{MOUNT_INNER, "proc", "proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL},
	/* Read-only /sys is how systemd knows that devices are not its business. */
	{MOUNT_INNER, "sys", "sysfs", "sysfs", MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL},
	{MOUNT_INNER, "sys/fs/cgroup", "cgroup2", "cgroup2", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL},
	/* Not nosuid: NixOS puts its setuid wrappers into /run/wrappers. */
	{MOUNT_INNER, "run", "tmpfs", "tmpfs", MS_NODEV, "mode=755"},
	{MOUNT_INNER, "tmp", "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"},
	{MOUNT_INNER, "dev/shm", "tmpfs", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777"},
};
const size_t mounts_count = sizeof(mounts) / sizeof(mounts[0]);

const char *const mount_devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
const size_t mount_devices_count = sizeof(mount_devices) / sizeof(mount_devices[0]);

/*
 * mount_setattr(2) adds flags to the clone before anybody can see it, and keeps
 * those that the host's mount has and that are locked here; a remount would have
 * to name them all. Recursive, because the kernel refuses to clone a mount
 * without what is locked below it.
 */
static int bind(const struct mount *m)
{
	struct mount_attr attr = {
		.attr_set = (m->flags & MS_RDONLY ? MOUNT_ATTR_RDONLY : 0) |
			    (m->flags & MS_NOSUID ? MOUNT_ATTR_NOSUID : 0) |
			    (m->flags & MS_NODEV ? MOUNT_ATTR_NODEV : 0),
	};
	auto_close int fd = open_tree(AT_FDCWD, m->source,
				      OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);

	if (fd < 0)
		return -errno;
	if (mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0 ||
	    move_mount(fd, "", AT_FDCWD, m->target, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

static int make(const struct mount *m)
{
	if (!m->type)
		return bind(m);
	return mount(m->source, m->target, m->type, m->flags, m->data) < 0 ? -errno : 0;
}

int mounts_make(enum mount_stage stage, const char **ret_which)
{
	for (size_t i = 0; i < mounts_count; i++) {
		int r;

		if (mounts[i].stage != stage)
			continue;
		r = make(&mounts[i]);
		if (r < 0) {
			*ret_which = mounts[i].target;
			return r;
		}
	}
	return 0;
}
