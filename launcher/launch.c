/* SPDX-License-Identifier: MIT */
/*
 * nixuser-launch: root of the outer namespace, and of nothing on the host
 *
 * Forked by nixuser-boot while nixuser-helper works, so that it is there when the
 * namespaces are; an ordinary process of the caller's until then. A process of its
 * own, because only a process without threads and with nothing to lose can become
 * root of another namespace; no program of its own, because it trusts nixuser-boot
 * with everything and an exec(2) costs more than all else that it does.
 *
 *  1. Receive the namespaces from nixuser-boot; enter them.
 *  2. Clone PID 1 into the inner user namespace and its cgroup, write its maps:
 *     pid1.c. It makes the other namespaces, and waits: payload.c.
 *  3. Meanwhile build the machine's root here, where the machine cannot undo it:
 *     root.c. PID 1 takes it over from there and becomes the closure's init.
 *  4. Wait until it ends, or nixuser-boot does; clean up; report.
 *
 * It stays as long as the machine, because only it may remove what belongs to
 * the machine's root, and because it is there when nixuser-boot is killed.
 */
#include "launch.h"

#include "auto.h"
#include "cleanup.h"
#include "fdpass.h"
#include "root.h"
#include "pid1.h"
#include "step.h"
#include "watch.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>

#define NAME "nixuser-launch"

_Noreturn static void fail(int r, const char *what)
{
	errno = -r;
	warn("cannot %s", what);
	_exit(EX_OSERR);
}

