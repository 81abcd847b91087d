/* SPDX-License-Identifier: MIT */
/* From clone(2) to exec(2) of the machine's first process, seen from outside. */
/* Used by: nixuser-launch. Privilege: root of the outer namespace. */
#pragma once

#include "root.h"

#include <sys/types.h>

struct pid1 {
	pid_t pid;	/* 0 before there is one */
	int pidfd;
	int go_fd;	/* closed without a byte, the payload ends */
	int status_fd;	/* EOF when it has become init */
};

/**
 * pid1_clone() - clone PID 1 into its user and pid namespace and its cgroup
 * @machine: ours is the outer namespace; its mounts need not be there yet
 * @ret:     also on failure, if there is one by then
 *
 * Its maps are written, and it goes on as far as it can without its root.
 *
 * Return: 0 or -errno of pipe(2), clone3(2), write(2) to its maps.
 */
int pid1_clone(struct machine *machine, struct pid1 *ret);

/* pid1_go() - the root is there: go on; 0 or -errno of write(2) */
int pid1_go(const struct pid1 *pid1);

/* pid1_wait() - until it has become the closure's init; says why if it could not */
void pid1_wait(const struct pid1 *pid1);
