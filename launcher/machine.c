/* SPDX-License-Identifier: MIT */
#include "machine.h"

#include "auto.h"
#include "cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-id128.h>

/* Ours, for what is derived from the host's machine-id: sd_id128_get_machine_app_specific(3). */
#define APPLICATION SD_ID128_MAKE(6f,1c,2b,0a,5d,7e,4c,38,9e,41,f3,d2,8a,70,b6,95)

bool machine_name_is_valid(const char *name)
{
	static const char allowed[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_+-.";
	size_t len = strlen(name);

	return len >= 1 && len <= PLAN_NAME_MAX && name[0] != '.' && strspn(name, allowed) == len;
}

void machine_id(const char *name, char ret[static PLAN_ID_SIZE])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	sd_id128_t host = SD_ID128_NULL, id;
	uid_t uid = getuid();
	SHA2_CTX ctx;

	/* A host without a machine-id still has users and names. */
	(void)sd_id128_get_machine_app_specific(APPLICATION, &host);
	SHA256Init(&ctx);
	SHA256Update(&ctx, host.bytes, sizeof(host.bytes));
	SHA256Update(&ctx, (const uint8_t *)&uid, sizeof(uid));
	SHA256Update(&ctx, (const uint8_t *)name, strlen(name));
	SHA256Final(digest, &ctx);
	memcpy(id.bytes, digest, sizeof(id.bytes));
	/* Marked as a random UUID, which is what machine-id(5) asks for. */
	id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40);
	id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
	(void)sd_id128_to_string(id, ret);
}

/* Ours alone: what is in there is trusted by the next start. */
static int check_private(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	return st.st_uid == getuid() && (st.st_mode & 077) == 0 ? 0 : -EPERM;
}

static int open_directory(int parent_fd, const char *name)
{
	auto_close int fd = -1;
	int r;

	if (mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = check_private(fd);
	return r < 0 ? r : fd_steal(&fd);
}

void runtime_find(void)
{
	char path[sizeof("/run/user/") + 10];	/* a uid has at most ten digits */
	struct stat st;

	if (getenv("XDG_RUNTIME_DIR"))
		return;
	(void)snprintf(path, sizeof(path), "/run/user/%u", getuid());	/* sized for it */
	if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == getuid())
		(void)setenv("XDG_RUNTIME_DIR", path, 0);	/* failing, it is missing still */
}

static int open_runtime_dir(char *ret_path, size_t size)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	auto_close int fd = -1;
	int r;

	if (!dir || dir[0] != '/')
		return -ENOENT;
	if (strlcpy(ret_path, dir, size) >= size)
		return -ENAMETOOLONG;
	fd = open(ret_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = check_private(fd);
	return r < 0 ? r : fd_steal(&fd);
}

/*
 * The holder unlinks the file when it ends, so the lock counts only if the file
 * is still the one that has the name.
 */
static int lock(int dir_fd)
{
	for (;;) {
		auto_close int fd = openat(dir_fd, CLEANUP_LOCK,
					   O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
		struct stat mine, named;

		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			return -errno;
		if (fstat(fd, &mine) < 0)
			return -errno;
		if (fstatat(dir_fd, CLEANUP_LOCK, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
		    mine.st_ino != named.st_ino)
			continue;
		if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", getpid()) < 0) {
			int r = -errno;

			(void)unlinkat(dir_fd, CLEANUP_LOCK, 0);
			return r;
		}
		return fd_steal(&fd);
	}
}

static pid_t read_holder(int dir_fd)
{
	auto_close int fd = openat(dir_fd, CLEANUP_LOCK, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	char buf[16] = "";
	const char *wrong;

	if (fd < 0 || read(fd, buf, sizeof(buf) - 1) < 0)
		return 0;
	buf[strcspn(buf, "\n")] = '\0';
	return (pid_t)strtonum(buf, 1, INT32_MAX, &wrong);
}

enum runtime_failure runtime_acquire(const char *name, struct runtime *ret, pid_t *ret_pid)
{
	auto_close int top_fd = -1, nixuser_fd = -1, dir_fd = -1, lock_fd = -1;
	char top[PATH_MAX];
	int len;

	top_fd = open_runtime_dir(top, sizeof(top));
	if (top_fd < 0)
		return RUNTIME_NONE;
	len = snprintf(ret->path, sizeof(ret->path), "%s/nixuser/%s", top, name);
	if (len < 0 || (size_t)len >= sizeof(ret->path))
		return RUNTIME_NONE;
	/* Again if the last machine to end has just removed what we are about to use. */
	for (int tries = 0; tries < 3 && lock_fd < 0; tries++) {
		auto_close_fd(&nixuser_fd);
		auto_close_fd(&dir_fd);
		nixuser_fd = open_directory(top_fd, "nixuser");
		dir_fd = nixuser_fd < 0 ? nixuser_fd : open_directory(nixuser_fd, name);
		lock_fd = dir_fd < 0 ? dir_fd : lock(dir_fd);
		if (lock_fd != -ENOENT)
			break;
	}
	if (lock_fd == -EWOULDBLOCK) {
		*ret_pid = read_holder(dir_fd);
		return RUNTIME_HELD;
	}
	if (lock_fd < 0 && nixuser_fd >= 0) {
		(void)unlinkat(nixuser_fd, name, AT_REMOVEDIR);
		(void)unlinkat(top_fd, "nixuser", AT_REMOVEDIR);
	}
	if (lock_fd < 0 || (mkdirat(dir_fd, CLEANUP_EXPORT, 0755) < 0 && errno != EEXIST)) {
		errno = lock_fd < 0 ? -lock_fd : errno;
		return RUNTIME_FAILED;
	}
	ret->dir_fd = fd_steal(&dir_fd);
	ret->lock_fd = fd_steal(&lock_fd);
	return RUNTIME_OK;
}

void runtime_release(struct runtime *runtime)
{
	auto_close_fd(&runtime->dir_fd);
	auto_close_fd(&runtime->lock_fd);
}
