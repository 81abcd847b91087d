/* SPDX-License-Identifier: MIT */
#include "start.h"

#include "auto.h"
#include "config.h"
#include "fdpass.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>

/* Where nixuser-helper expects its socket. */
#define SOCKET_FD 3

static int spawn(char *const argv[], int sock)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	sigset_t none;
	pid_t pid;
	int r;

	sigemptyset(&none);
	/* Our event loop has blocked the signals that it reads. */
	r = posix_spawnattr_init(&attr);
	if (r != 0)
		return -r;
	(void)posix_spawnattr_setsigmask(&attr, &none);	/* these two only store */
	(void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	r = posix_spawn_file_actions_init(&actions);
	if (r == 0 && sock >= 0)
		r = posix_spawn_file_actions_adddup2(&actions, sock, SOCKET_FD);
	if (r == 0)
		r = posix_spawn(&pid, HELPER_PATH, &actions, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	return -r;
}

int start_helper(const char *link, int *ret_sock)
{
	char *argv[] = {(char[]){"nixuser-helper"}, (char *)(uintptr_t)link, NULL};
	auto_close int ours = -1, theirs = -1;
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	ours = fds[0];
	theirs = fds[1];
	r = spawn(argv, theirs);
	if (r < 0)
		return r;
	*ret_sock = fd_steal(&ours);
	return 0;
}

int start_receive(int sock, struct start *ret)
{
	size_t n, len;
	char message;
	int fds[2];
	int r = fdpass_recv(sock, &message, 1, fds, 2, &n, &len);

	if (r < 0)
		return r;
	if (len == 0)
		return -EPIPE;
	if (n != 2) {
		if (n == 1)
			(void)close(fds[0]);
		return -EPROTO;
	}
	*ret = (struct start){.sock = sock, .master_fd = fds[0], .userns_fd = fds[1]};
	return 0;
}

static int exit_status(const siginfo_t *end)
{
	return end->si_code == CLD_EXITED ? end->si_status : EX_SOFTWARE;
}

int start_reap(void)
{
	int status = EX_OK;

	for (;;) {
		siginfo_t end = {0};

		if (waitid(P_ALL, 0, &end, WEXITED) < 0) {
			if (errno == EINTR)
				continue;
			return status == EX_OK ? EX_SOFTWARE : status;	/* ECHILD: all of them */
		}
		if (status == EX_OK)
			status = exit_status(&end);
	}
}

int start_check(const char *link)
{
	char *argv[] = {(char[]){"nixuser-helper"}, (char[]){"--check"},
			(char *)(uintptr_t)link, NULL};
	siginfo_t end = {0};
	int r = spawn(argv, -1);

	if (r < 0) {
		errno = -r;
		return EX_UNAVAILABLE;
	}
	while (waitid(P_ALL, 0, &end, WEXITED) < 0 && errno == EINTR)
		;
	return exit_status(&end);
}