/* The socket directory is bound by path: its descriptor is of another mount namespace. */
static int open_export(const struct plan *plan, int runtime_fd)
{
	auto_close int fd = -1;
	struct mount_attr attr = {
		.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
	};
	struct stat mine, theirs;

	/* The machine's root makes sockets there, and the caller connects to them. */
	if (fchmodat(runtime_fd, CLEANUP_EXPORT, 0755, 0) < 0 ||
	    fchownat(runtime_fd, CLEANUP_EXPORT, 0, 0, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fstatat(runtime_fd, CLEANUP_EXPORT, &theirs, AT_SYMLINK_NOFOLLOW) < 0 ||
	    chdir(plan->runtime_path) < 0)
		return -errno;
	fd = open_tree(AT_FDCWD, CLEANUP_EXPORT,
		       OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
	if (fd < 0 || fstat(fd, &mine) < 0)
		return -errno;
	if (mine.st_dev != theirs.st_dev || mine.st_ino != theirs.st_ino)
		return -ESTALE;
	if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -errno;
	return fd_steal(&fd);
}

/* What the caller's terminal, directory or pipes are is no business of what waits here. */
static void let_go(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	for (int i = 0; i <= 2 && fd >= 0; i++)
		(void)dup2(fd, i);	/* failing, it only holds what it held */
	if (fd > 2)
		(void)close(fd);
}

/* Nobody else is left to do it. */
static int clean_up_alone(const struct machine *machine)
{
	return cleanup_machine(machine->launch.cgroup_fd, machine->launch.runtime_fd,
			       machine->launch.plan->name);
}

static void open_cgroup(struct machine *machine)
{
	machine->payload_fd = openat(machine->launch.cgroup_fd, CLEANUP_PAYLOAD,
				     O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (machine->payload_fd < 0)
		fail(-errno, "open the cgroup of the machine");
}

static void receive_namespaces(struct machine *machine)
{
	size_t n = 0, len = 0;
	char word = 0;
	int r = fdpass_recv(machine->sock, &word, 1, machine->ns_fds, WORD_FDS, &n, &len);

	if (r == 0 && len == 1 && word == WORD_NAMESPACES && n == WORD_FDS)
		return;
	if (r < 0)
		fail(r, "receive the namespaces from nixuser-boot");
	if (len == 0) {
		(void)cleanup_payload(machine->launch.cgroup_fd, machine->launch.runtime_fd);
		(void)clean_up_alone(machine);
	}
	_exit(EX_SOFTWARE);	/* nixuser-boot has said why, or was killed */
}

/*
 * The user namespace is the caller's, so he has every capability over it; the
 * mount namespace belongs to it. Groups first, the uid last.
 */
static int enter_namespaces(const struct machine *machine)
{
	if (setns(machine->ns_fds[WORD_USERNS_FD], CLONE_NEWUSER) < 0 ||
	    setns(machine->ns_fds[WORD_MNTNS_FD], CLONE_NEWNS) < 0)
		return -errno;
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		return -errno;
	/* Or the payload's uid_map, which is ours to write, would belong to the host's root. */
	return prctl(PR_SET_DUMPABLE, 1) < 0 ? -errno : 0;
}

/* What has been given to the machine's root, only we can remove. */
_Noreturn static void give_up(const struct machine *machine, int r, const char *what)
{
	(void)cleanup_payload(machine->launch.cgroup_fd, machine->launch.runtime_fd);
	if (!watch_released(machine->sock, false))
		(void)clean_up_alone(machine);
	fail(r, what);
}

static void enter(struct machine *machine)
{
	int r = enter_namespaces(machine);

	if (r < 0)
		fail(r, "enter the outer namespace");
	machine->export_fd = open_export(machine->launch.plan, machine->launch.runtime_fd);
	if (machine->export_fd < 0)
		give_up(machine, machine->export_fd,
			"prepare the directory for /run/host/unix-export");
}

/* PID 1 and its root, both at once. */
static void start(struct machine *machine, struct pid1 *ret)
{
	size_t failed;
	int r = pid1_clone(machine, ret);

	if (r < 0)
		give_up(machine, r, "start the machine's first process");
	r = steps_run(root_steps, root_steps_count, machine, &failed);
	if (r < 0)
		give_up(machine, r, root_steps[failed].what);
	(void)pid1_go(ret);	/* failing, it has ended: pid1_wait() says why */
	pid1_wait(ret);
}

/* Its whole life. */
_Noreturn static void run(const struct launch *launch, int sock)
{
	struct machine machine = {.launch = *launch, .sock = sock};
	struct pid1 pid1 = {0};
	siginfo_t end = {0};
	bool released;
	int r;

	open_cgroup(&machine);
	receive_namespaces(&machine);
	enter(&machine);
	start(&machine, &pid1);
	/* If it fails, watch() ends at once. */
	(void)watch_report(sock, REPORT_RUNNING, &pid1, NULL);
	let_go();

	released = watch(&machine, &pid1, &end);
	if (!released)	/* failing, watch_released() says so */
		(void)watch_report(sock, REPORT_ENDED, &pid1, &end);
	r = cleanup_payload(launch->cgroup_fd, launch->runtime_fd);
	if (!released)
		released = watch_released(sock, true);
	if (!released)
		r = clean_up_alone(&machine);
	(void)close(sock);	/* what nixuser-boot waits for */
	_exit(r < 0 ? EX_OSERR : EX_OK);
}

static int by_value(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* The rest of what nixuser-boot holds is its own: the lock, the bus, its side of our socket. */
static void close_others(const struct launch *launch, int sock)
{
	int keep[] = {2, launch->cgroup_fd, launch->runtime_fd, launch->notify_fd, sock, INT_MAX};
	const size_t n = sizeof(keep) / sizeof(keep[0]);

	qsort(keep, n, sizeof(keep[0]), by_value);
	for (size_t i = 0; i + 1 < n; i++) {
		if (keep[i] + 1 < keep[i + 1])	/* fails for bad arguments only */
			(void)close_range((unsigned int)keep[i] + 1, (unsigned int)keep[i + 1] - 1, 0);
	}
}

/*
 * A session of its own: the caller's ^C is for nixuser-boot, which ends the
 * machine in order. What nixuser-boot blocks to read it later is not blocked here.
 */
static void become(const struct launch *launch, int sock)
{
	static char name[] = NAME;	/* for err(3) and ps(1) */
	sigset_t none;

	close_others(launch, sock);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);	/* fails for bad arguments only */
	(void)setsid();
	(void)umask(0);	/* modes are spelled out in root.c */
	(void)prctl(PR_SET_NAME, name);
	program_invocation_short_name = name;
}

int launch_start(const struct launch *launch, pid_t *ret_pid, int *ret_sock)
{
	auto_close int ours = -1, theirs = -1;
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	ours = fds[0];
	theirs = fds[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0) {
		become(launch, theirs);
		run(launch, theirs);
	}
	*ret_pid = pid;
	*ret_sock = fd_steal(&ours);
	return 0;
}
