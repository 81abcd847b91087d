/* SPDX-License-Identifier: MIT */
#include "mapfile.h"

#include "auto.h"
#include "caps.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/capability.h>
#include <sys/fsuid.h>

#define HELD (CAPS_BIT(CAP_SETUID) | CAPS_BIT(CAP_SETGID))

/* setfsuid(2) cannot report failure; asking for an invalid uid reads it back. */
static int set_fsuid(uid_t uid)
{
	(void)setfsuid(uid);
	return (uid_t)setfsuid((uid_t)-1) == uid ? 0 : -EPERM;
}

/*
 * Should: leave fsuid as it was, whatever happens.
 * Mustn't: follow a link or leave the /proc/PID it was given.
 *
 * The child is undumpable until its maps are written, lest the caller ptrace
 * it; therefore proc gives its files to root (task_dump_owner() in
 * fs/proc/base.c) and only fsuid 0 may open them for writing. CAP_SETUID, which
 * setfsuid(2) needs, gives no right to any other file: CAP_DAC_OVERRIDE is not
 * permitted, and cap_raise_fs_set() raises only what is.
 */
static int open_map(int proc_fd, const char *name)
{
	int fd, r;

	r = set_fsuid(0);
	if (r < 0)
		return r;
	fd = openat(proc_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		fd = -errno;
	r = set_fsuid(getuid());
	if (r < 0 && fd >= 0) {
		(void)close(fd);
		return r;
	}
	return fd;
}

/*
 * The kernel takes a map in one write(2) or not at all, so a short count is an
 * error. The file is closed before the capabilities are lowered: nothing that
 * was opened with privilege is open without it.
 */
static int write_map(int proc_fd, const char *name, const char *map, size_t len)
{
	auto_close int fd = open_map(proc_fd, name);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = write(fd, map, len);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

static int write_with(uint32_t which, int proc_fd, const char *name, const char *map, size_t len)
{
	int r, lowered;

	r = caps_raise(HELD, which);
	if (r < 0)
		return r;
	r = write_map(proc_fd, name, map, len);
	lowered = caps_lower(HELD);
	return r < 0 ? r : lowered;
}

int mapfile_write_uid(int proc_fd, const char *map, size_t len)
{
	/*
	 * Raise CAP_SETUID: setfsuid(2) to 0 for the open, and
	 * new_idmap_permitted() for the open and the write; lowered in
	 * write_with() right after.
	 */
	return write_with(CAPS_BIT(CAP_SETUID), proc_fd, "uid_map", map, len);
}

int mapfile_write_gid(int proc_fd, const char *map, size_t len)
{
	/*
	 * Raise CAP_SETGID: new_idmap_permitted() for the open and the write;
	 * and CAP_SETUID: setfsuid(2) to 0 for the open. Both lowered in
	 * write_with() right after.
	 */
	return write_with(HELD, proc_fd, "gid_map", map, len);
}
