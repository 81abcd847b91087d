/* SPDX-License-Identifier: MIT */
#include "machine.h"

#include "auto.h"
#include "cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Ours, for what is derived from the host's machine-id, which is to stay confidential: machine-id(5). */
#define APPLICATION "6f1c2b0a5d7e4c389e41f3d28a70b695"
#define MACHINE_ID "/etc/machine-id"

bool machine_name_is_valid(const char *name)
{
	static const char allowed[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_+-.";
	size_t len = strlen(name);

	return len >= 1 && len <= PLAN_NAME_MAX && name[0] != '.' && strspn(name, allowed) == len;
}

/* A host without a machine-id still has users and names. */
static void add_host(SHA2_CTX *ctx)
{
	auto_close int fd = open(MACHINE_ID, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	uint8_t host[PLAN_ID_SIZE - 1];
	ssize_t n = fd < 0 ? 0 : read(fd, host, sizeof(host));

	SHA256Update(ctx, (const uint8_t *)APPLICATION, sizeof(APPLICATION) - 1);
	SHA256Update(ctx, host, n < 0 ? 0 : (size_t)n);
}

void machine_id(const char *name, char ret[static PLAN_ID_SIZE])
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	uid_t uid = getuid();
	SHA2_CTX ctx;

	SHA256Init(&ctx);
	add_host(&ctx);
	SHA256Update(&ctx, (const uint8_t *)&uid, sizeof(uid));
	SHA256Update(&ctx, (const uint8_t *)name, strlen(name));
	SHA256Final(digest, &ctx);
	/* Marked as a random UUID, which is what machine-id(5) asks for. */
	digest[6] = (uint8_t)((digest[6] & 0x0f) | 0x40);
	digest[8] = (uint8_t)((digest[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < (PLAN_ID_SIZE - 1) / 2; i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", digest[i]);	/* two digits and a NUL */
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

int runtime_open_all(void)
{
	char path[PATH_MAX];
	auto_close int top_fd = open_runtime_dir(path, sizeof(path));
	auto_close int fd = -1;
	int r;

	if (top_fd < 0)
		return -ENOTDIR;
	fd = openat(top_fd, "nixuser", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = check_private(fd);
	return r < 0 ? r : fd_steal(&fd);
}

int runtime_open(const char *name)
{
	auto_close int all_fd = runtime_open_all(), fd = -1;
	int r;

	if (all_fd < 0)
		return all_fd;
	fd = openat(all_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
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

bool runtime_is_held(int dir_fd)
{
	pid_t pid = read_holder(dir_fd);

	/* Trying the lock would get into the way of a start. */
	return pid > 0 && kill(pid, 0) == 0;
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
