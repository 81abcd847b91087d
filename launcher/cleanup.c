/* SPDX-License-Identifier: MIT */
#include "cleanup.h"

#include "auto.h"
#include "protocol.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define EMPTY_TIMEOUT_MS 1000

static bool is_dots(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/*
 * Unlink all files of one directory and name its first subdirectory. Control
 * files of a cgroup cannot be unlinked and need not be; @files says if any are.
 *
 * Return: 1 with @ret, 0 if there is no subdirectory, -errno.
 */
static int clear_level(int dir_fd, bool files, char ret[static NAME_MAX + 1])
{
	int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *entry;
	int r = 0;

	if (!dir) {
		r = -errno;
		auto_close_fd(&copy);
		return r;
	}
	while (r == 0 && (entry = readdir(dir))) {
		struct stat st;

		if (is_dots(entry->d_name) ||
		    fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			memcpy(ret, entry->d_name, strlen(entry->d_name) + 1);
			r = 1;
		} else if (files && unlinkat(dir_fd, entry->d_name, 0) < 0) {
			r = -errno;
		}
	}
	(void)closedir(dir);	/* only read */
	return r;
}

/*
 * Down to a directory without subdirectories, up one, remove it, and again: one
 * descriptor and one name, however deep the tree. An emptied parent is found
 * once more from above, as the first subdirectory there.
 */
static int clear_tree(int base_fd, bool files)
{
	auto_close int fd = openat(base_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[NAME_MAX + 1] = "";
	size_t depth = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		char child[NAME_MAX + 1];
		int next, r = clear_level(fd, files, child);

		if (r < 0)
			return r;
		if (r == 0 && depth == 0)
			return 0;
		next = openat(fd, r == 1 ? child : "..",
			      O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return -errno;
		(void)close(fd);	/* only read */
		fd = next;
		if (r == 1) {
			memcpy(name, child, sizeof(name));
			depth++;
			continue;
		}
		depth--;
		/* Its name is known only if we came down into it last. */
		if (name[0] != '\0' && unlinkat(fd, name, AT_REMOVEDIR) < 0)
			return -errno;
		name[0] = '\0';
	}
}

static int remove_tree(int parent_fd, const char *name, bool files)
{
	auto_close int fd = -1;
	int r;

	/* Mostly it is empty. */
	if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = clear_tree(fd, files);
	if (r < 0)
		return r;
	return unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

static int write_to(int dir_fd, const char *path, const char *text)
{
	auto_close int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

/* cgroup.events changes, with POLLPRI, when the last process is gone. */
static int wait_empty(int cgroup_fd)
{
	auto_close int fd = openat(cgroup_fd, CLEANUP_PAYLOAD "/cgroup.events",
				   O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct pollfd p = {.fd = fd, .events = POLLPRI};
	char buf[256];

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n = pread(fd, buf, sizeof(buf) - 1, 0);

		if (n < 0)
			return -errno;
		buf[n] = '\0';
		if (strstr(buf, "populated 0"))
			return 0;
		if (poll(&p, 1, EMPTY_TIMEOUT_MS) <= 0)
			return -EBUSY;
	}
}

int cleanup_payload(int cgroup_fd, int runtime_fd)
{
	int r, export;

	export = remove_tree(runtime_fd, CLEANUP_EXPORT, true);
	/* Mostly there is nobody in it and nothing below it. */
	if (cgroup_fd < 0 || unlinkat(cgroup_fd, CLEANUP_PAYLOAD, AT_REMOVEDIR) == 0 ||
	    errno == ENOENT)
		return export;
	r = write_to(cgroup_fd, CLEANUP_PAYLOAD "/cgroup.kill", "1");
	if (r == 0)
		r = wait_empty(cgroup_fd);
	if (r == 0)
		r = remove_tree(cgroup_fd, CLEANUP_PAYLOAD, false);
	return r < 0 ? r : export;
}

static int remove_runtime(int runtime_fd, const char *name)
{
	auto_close int parent_fd = openat(runtime_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (parent_fd < 0)
		return -errno;
	/* Empty: it has never been the machine's. Else it is gone. */
	(void)unlinkat(runtime_fd, CLEANUP_EXPORT, AT_REMOVEDIR);
	if (unlinkat(runtime_fd, CLEANUP_ROOT, 0) < 0 && errno != ENOENT)
		return -errno;
	if (unlinkat(runtime_fd, CONTROL_SOCKET, 0) < 0 && errno != ENOENT)
		return -errno;
	if (unlinkat(runtime_fd, CLEANUP_LOCK, 0) < 0 && errno != ENOENT)
		return -errno;
	if (unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	/* "nixuser" itself, if this was the last machine in it. */
	auto_close int top_fd = openat(parent_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (top_fd >= 0)
		(void)unlinkat(top_fd, "nixuser", AT_REMOVEDIR);
	return 0;
}

static int remove_cgroup(int cgroup_fd, const char *name)
{
	auto_close int parent_fd = openat(cgroup_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char cgroup[CLEANUP_CGROUP_SIZE];

	if (parent_fd < 0)
		return -errno;
	(void)snprintf(cgroup, sizeof(cgroup), CLEANUP_CGROUP_PREFIX "%s", name); /* sized for it */
	return unlinkat(parent_fd, cgroup, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int cleanup_machine(int cgroup_fd, int runtime_fd, const char *name)
{
	int runtime = remove_runtime(runtime_fd, name);
	int r = cgroup_fd < 0 ? 0 : remove_cgroup(cgroup_fd, name);

	return r < 0 ? r : runtime;
}
