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
#include <sys/prctl.h>
#include <sys/socket.h>
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

int namespace_clone(enum refusal *ret_refusal, struct namespace *ret,
		    struct namespace_child *ret_child)
{
	pid_t self = getpid(), pid;
	int socks[2], error;

	*ret_refusal = REFUSED_NOT;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, socks) < 0)
		return -errno;
	pid = clone_child();
	error = errno;
	if (pid == 0) {
		(void)close(socks[0]);	/* or it would never read EOF */
		*ret_child = (struct namespace_child){.parent = self, .sock = socks[1]};
		return 0;
	}
	(void)close(socks[1]);
	if (pid < 0) {
		(void)close(socks[0]);
		*ret_refusal = refuse_clone(error);
		return -error;
	}
	*ret = (struct namespace){.pid = pid, .proc_fd = -1, .sock = socks[0]};
	return 1;
}

int namespace_map(struct namespace *ns, const struct lookup *found, struct caller caller)
{
	char uid_map[RANGE_MAP_SIZE], gid_map[RANGE_MAP_SIZE], byte;
	ssize_t uid_len = range_map(found->ranges[SUBID_UID], caller.uid, uid_map);
	ssize_t gid_len = range_map(found->ranges[SUBID_GID], caller.gid, gid_map);
	int r;

	if (uid_len < 0 || gid_len < 0)
		return -EINVAL;
	if (recv(ns->sock, &byte, 1, 0) != 1)
		return -ECHILD;
	ns->proc_fd = open_proc(ns->pid);
	if (ns->proc_fd < 0)
		return ns->proc_fd;
	r = mapfile_write_uid(ns->proc_fd, uid_map, (size_t)uid_len);
	return r < 0 ? r : mapfile_write_gid(ns->proc_fd, gid_map, (size_t)gid_len);
}

/* Return: the exit status; EX_SOFTWARE for a child that was killed. */
static int reap(struct namespace *ns)
{
	int status;

	auto_close_fd(&ns->proc_fd);
	auto_close_fd(&ns->sock);
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

	if (send(ns->sock, base, size, MSG_NOSIGNAL) != (ssize_t)size) {
		int r = -errno;

		namespace_abandon(ns);
		return r;
	}
	return reap(ns);
}

/*
 * Dumpable, so that our files in /proc are the caller's and the helper needs
 * neither another fsuid nor CAP_DAC_OVERRIDE to open them. The caller may ptrace
 * us from here on, as he may anything in a namespace of his: there is nothing in
 * us that he does not have, and the helper takes no more from us than this byte.
 */
int namespace_enter(const struct namespace_child *child,
		    char ret_base[static STOREPATH_BASE_SIZE])
{
	ssize_t n;

	if (prctl(PR_SET_DUMPABLE, 1) < 0)
		return -errno;
	if (send(child->sock, "", 1, MSG_NOSIGNAL) != 1)
		return -ECANCELED;
	n = recv(child->sock, ret_base, STOREPATH_BASE_SIZE, 0);
	if (n <= 0 || ret_base[n - 1] != '\0')
		return -ECANCELED;
	/*
	 * Groups first, the uid last: each needs a capability that the next one
	 * does not take away, because 0 is root here.
	 */
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return -errno;
	/* After the change of ids, which clears it; if the parent is gone, it never comes. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	if (getppid() != child->parent)
		return -ECANCELED;
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
