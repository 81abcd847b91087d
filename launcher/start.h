/* SPDX-License-Identifier: MIT */
/* Starting nixuser-helper and nixuser-launch, and what comes back. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include "closure.h"

#include <sys/types.h>

/* Both programs while they work. They ignore each other. */
struct start {
	pid_t helper_pid;
	pid_t launch_pid;
	int helper_sock;
	int launch_sock;
};

/* What the helper has made. */
struct namespaces {
	int master_fd;	/* of the console */
	int devpts_fd;	/* the detached mount it is on */
	int userns_fd;	/* the outer namespace */
	int mntns_fd;	/* its mount namespace */
};

/* The exit status of a program that could not be executed; neither has it itself. */
#define START_NOT_RUN 127

/**
 * start_programs() - start nixuser-helper, and nixuser-launch beside it
 * @link: absolute path of the gc root
 *
 * A program that cannot be executed ends with START_NOT_RUN, see start_reap().
 *
 * Return: 0, -errno of socketpair(2) or fork(2).
 */
int start_programs(const char *link, struct start *ret);

/**
 * start_receive() - wait for the namespaces and the console
 * @start:   from start_programs()
 * @closure: the helper must have validated the same toplevel
 * @ret:     the caller's
 *
 * Return: 0; -EPIPE if the helper has ended without: start_reap() has its
 * status, and it has said why; -ESTALE if it saw another toplevel.
 */
int start_receive(const struct start *start, const struct closure *closure,
		  struct namespaces *ret);

/**
 * start_send_namespaces() - let nixuser-launch go on, after its plan
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
 * start_release() - have nixuser-launch end its machine, if it has one, and itself
 *
 * What is left then is ours to remove. Returns when it has ended.
 *
 * Return: its exit status, as start_reap().
 */
int start_release(struct start *start);

/**
 * start_reap() - wait for a program
 *
 * Return: its exit status, EX_SOFTWARE if it was killed.
 */
int start_reap(pid_t pid);

/**
 * start_check() - have nixuser-helper check the link and say what it found
 * @link: absolute path
 *
 * Return: its exit status; it has printed what is wrong on stderr, or what it
 * found on stdout. -errno of fork(2).
 */
int start_check(const char *link);
