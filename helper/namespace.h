/* SPDX-License-Identifier: MIT */
/* The outer namespace: a user and mount namespace with the caller's range. */
/* Used by: nixuser-helper. Privilege: permitted on this side, none in the child. */
#pragma once

#include "lookup.h"

#include <sys/types.h>

/* The child in its new namespaces, seen from the helper. */
struct namespace {
	pid_t pid;
	int pidfd;
	int proc_fd;	/* O_PATH of its /proc/PID */
	int go_fd;	/* a byte here lets it go on; its end, if closed, ends it */
};

/* Closed, or never opened, in every field. */
#define NAMESPACE_NONE ((struct namespace){.pid = -1, .pidfd = -1, .proc_fd = -1, .go_fd = -1})

/**
 * namespace_clone() - clone a child into a new user and mount namespace
 * @ret_refusal: why the kernel refused, if it is one of REFUSED_USERNS_*
 * @ret:         in the parent: the child; release it with namespace_abandon() or
 *               namespace_release()
 * @ret_go_fd:   in the child: where to wait in namespace_enter()
 *
 * The child is a child of our parent (CLONE_PARENT): the supervisor, which
 * outlives us, reaps it. It is undumpable and holds no capability of the host.
 *
 * Return: 1 in the parent, 0 in the child, -errno of pipe2(2), clone3(2) or
 * open(2); -ESRCH if the child is gone; -EACCES if /proc is no procfs.
 * Privilege: none effective; clone(2) of a user namespace needs none.
 */
int namespace_clone(enum refusal *ret_refusal, struct namespace *ret, int *ret_go_fd);

/**
 * namespace_map() - write both maps of the child's namespace
 * @ns:     from namespace_clone()
 * @found:  ranges that have passed lookup_run()
 * @caller: who becomes id 65536 inside
 *
 * Return: 0, or -errno as mapfile_write_uid().
 * Privilege: raised and lowered twice, in mapfile.c only.
 */
int namespace_map(const struct namespace *ns, const struct lookup *found, struct caller caller);

/**
 * namespace_release() - let the child go on, and close what refers to it
 *
 * Return: 0, or -errno of write(2); the child is killed then.
 * Privilege: must be dropped for good already.
 */
int namespace_release(struct namespace *ns);

/* namespace_abandon() - kill the child and close what refers to it. */
void namespace_abandon(struct namespace *ns);

/**
 * namespace_enter() - in the child: wait for the maps, then become root inside
 * @go_fd: from namespace_clone(); closed here
 *
 * Return: 0; -ECANCELED if the helper ended first; -errno of set*id(2);
 * -EPERM if the ids do not read back as 0.
 * Privilege: root of the outer namespace from here on, and of nothing else.
 */
int namespace_enter(int go_fd);
