/* SPDX-License-Identifier: MIT */
#include "gcroot.h"

#include "auto.h"
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define GCROOTS_DIR STATE_DIR "/gcroots"
#define PROFILES_DIR STATE_DIR "/profiles"

/* glibc has no wrapper for openat2(2) before 2.43. */
static int open_beneath(int dir_fd, const char *name, uint64_t resolve)
{
	struct open_how how = {
		.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | resolve,
	};

	return (int)syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
}

static enum refusal refuse_errno(void)
{
	switch (errno) {
	case ENOENT:
	case ENOTDIR:
		return REFUSED_LINK_MISSING;
	case ELOOP:
		return REFUSED_LINK_PARENT_SYMLINK;
	case ENAMETOOLONG:
		return REFUSED_LINK_LONG;
	default:
		return REFUSED_LINK_UNREADABLE;
	}
}

/*
 * The links of proc are the kernel's: /proc/PID/fd/N reads as whatever its owner
 * opens next. A registered root there would mean anything at any time.
 */
static bool is_proc(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) < 0 || fs.f_type == PROC_SUPER_MAGIC;
}

/* G2, for one directory that is already open. */
static enum refusal check_directory(int fd, uid_t caller)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return REFUSED_LINK_UNREADABLE;
	if (S_ISLNK(st.st_mode))
		return REFUSED_LINK_PARENT_SYMLINK;
	if (!S_ISDIR(st.st_mode))
		return REFUSED_LINK_MISSING;
	if (st.st_uid != 0 && st.st_uid != caller)
		return REFUSED_LINK_PARENT_FOREIGN;
	/* The group bits are also where an ACL shows what it grants. */
	if (st.st_mode & (S_IWGRP | S_IWOTH) && !(st.st_mode & S_ISVTX))
		return REFUSED_LINK_PARENT_WRITABLE;
	return REFUSED_NOT;
}

/*
 * G1 and G2: walk from / to the directory of the link, one component at a time,
 * so that what was checked is what is used. The last component stays a name.
 */
static enum refusal open_parent(const char *link, uid_t caller, int *ret_fd,
				char ret_name[static NAME_MAX + 1])
{
	auto_close int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *p = link;

	if (fd < 0)
		return REFUSED_LINK_UNREADABLE;
	if (*p != '/')
		return REFUSED_LINK_ABSOLUTE;
	for (;;) {
		size_t len = strcspn(++p, "/");
		enum refusal r = check_directory(fd, caller);
		int next;

		if (r != REFUSED_NOT)
			return r;
		if (len > NAME_MAX)
			return REFUSED_LINK_LONG;
		memcpy(ret_name, p, len);
		ret_name[len] = '\0';
		if (len == 0 || strcmp(ret_name, ".") == 0 || strcmp(ret_name, "..") == 0)
			return REFUSED_LINK_ABSOLUTE;
		p += len;
		if (*p == '\0')
			break;
		next = open_beneath(fd, ret_name, 0);
		if (next < 0)
			return refuse_errno();
		(void)close(fd);	/* O_PATH: nothing to lose */
		fd = next;
	}
	if (is_proc(fd))
		return REFUSED_LINK_PROC;
	*ret_fd = fd_steal(&fd);
	return REFUSED_NOT;
}

/* G3 and the reading of G4. */
static enum refusal read_link(int dir_fd, const char *name, uid_t caller, char *ret, size_t size)
{
	auto_close int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	ssize_t len;

	if (fd < 0)
		return refuse_errno();
	if (fstat(fd, &st) < 0)
		return REFUSED_LINK_UNREADABLE;
	if (S_ISDIR(st.st_mode))
		return REFUSED_LINK_DIRECTORY;
	if (!S_ISLNK(st.st_mode))
		return REFUSED_LINK_FILE;
	if (st.st_uid != caller)
		return REFUSED_LINK_FOREIGN;
	/* Of the very link that was just looked at: readlinkat(2), "empty path". */
	len = readlinkat(fd, "", ret, size);
	if (len < 0)
		return REFUSED_LINK_UNREADABLE;
	if ((size_t)len >= size)
		return REFUSED_LINK_LONG;
	ret[len] = '\0';
	return REFUSED_NOT;
}

/* G5. */
static enum refusal check_store_path(const char *base, uid_t caller)
{
	auto_close int store_fd = open(STORE_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat store, st;

	if (store_fd < 0 || fstat(store_fd, &store) < 0)
		return REFUSED_STORE;
	if (store.st_uid != 0 && store.st_uid != caller)
		return REFUSED_STORE;

	auto_close int fd = open_beneath(store_fd, base, RESOLVE_NO_XDEV);

	if (fd < 0 && errno == EXDEV)
		return REFUSED_PATH_DEVICE;
	if (fd < 0 || fstat(fd, &st) < 0)
		return REFUSED_PATH_MISSING;
	if (!S_ISDIR(st.st_mode))
		return REFUSED_PATH_FILE;
	if (st.st_uid != store.st_uid)
		return REFUSED_PATH_OWNER;
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return REFUSED_PATH_WRITABLE;
	return st.st_dev == store.st_dev ? REFUSED_NOT : REFUSED_PATH_DEVICE;
}

static bool is_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	return strncmp(path, dir, len) == 0 && path[len] == '/';
}

/*
 * G6. The name is computed and read with one readlink(2); gcroots/auto is never
 * listed, since any user may fill it.
 */
static enum refusal check_registered(const char *link)
{
	char path[sizeof(GCROOTS_DIR "/auto/") + STOREPATH_ROOT_SIZE];
	char name[STOREPATH_ROOT_SIZE];
	char target[PATH_MAX];
	ssize_t len;

	if (is_below(link, GCROOTS_DIR) || is_below(link, PROFILES_DIR))
		return REFUSED_NOT;
	storepath_root_name(link, name);
	(void)strlcpy(path, GCROOTS_DIR "/auto/", sizeof(path));	/* sized for it */
	(void)strlcat(path, name, sizeof(path));
	len = readlink(path, target, sizeof(target));
	if (len < 0)
		return REFUSED_ROOT_UNREGISTERED;
	if ((size_t)len != strlen(link) || memcmp(target, link, (size_t)len) != 0)
		return REFUSED_ROOT_OTHER;
	return REFUSED_NOT;
}

enum refusal gcroot_check(const char *link, uid_t caller, char ret[static STOREPATH_BASE_SIZE])
{
	char name[NAME_MAX + 1], target[PATH_MAX];
	auto_close int dir_fd = -1;
	enum refusal r;

	if (strlen(link) >= PATH_MAX)
		return REFUSED_LINK_LONG;
	r = open_parent(link, caller, &dir_fd, name);
	if (r != REFUSED_NOT)
		return r;
	r = read_link(dir_fd, name, caller, target, sizeof(target));
	if (r != REFUSED_NOT)
		return r;
	if (strcmp(target, name) == 0 || strcmp(target, link) == 0)
		return REFUSED_LINK_LOOP;
	r = storepath_parse(target, ret);
	if (r != REFUSED_NOT)
		return r;
	r = check_store_path(ret, caller);
	if (r != REFUSED_NOT)
		return r;
	return check_registered(link);
}
