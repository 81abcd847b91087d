/* SPDX-License-Identifier: MIT */
#include "start.h"

#include "auto.h"
#include "config.h"
#include "fdpass.h"
#include "launch.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>

/* Where nixuser-helper expects its socket. */
#define SOCKET_FD 3
/* Longer than nixuser-launch takes, and no delay that anybody would notice. */
#define START_AWAIT_MS 20

/*
 * With no signal blocked (our event loop blocks those it reads), and @sock, if
 * there is one, as SOCKET_FD; the rest of ours is close-on-exec.
 */
static int spawn(char *const argv[], int sock, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none;
	int error;

	sigemptyset(&none);
	/* Without allocation, none of these can fail but the one that adds an action. */
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawnattr_init(&attributes);
	(void)posix_spawnattr_setsigmask(&attributes, &none);
	(void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	error = sock < 0 ? 0 : posix_spawn_file_actions_adddup2(&actions, sock, SOCKET_FD);
	if (error == 0)
		error = posix_spawn(ret, HELPER_PATH, &actions, &attributes, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)posix_spawnattr_destroy(&attributes);
	return -error;
}

int start_helper(const char *link, struct start *ret)
{
	char *argv[] = {(char[]){"nixuser-helper"}, (char *)(uintptr_t)link, NULL};
	auto_close int ours = -1, theirs = -1;
	int fds[2], r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	ours = fds[0];
	theirs = fds[1];
	r = spawn(argv, theirs, &ret->helper_pid);
	if (r < 0)
		return r;
	ret->helper_sock = fd_steal(&ours);
	return 0;
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

void start_release(struct start *start)
{
	const char word = WORD_RELEASE;
	char byte;

	if (start->launch_sock < 0)
		return;
	/* EPIPE: it has ended already. */
	(void)fdpass_send(start->launch_sock, &word, 1, NULL, 0);
	/* Its last reports may come first. */
	while (recv(start->launch_sock, &byte, 1, 0) > 0 || errno == EINTR)
		errno = 0;
	auto_close_fd(&start->launch_sock);
}

int start_reap(pid_t *pid)
{
	siginfo_t end = {0};
	int r = 0;

	if (*pid <= 0)
		return EX_OK;
	while (r = waitid(P_PID, (id_t)*pid, &end, WEXITED), r < 0 && errno == EINTR)
		;
	*pid = 0;
	return r == 0 && end.si_code == CLD_EXITED ? end.si_status : EX_SOFTWARE;
}

void start_end(struct start *start)
{
	(void)start_reap(&start->helper_pid);	/* whatever was to be said has been */
	(void)start_reap(&start->launch_pid);
}

int start_check(const char *link)
{
	char *argv[] = {(char[]){"nixuser-helper"}, (char[]){"--check"},
			(char *)(uintptr_t)link, NULL};
	pid_t pid;
	int r = spawn(argv, -1, &pid);

	return r < 0 ? r : start_reap(&pid);
}
