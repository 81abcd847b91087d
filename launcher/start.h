/* SPDX-License-Identifier: MIT */
/* Starting nixuser-helper, what comes back, and passing it on to nixuser-launch. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include "closure.h"

#include <sys/types.h>

/* The two while they work. They ignore each other. */
struct start {
	pid_t helper_pid;	/* 0 before, and when it is reaped */
	pid_t launch_pid;
	int helper_sock;	/* -1 before */
	int launch_sock;
};

/* What the helper has made. */
struct namespaces {
	int master_fd;	/* of the console */
	int devpts_fd;	/* the detached mount it is on */
	int userns_fd;	/* the outer namespace */
	int mntns_fd;	/* its mount namespace */
};

/**
 * start_helper() - start nixuser-helper
 * @link: absolute path of the gc root
 * @ret:  helper_pid and helper_sock
 *
 * Return: 0, -errno of socketpair(2) or posix_spawn(3).
 */
int start_helper(const char *link, struct start *ret);

/**
 * start_receive() - wait for the namespaces and the console
 * @start:   from start_helper()
 * @closure: the helper must have validated the same toplevel
 * @ret:     the caller's
 *
 * Return: 0; -EPIPE if the helper has ended without: start_reap() has its
 * status, and it has said why; -ESTALE if it saw another toplevel.
 */
int start_receive(const struct start *start, const struct closure *closure,
		  struct namespaces *ret);

/**
 * start_send_namespaces() - let nixuser-launch go on
 *
 * Return: 0, -errno of sendmsg(2).
 */
int start_send_namespaces(const struct start *start, const struct namespaces *namespaces);

/**
 * start_await() - leave the processors to nixuser-launch and PID 1
 *
 * Until PID 1 is the closure's init and says nothing for a while, or for 20 ms;
 * what is loaded after that is loaded beside it.
 */
void start_await(const struct start *start);

/**
 * start_release() - have nixuser-launch end its machine, if it has one
 *
 * What is left then is ours to remove. Returns when it has removed its part.
 */
void start_release(struct start *start);

/**
 * start_reap() - wait for one of them
 * @pid: 0 afterwards
 *
 * Return: its exit status, EX_SOFTWARE if it was killed, EX_OK if there is none.
 */
int start_reap(pid_t *pid);

/* start_end() - wait for both, when all is done */
void start_end(struct start *start);

/**
 * start_check() - have nixuser-helper check the link and say what it found
 * @link: absolute path
 *
 * Return: its exit status; it has printed what is wrong on stderr, or what it
 * found on stdout. -errno of posix_spawn(3).
 */
int start_check(const char *link);
