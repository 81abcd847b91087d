/* SPDX-License-Identifier: MIT */
#include "start.h"

#include "auto.h"
#include "config.h"
#include "fdpass.h"
#include "plan.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>

/* Where both programs expect their socket. */
#define SOCKET_FD 3
/* Longer than nixuser-launch takes, and no delay that anybody would notice. */
#define START_AWAIT_MS 20

/*
 * In the child: with no signal blocked (our event loop blocks those it reads),
 * and @sock, if there is one, as SOCKET_FD; the rest of ours is close-on-exec.
 */
_Noreturn static void execute(const char *path, char *const argv[], int sock)
{
	sigset_t none;

	sigemptyset(&none);
	if (sock == SOCKET_FD)
		(void)fcntl(sock, F_SETFD, 0);	/* dup2(2) would do nothing */
	if (sigprocmask(SIG_SETMASK, &none, NULL) == 0 &&
	    (sock < 0 || dup2(sock, SOCKET_FD) >= 0))
		execv(path, argv);
	_exit(START_NOT_RUN);	/* who reaps it says so */
}

/*
 * fork(2) and not posix_spawn(3): the latter stops us until the exec, and then
 * gives the child our processor; but there is more to be done meanwhile.
 */
static pid_t spawn(const char *path, char *const argv[], int sock)
{
	pid_t pid = fork();

	if (pid == 0)
		execute(path, argv, sock);
	return pid < 0 ? -errno : pid;
}

static int spawn_connected(const char *path, char *const argv[], pid_t *ret_pid, int *ret_sock)
{
	auto_close int ours = -1, theirs = -1;
	int fds[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	ours = fds[0];
	theirs = fds[1];
	pid = spawn(path, argv, theirs);
	if (pid < 0)
		return pid;
	*ret_pid = pid;
	*ret_sock = fd_steal(&ours);
	return 0;
}

int start_programs(const char *link, struct start *ret)
{
	char *helper[] = {(char[]){"nixuser-helper"}, (char *)(uintptr_t)link, NULL};
	char *launch[] = {(char[]){"nixuser-launch"}, NULL};
	int r = spawn_connected(HELPER_PATH, helper, &ret->helper_pid, &ret->helper_sock);

	return r < 0 ? r : spawn_connected(LAUNCH_PATH, launch, &ret->launch_pid,
					   &ret->launch_sock);
}

int start_receive(const struct start *start, const struct closure *closure,
		  struct namespaces *ret)
{
	char base[NAME_MAX + 1];
	size_t n = 0, len = 0;
	int fds[4];
	int r = fdpass_recv(start->helper_sock, base, sizeof(base), fds, 4, &n, &len);

	if (r < 0)
		return r;
	if (len == 0)
		return -EPIPE;
	if (n != 4 || base[len - 1] != '\0')
		return -EPROTO;
	if (strcmp(base, closure->toplevel + sizeof(STORE_DIR)) != 0)
		return -ESTALE;
	*ret = (struct namespaces){.master_fd = fds[0], .devpts_fd = fds[1],
				   .userns_fd = fds[2], .mntns_fd = fds[3]};
	return 0;
}

int start_send_namespaces(const struct start *start, const struct namespaces *namespaces)
{
	const char word = WORD_NAMESPACES;
	const int fds[WORD_FDS] = {
		[WORD_DEVPTS_FD] = namespaces->devpts_fd,
		[WORD_USERNS_FD] = namespaces->userns_fd,
		[WORD_MNTNS_FD] = namespaces->mntns_fd,
	};

	return fdpass_send(start->launch_sock, &word, 1, fds, WORD_FDS);
}

void start_await(const struct start *start)
{
	struct pollfd p = {.fd = start->launch_sock, .events = POLLIN};

	/* Failing or interrupted, it was a shorter wait. */
	(void)poll(&p, 1, START_AWAIT_MS);
}

int start_release(struct start *start)
{
	const char word = WORD_RELEASE;

	/* EPIPE: it has ended already. */
	(void)fdpass_send(start->launch_sock, &word, 1, NULL, 0);
	auto_close_fd(&start->launch_sock);
	return start_reap(start->launch_pid);
}

int start_reap(pid_t pid)
{
	siginfo_t end = {0};

	while (waitid(P_PID, (id_t)pid, &end, WEXITED) < 0) {
		if (errno != EINTR)
			return EX_SOFTWARE;
	}
	return end.si_code == CLD_EXITED ? end.si_status : EX_SOFTWARE;
}

int start_check(const char *link)
{
	char *argv[] = {(char[]){"nixuser-helper"}, (char[]){"--check"},
			(char *)(uintptr_t)link, NULL};
	pid_t pid = spawn(HELPER_PATH, argv, -1);

	return pid < 0 ? pid : start_reap(pid);
}
