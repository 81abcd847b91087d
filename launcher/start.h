/* SPDX-License-Identifier: MIT */
/* Starting nixuser-helper, and what comes back from it. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include <sys/types.h>

/* What of the machine exists before it is told its plan. */
struct start {
	int sock;	/* to nixuser-helper first, then to nixuser-launch */
	int master_fd;	/* of the console */
	int userns_fd;	/* the outer namespace; to enter it if nixuser-launch is killed */
};

/**
 * start_helper() - run nixuser-helper, as a child
 * @link:     absolute path of the gc root
 * @ret_sock: its socket; the caller's
 *
 * Return: 0, -errno of socketpair(2) or posix_spawn(3).
 */
int start_helper(const char *link, int *ret_sock);

/**
 * start_receive() - wait for the console of the new namespace
 * @sock: from start_helper()
 * @ret:  takes over @sock
 *
 * Return: 0; -EPIPE if the helper has ended without one: start_reap() has its
 * status, and it has said why.
 */
int start_receive(int sock, struct start *ret);

/**
 * start_reap() - wait for all children, and take the first failure's exit status
 *
 * Return: an exit status, not 0; EX_SOFTWARE if no child has failed.
 */
int start_reap(void);

/**
 * start_check() - have nixuser-helper check the link and say what it found
 * @link: absolute path
 *
 * Return: its exit status; it has printed what is wrong on stderr, or what it
 * found on stdout.
 */
int start_check(const char *link);
