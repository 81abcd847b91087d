/* SPDX-License-Identifier: MIT */
#include "namespace.h"

#include "auto.h"
#include "console.h"
#include "fdpass.h"
#include "mapfile.h"
#include "range.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

/* In the child 0, in the parent its pid. glibc has no wrapper for clone3(2). */
static pid_t clone_child(void)
{
	struct clone_args args = {
		.flags = CLONE_NEWUSER | CLONE_NEWNS,
		.exit_signal = SIGCHLD,
	};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static enum refusal refuse_clone(int error)
{
	switch (error) {
	case ENOSPC:	/* user.max_*_namespaces; EUSERS before Linux 4.9 */
	case EUSERS:
		return REFUSED_USERNS_LIMIT;
	case EPERM:
	case ENOSYS:
	case EINVAL:	/* no CONFIG_USER_NS */
		return REFUSED_USERNS_FORBIDDEN;
	default:
		return REFUSED_NOT;
	}
}

/* Ours and not reaped: whatever happens to it, the pid cannot be another's. */
static int open_proc(pid_t pid)
{
	char path[sizeof("/proc/") + 10];	/* a pid has at most ten digits */
	auto_close int fd = -1;
	struct statfs fs;

	(void)snprintf(path, sizeof(path), "/proc/%d", pid);	/* sized for it */
	fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	return fs.f_type == PROC_SUPER_MAGIC ? fd_steal(&fd) : -EACCES;
}

int namespace_clone(enum refusal *ret_refusal, struct namespace *ret, int *ret_go_fd)
{
	struct namespace ns = {.proc_fd = -1};
	int go[2];

	*ret_refusal = REFUSED_NOT;
	if (pipe2(go, O_CLOEXEC) < 0)
		return -errno;
	ns.pid = clone_child();
	if (ns.pid == 0) {
		(void)close(go[1]);	/* or it would never read EOF */
		*ret_go_fd = go[0];
		return 0;
	}
	if (ns.pid < 0) {
		int error = errno;

		(void)close(go[0]);
		(void)close(go[1]);
		*ret_refusal = refuse_clone(error);
		return -error;
	}
	(void)close(go[0]);
	ns.go_fd = go[1];
	ns.proc_fd = open_proc(ns.pid);
	if (ns.proc_fd < 0) {
		int r = ns.proc_fd;

		namespace_abandon(&ns);
		return r;
	}
	*ret = ns;
	return 1;
}

int namespace_map(const struct namespace *ns, const struct lookup *found, struct caller caller)
{
	char map[RANGE_MAP_SIZE];
	ssize_t len;
	int r;

	len = range_map(found->uids, caller.uid, map);
	if (len < 0)
		return (int)len;
	r = mapfile_write_uid(ns->proc_fd, map, (size_t)len);
	if (r < 0)
		return r;
	len = range_map(found->gids, caller.gid, map);
	if (len < 0)
		return (int)len;
	return mapfile_write_gid(ns->proc_fd, map, (size_t)len);
}

/* Return: the exit status; EX_SOFTWARE for a child that was killed. */
static int reap(struct namespace *ns)
{
	int status;

	auto_close_fd(&ns->proc_fd);
	auto_close_fd(&ns->go_fd);
	while (waitpid(ns->pid, &status, 0) < 0) {
		if (errno != EINTR)
			return EX_SOFTWARE;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : EX_SOFTWARE;
}

void namespace_abandon(struct namespace *ns)
{
	(void)kill(ns->pid, SIGKILL);	/* ours and not reaped */
	(void)reap(ns);
}

int namespace_finish(struct namespace *ns, const char *base)
{
	size_t size = strlen(base) + 1;

	if (write(ns->go_fd, base, size) != (ssize_t)size) {
		int r = -errno;

		namespace_abandon(ns);
		return r;
	}
	return reap(ns);
}

int namespace_enter(int go_fd, char ret_base[static STOREPATH_BASE_SIZE])
{
	ssize_t n = read(go_fd, ret_base, STOREPATH_BASE_SIZE);

	(void)close(go_fd);
	if (n <= 0 || ret_base[n - 1] != '\0')
		return -ECANCELED;
	/*
	 * Groups first, the uid last: each needs a capability that the next one
	 * does not take away, because 0 is root here.
	 */
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return -errno;
	return getuid() == 0 && geteuid() == 0 && getgid() == 0 && getegid() == 0 ? 0 : -EPERM;
}

int namespace_hand_over(int sock, const char *base)
{
	auto_close int user_fd = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	auto_close int mnt_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	struct console console;
	int r;

	if (user_fd < 0 || mnt_fd < 0)
		return -errno;
	r = console_make(&console);
	if (r < 0)
		return r;
	return fdpass_send(sock, base, strlen(base) + 1,
			   (int[]){console.master_fd, console.devpts_fd, user_fd, mnt_fd}, 4);
}
