/* SPDX-License-Identifier: MIT */
/* Commands that run in a machine beside its PID 1. */
/* Used by: nixuser-launch. Privilege: root of the outer namespace. */
#pragma once

#include "pid1.h"

#include <signal.h>

#define COMMANDS_MAX 64

struct command {
	pid_t pid;
	int pidfd;
	uint32_t id;
};

struct commands {
	struct command list[COMMANDS_MAX];
	size_t n;
};

/**
 * command_start() - run one, in the machine's namespaces and in PID 1's cgroup
 * @machine:    whose
 * @pid1:       of that machine
 * @word:       what; struct run_word with its strings behind it
 * @len:        of all of it
 * @pipes:      standard input, output and error, unless it is to have a terminal
 * @commands:   it is added
 * @ret_master: the master of its terminal, if it has one; the caller's
 *
 * Nothing of the machine is read or executed before it is entered, and nothing of
 * ours can be seen in there: until its exec(2) the process is undumpable.
 *
 * Return: its place in @commands; -EMFILE if there are COMMANDS_MAX; -EPROTO for a
 * word that makes no sense; -errno of openat(2), ioctl(2), setns(2), clone3(2).
 */
int command_start(const struct machine *machine, const struct pid1 *pid1,
		  const struct run_word *word, size_t len, const int pipes[static 3],
		  struct commands *commands, int *ret_master);

/* command_reap() - forget the one at @i, which has ended, and say how */
void command_reap(struct commands *commands, size_t i, siginfo_t *ret_end);
