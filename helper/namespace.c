/* SPDX-License-Identifier: MIT */
#include "namespace.h"

#include "auto.h"
#include "mapfile.h"
#include "range.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* In the child 0, in the parent its pid. glibc has no wrapper for clone3(2). */
static pid_t clone_child(int *ret_pidfd)
{
	struct clone_args args = {
		.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_PARENT | CLONE_PIDFD,
		.pidfd = (uintptr_t)ret_pidfd,
		/* exit_signal must be 0 with CLONE_PARENT: ours is inherited. */
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

/*
 * A pid may be another's by the time it is looked up, since not we but our
 * parent reaps the child. A pidfd that has not ended after the directory was
 * opened proves that the directory is the child's.
 */
static int open_proc(pid_t pid, int pidfd)
{
	char path[sizeof("/proc/") + 10];	/* a pid has at most ten digits */
	struct pollfd p = {.fd = pidfd, .events = POLLIN};
	auto_close int fd = -1;
	struct statfs fs;

	(void)snprintf(path, sizeof(path), "/proc/%d", pid);	/* sized for it */
	fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	if (fs.f_type != PROC_SUPER_MAGIC)
		return -EACCES;
	if (poll(&p, 1, 0) != 0)
		return -ESRCH;
	return fd_steal(&fd);
}

int namespace_clone(enum refusal *ret_refusal, struct namespace *ret, int *ret_go_fd)
{
	struct namespace ns = NAMESPACE_NONE;
	int go[2];

	*ret_refusal = REFUSED_NOT;
	if (pipe2(go, O_CLOEXEC) < 0)
		return -errno;
	ns.pid = clone_child(&ns.pidfd);
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
	ns.proc_fd = open_proc(ns.pid, ns.pidfd);
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

static void close_all(struct namespace *ns)
{
	auto_close_fd(&ns->pidfd);
	auto_close_fd(&ns->proc_fd);
	auto_close_fd(&ns->go_fd);
}

void namespace_abandon(struct namespace *ns)
{
	/* ESRCH: it has ended by itself. */
	if (ns->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, ns->pidfd, SIGKILL, NULL, 0);
	close_all(ns);
}

int namespace_release(struct namespace *ns)
{
	if (write(ns->go_fd, "", 1) != 1) {
		int r = -errno;

		namespace_abandon(ns);
		return r;
	}
	close_all(ns);
	return 0;
}

int namespace_enter(int go_fd)
{
	char byte;
	ssize_t n = read(go_fd, &byte, 1);

	(void)close(go_fd);
	if (n != 1)
		return -ECANCELED;
	/*
	 * Groups first, the uid last: each needs a capability that the next one
	 * does not take away, because 0 is root here.
	 */
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return -errno;
	return getuid() == 0 && geteuid() == 0 && getgid() == 0 && getegid() == 0 ? 0 : -EPERM;
}
