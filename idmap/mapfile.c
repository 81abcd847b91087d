/* SPDX-License-Identifier: MIT */
#include "mapfile.h"

#include "auto.h"
#include "caps.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/capability.h>

#define HELD (CAPS_BIT(CAP_SETUID) | CAPS_BIT(CAP_SETGID))

/*
 * Should: run with exactly one capability effective.
 * Mustn't: follow a link or leave the /proc/PID it was given.
 *
 * The kernel takes a map in one write(2) or not at all, so a short count is an
 * error. The file is closed before the capability is lowered: nothing that was
 * opened with privilege is open without it.
 */
static int write_map(int proc_fd, const char *name, const char *map, size_t len)
{
	auto_close int fd = openat(proc_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n;

	if (fd < 0)
		return -errno;
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
	 * Raise CAP_SETUID: new_idmap_permitted() in kernel/user_namespace.c
	 * wants it of the opener (file_ns_capable()) and of the writer
	 * (ns_capable()), over the parent namespace; lowered in write_with()
	 * right after.
	 */
	return write_with(CAPS_BIT(CAP_SETUID), proc_fd, "uid_map", map, len);
}

int mapfile_write_gid(int proc_fd, const char *map, size_t len)
{
	/* Raise CAP_SETGID: as above, for gid_map; lowered in write_with() right after. */
	return write_with(CAPS_BIT(CAP_SETGID), proc_fd, "gid_map", map, len);
}
