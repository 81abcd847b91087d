/* SPDX-License-Identifier: MIT */
#include "cgroup.h"

#include "auto.h"
#include "cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

/* Where cgroup v2 is: alone, or beside v1 as systemd's hybrid layout has it. */
static int open_hierarchy(void)
{
	static const char *const places[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		auto_close int fd = open(places[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		struct statfs fs;

		if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
			return fd_steal(&fd);
	}
	return -ENOENT;
}

int cgroup_open_own(void)
{
	auto_close int proc_fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
	auto_close int top_fd = open_hierarchy();
	char buf[PATH_MAX + 256];	/* v1 hierarchies come first, each with its path */
	char *path;
	ssize_t n;
	int fd;

	if (proc_fd < 0)
		return -errno;
	if (top_fd < 0)
		return top_fd;
	n = read(proc_fd, buf, sizeof(buf) - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	path = strncmp(buf, "0::/", 4) == 0 ? buf : strstr(buf, "\n0::/");
	if (!path)
		return -ENOENT;
	path = strchr(path, '/') + 1;
	path[strcspn(path, "\n")] = '\0';
	fd = openat(top_fd, path[0] ? path : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

bool cgroup_is_writable(int own_fd)
{
	return faccessat(own_fd, ".", W_OK | X_OK, 0) == 0 &&
	       faccessat(own_fd, "cgroup.procs", W_OK, 0) == 0;
}

bool cgroup_is_delegated(int own_fd)
{
	char value = '0';

	return fgetxattr(own_fd, "user.delegate", &value, 1) == 1 && value == '1' &&
	       cgroup_is_writable(own_fd);
}

static int make(int parent_fd, const char *name)
{
	int fd;

	if (mkdirat(parent_fd, name, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int cgroup_make(int own_fd, const char *name)
{
	auto_close int machine_fd = -1, payload_fd = -1;
	char dir[CLEANUP_CGROUP_SIZE];

	(void)snprintf(dir, sizeof(dir), CLEANUP_CGROUP_PREFIX "%s", name);	/* sized for it */
	machine_fd = make(own_fd, dir);
	if (machine_fd < 0)
		return machine_fd;
	payload_fd = make(machine_fd, CLEANUP_PAYLOAD);
	return payload_fd < 0 ? payload_fd : fd_steal(&machine_fd);
}
