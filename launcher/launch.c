/* SPDX-License-Identifier: MIT */
/*
 * nixuser-launch: root of the outer namespace, and of nothing on the host
 *
 * Started by nixuser-boot beside nixuser-helper, so that it is there when the
 * helper has made the namespaces; an ordinary process of the caller's until then.
 *
 *  1. Receive the plan and the namespaces from nixuser-boot; enter them.
 *  2. Clone PID 1 into the inner user namespace and its cgroup, write its maps:
 *     spawn.c. It makes the other namespaces, and waits: payload.c.
 *  3. Meanwhile build the machine's root here, where the machine cannot undo it:
 *     root.c. PID 1 takes it over from there and becomes the closure's init.
 *  4. Wait until it ends, or nixuser-boot does; clean up; report.
 *
 * It stays as long as the machine, because only it may remove what belongs to
 * the machine's root, and because it is there when nixuser-boot is killed.
 */
#include "auto.h"
#include "cleanup.h"
#include "fdpass.h"
#include "plan.h"
#include "root.h"
#include "spawn.h"
#include "step.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sysexits.h>

/* As nixuser-boot hands it over. */
#define SOCKET_FD 3

_Noreturn static void fail(int r, const char *what)
{
	errno = -r;
	err(EX_OSERR, "cannot %s", what);
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

/* Return: 0; -EPIPE if nixuser-boot is gone. */
static int report(enum report_kind kind, const struct payload *payload, const siginfo_t *end)
{
	struct report message = {
		.kind = (int32_t)kind,
		.pid = payload->pid,
		.code = end ? end->si_code : 0,
		.status = end ? end->si_status : 0,
	};

	return fdpass_send(SOCKET_FD, &message, sizeof(message), &payload->pidfd,
			   kind == REPORT_RUNNING ? 1 : 0);
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

/*
 * What nixuser-boot says next. Return: true for WORD_RELEASE, false for its end;
 * with @wait false, true also for nothing.
 */
static bool is_released(bool wait)
{
	char word;
	ssize_t n;

	do
		n = recv(SOCKET_FD, &word, 1, wait ? 0 : MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	return n == 1 || (n < 0 && errno == EAGAIN);
}

/*
 * Until the machine ends, or nixuser-boot wants it to or is gone itself.
 *
 * Return: true if nixuser-boot has released us.
 */
static bool supervise(const struct payload *payload, siginfo_t *ret_end)
{
	struct pollfd fds[] = {
		{.fd = payload->pidfd, .events = POLLIN},
		{.fd = SOCKET_FD, .events = POLLIN},
	};
	bool released = false;

	while (poll(fds, 2, -1) < 0 && errno == EINTR)
		;
	if (fds[1].revents) {
		released = is_released(true);
		(void)kill(payload->pid, SIGKILL);	/* not reaped yet: the pid is its */
	}
	while (waitid(P_PID, (id_t)payload->pid, ret_end, WEXITED) < 0 && errno == EINTR)
		;
	return released;
}

/* Nobody else is left to do it. */
static int clean_up_alone(const struct machine *machine)
{
	return cleanup_machine(machine->fds[PLAN_CGROUP_FD], machine->fds[PLAN_RUNTIME_FD],
			       machine->plan->name);
}

static void receive_plan(struct plan *plan, struct machine *machine)
{
	int r = plan_recv(SOCKET_FD, plan, machine->fds);

	if (r == -EPIPE)
		_exit(EX_SOFTWARE);	/* nixuser-boot has said why */
	if (r < 0)
		fail(r, "receive the plan from nixuser-boot");
	machine->plan = plan;
	machine->payload_fd = openat(machine->fds[PLAN_CGROUP_FD], CLEANUP_PAYLOAD,
				     O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (machine->payload_fd < 0)
		fail(-errno, "open the cgroup of the machine");
}

static void receive_namespaces(struct machine *machine)
{
	size_t n = 0, len = 0;
	char word = 0;
	int r = fdpass_recv(SOCKET_FD, &word, 1, machine->ns_fds, WORD_FDS, &n, &len);

	if (r == 0 && len == 1 && word == WORD_NAMESPACES && n == WORD_FDS)
		return;
	if (r < 0)
		fail(r, "receive the namespaces from nixuser-boot");
	if (len == 0) {
		(void)cleanup_payload(machine->fds[PLAN_CGROUP_FD], machine->fds[PLAN_RUNTIME_FD]);
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
	(void)cleanup_payload(machine->fds[PLAN_CGROUP_FD], machine->fds[PLAN_RUNTIME_FD]);
	if (!is_released(false))
		(void)clean_up_alone(machine);
	fail(r, what);
}

static void enter(struct machine *machine)
{
	int r = enter_namespaces(machine);

	if (r < 0)
		fail(r, "enter the outer namespace");
	machine->export_fd = open_export(machine->plan, machine->fds[PLAN_RUNTIME_FD]);
	if (machine->export_fd < 0)
		give_up(machine, machine->export_fd,
			"prepare the directory for /run/host/unix-export");
}

/* PID 1 and its root, both at once. */
static void start(struct machine *machine, struct payload *ret)
{
	size_t failed;
	int r = spawn_payload(machine, ret);

	if (r < 0)
		give_up(machine, r, "start the machine's first process");
	r = steps_run(root_steps, root_steps_count, machine, &failed);
	if (r < 0)
		give_up(machine, r, root_steps[failed].what);
	(void)spawn_go(ret);	/* failing, it has ended: spawn_wait() says why */
	spawn_wait(ret);
}

int main(int argc, char **argv)
{
	struct machine machine = {0};
	struct payload payload = {0};
	struct plan plan = {0};
	siginfo_t end = {0};
	bool released;
	int r;

	(void)argv;
	if (argc != 1 || fcntl(SOCKET_FD, F_SETFD, FD_CLOEXEC) < 0)
		errx(EX_USAGE, "it is started by nixuser-boot(1)");
	/*
	 * A session of its own: the caller's ^C is for nixuser-boot, which ends
	 * the machine in order. EPERM: it leads a group, and has one already.
	 */
	(void)setsid();
	(void)umask(0);	/* modes are spelled out in root.c */
	receive_plan(&plan, &machine);
	receive_namespaces(&machine);

	enter(&machine);
	start(&machine, &payload);
	(void)report(REPORT_RUNNING, &payload, NULL);	/* if it fails, supervise() ends at once */
	let_go();

	released = supervise(&payload, &end);
	if (!released)	/* failing, is_released() says so */
		(void)report(REPORT_ENDED, &payload, &end);
	r = cleanup_payload(machine.fds[PLAN_CGROUP_FD], machine.fds[PLAN_RUNTIME_FD]);
	if (!released)
		released = is_released(true);
	if (!released)
		r = clean_up_alone(&machine);
	plan_free(&plan);
	return r < 0 ? EX_OSERR : EX_OK;
}
