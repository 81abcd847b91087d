/* SPDX-License-Identifier: MIT */
#include "pid1.h"

#include "auto.h"
#include "step.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

/* How a payload that failed before its exec says so. */
struct failure {
	size_t step;
	int error;
};

_Noreturn static void become_payload(const struct machine *machine, int status_fd)
{
	struct failure failure;
	int r = steps_run(payload_steps, payload_steps_count, machine, &failure.step);

	failure.error = -r;
	/* If nobody reads it any more, nobody wants to know. */
	(void)!write(status_fd, &failure, sizeof(failure));
	_exit(EX_OSERR);
}

static int write_map(pid_t pid, const char *name)
{
	static const char map[] = "0 0 65536\n";
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);	/* sized for it */
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	return write(fd, map, sizeof(map) - 1) == (ssize_t)sizeof(map) - 1 ? 0 : -errno;
}

static int write_maps(pid_t pid)
{
	int r = write_map(pid, "uid_map");

	return r < 0 ? r : write_map(pid, "gid_map");
}

/*
 * Straight into the machine's cgroup: no instant at which it is anywhere else. The
 * other namespaces the payload makes itself, which takes time, while we are busy
 * with its root.
 */
int pid1_clone(struct machine *machine, struct pid1 *ret)
{
	struct pid1 pid1 = {.pidfd = -1};
	struct clone_args args = {
		.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_INTO_CGROUP | CLONE_PIDFD,
		.pidfd = (uintptr_t)&pid1.pidfd,
		.exit_signal = SIGCHLD,
		.cgroup = (unsigned int)machine->payload_fd,
	};
	int go[2], status[2];
	int r;

	if (pipe2(go, O_CLOEXEC) < 0 || pipe2(status, O_CLOEXEC) < 0)
		return -errno;
	pid1.pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid1.pid < 0)
		return -errno;
	if (pid1.pid == 0) {
		(void)close(go[1]);	/* or it would never read EOF */
		machine->go_fd = go[0];
		become_payload(machine, status[1]);
	}
	(void)close(go[0]);
	(void)close(status[1]);
	pid1.go_fd = go[1];
	pid1.status_fd = status[0];
	*ret = pid1;
	r = write_maps(pid1.pid);
	return r < 0 ? r : pid1_go(ret);
}

int pid1_go(const struct pid1 *pid1)
{
	return write(pid1->go_fd, "", 1) == 1 ? 0 : -errno;
}

void pid1_wait(const struct pid1 *pid1)
{
	struct failure failure;
	ssize_t n;

	(void)close(pid1->go_fd);
	n = read(pid1->status_fd, &failure, sizeof(failure));
	(void)close(pid1->status_fd);
	if (n == (ssize_t)sizeof(failure) && failure.step < payload_steps_count) {
		errno = failure.error;
		warn("cannot %s", payload_steps[failure.step].what);
	} else if (n != 0) {
		warnx("the machine's first process ended before it became init");
	}
}
