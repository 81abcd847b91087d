/* SPDX-License-Identifier: MIT */
/* The lookup child: reads what is hostile or complicated, holding nothing. */
/* Used by: nixuser-helper. Privilege: none inside the child. */
#pragma once

#include "subid.h"
#include "refusal.h"
#include "storepath.h"

#include <sys/types.h>

/* Who called, by the kernel: real, effective and saved ids were all equal. */
struct caller {
	uid_t uid;
	gid_t gid;
};

/* What the lookup found. Fixed size: it crosses a pipe in one write(2). */
struct lookup {
	uint32_t magic;
	uint32_t refusal;			/* enum refusal */
	struct id_range ranges[SUBID_KINDS];	/* valid if not refused */
	char base[STOREPATH_BASE_SIZE];		/* valid if not refused */
};

/* The child while it looks. */
struct lookup_child {
	pid_t pid;
	int answer_fd;
};

/**
 * lookup_start() - validate @link and find the caller's ranges, in a child
 * @link:   path of the gc root as the caller typed it; hostile
 * @caller: who asks
 * @ret:    the child; end it with lookup_finish()
 *
 * The child drops its capabilities before it looks at anything and is
 * undumpable, so that the caller cannot ptrace it into another answer.
 *
 * Return: 0, -errno of pipe2(2) or fork(2).
 * Privilege: permitted here, none effective; none in the child.
 */
int lookup_start(const char *link, struct caller caller, struct lookup_child *ret);

/**
 * lookup_finish() - take the answer, and end the child
 * @child:  from lookup_start(); killed and reaped on every path
 * @caller: as there
 * @ret:    the answer, checked again on this side; valid for REFUSED_NOT only
 *
 * Waits ten seconds at most.
 *
 * Return: REFUSED_NOT, what the child found, or REFUSED_LOOKUP_*.
 * Privilege: permitted, none effective.
 */
enum refusal lookup_finish(struct lookup_child *child, struct caller caller, struct lookup *ret);
