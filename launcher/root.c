/* SPDX-License-Identifier: MIT */
/*
 * The half of the machine that is made in the outer namespace. Whatever is
 * mounted here the machine's own root can neither unmount, remount nor clone
 * away: it becomes locked when the inner namespace is cloned. Since the root is
 * a fresh tmpfs, no path in it can have been prepared by anybody.
 */
#include "root.h"

#include "auto.h"
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* From here on nothing that is mounted on either side shows on the other. */
static int make_private(const struct machine *machine)
{
	(void)machine;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0;
}

static int make_root(const struct machine *machine)
{
	(void)machine;
	if (mount("nixuser-boot", ROOT_DIR, "tmpfs", MS_NODEV, "mode=755") < 0)
		return -errno;
	return chdir(ROOT_DIR) < 0 ? -errno : 0;
}

/* Mount points, and what holds files of ours; all else is the closure's to make. */
static int make_directories(const struct machine *machine)
{
	static const struct {
		const char *path;
		mode_t mode;
	} dirs[] = {
		{"dev", 0755}, {"etc", 0755}, {"nix", 0755}, {"nix/store", 0755},
		{"proc", 0555}, {"run", 0755}, {"sys", 0555}, {"tmp", 0755},
	};

	(void)machine;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		if (mkdir(dirs[i].path, dirs[i].mode) < 0)
			return -errno;
	}
	return 0;
}

static int make_mounts(const struct machine *machine)
{
	const char *which;

	(void)machine;
	return mounts_make(MOUNT_OUTER, &which);
}

/*
 * mknod(2) is impossible in a user namespace, so the host's nodes are bound.
 * O_EXCL on a fresh tmpfs: the target is the file made here.
 */
static int bind_devices(const struct machine *machine)
{
	(void)machine;
	for (size_t i = 0; i < mount_devices_count; i++) {
		char source[32], target[32];
		int fd;

		(void)snprintf(source, sizeof(source), "/dev/%s", mount_devices[i]);
		(void)snprintf(target, sizeof(target), "dev/%s", mount_devices[i]);
		fd = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd < 0)
			return -errno;
		(void)close(fd);	/* empty */
		if (mount(source, target, NULL, MS_BIND, NULL) < 0)
			return -errno;
	}
	return 0;
}

static int link_devices(const struct machine *machine)
{
	static const struct {
		const char *target, *link;
	} links[] = {
		/* A link and no bind mount: systemd >= 258 then follows it. */
		{"pts/0", "dev/console"},
		{"pts/ptmx", "dev/ptmx"},
		{"/proc/self/fd", "dev/fd"},
		{"/proc/self/fd/0", "dev/stdin"},
		{"/proc/self/fd/1", "dev/stdout"},
		{"/proc/self/fd/2", "dev/stderr"},
	};

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		if (symlink(links[i].target, links[i].link) < 0)
			return -errno;
	}
	if (mkdir("dev/pts", 0755) < 0 || mkdir("dev/shm", 0755) < 0)
		return -errno;
	if (move_mount(machine->ns_fds[WORD_DEVPTS_FD], "", AT_FDCWD, "dev/pts",
		       MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

/*
 * A real file: systemd would make a transient one permanent with a sync(2) of
 * the whole host (systemd-machine-id-commit).
 */
static int write_machine_id(const struct machine *machine)
{
	auto_close int fd = open("etc/machine-id", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);

	if (fd < 0)
		return -errno;
	return dprintf(fd, "%s\n", machine->launch.plan->machine_id) < 0 ? -errno : 0;
}

/* The machine's root gets what delegation means: cgroups(7), "Delegation". */
static int delegate_cgroup(const struct machine *machine)
{
	static const char *const files[] = {
		"cgroup.procs", "cgroup.threads", "cgroup.subtree_control",
	};

	if (fchownat(machine->payload_fd, "", 0, 0, AT_EMPTY_PATH) < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		if (fchownat(machine->payload_fd, files[i], 0, 0, AT_SYMLINK_NOFOLLOW) < 0)
			return -errno;
	}
	return 0;
}

const struct step root_steps[] = {
	{"make the mounts of the outer namespace private", make_private},
	{"mount a tmpfs as the machine's root", make_root},
	{"make the directories of the machine's root", make_directories},
	{"mount the store and /dev", make_mounts},
	{"bind the host's /dev/null, zero, full, random, urandom and tty", bind_devices},
	{"make the links and mounts in /dev", link_devices},
	{"write /etc/machine-id", write_machine_id},
	{"give the cgroup to the machine's root", delegate_cgroup},
};
const size_t root_steps_count = sizeof(root_steps) / sizeof(root_steps[0]);
