/* SPDX-License-Identifier: MIT */
/* The outer namespace: a user and mount namespace with the caller's range. */
/* Used by: nixuser-helper. Privilege: permitted on this side, none in the child. */
#pragma once

#include "lookup.h"

#include <sys/types.h>

/* The child in its new namespaces, seen from the helper. */
struct namespace {
	pid_t pid;
	int proc_fd;	/* O_PATH of its /proc/PID */
	int sock;	/* one byte from it, one name to it; if this closes, it ends */
};

/* The helper, seen from the child. */
struct namespace_child {
	pid_t parent;
	int sock;
};

/**
 * namespace_clone() - clone a child into a new user and mount namespace
 * @ret_refusal: why the kernel refused, if it is one of REFUSED_USERNS_*
 * @ret:         in the parent: the child; end it with namespace_abandon() or
 *               namespace_finish()
 * @ret_child:   in the child: for namespace_enter()
 *
 * The child holds no capability of the host. It must not hold a descriptor that
 * the caller may not have either: it becomes dumpable, and he may ptrace it.
 *
 * Return: 1 in the parent, 0 in the child, -errno of socketpair(2),
 * clone3(2) or open(2); -EACCES if /proc is no procfs.
 * Privilege: none effective; clone(2) of a user namespace needs none.
 */
int namespace_clone(enum refusal *ret_refusal, struct namespace *ret,
		    struct namespace_child *ret_child);

/**
 * namespace_map() - write both maps of the child's namespace
 * @ns:     from namespace_clone()
 * @found:  ranges that have passed lookup_finish()
 * @caller: who becomes id 65536 inside
 *
 * Return: 0, -ECHILD if the child has ended; -errno as mapfile_write_uid().
 * Privilege: raised and lowered twice, in mapfile.c only.
 */
int namespace_map(struct namespace *ns, const struct lookup *found, struct caller caller);

/**
 * namespace_finish() - let the child go on, and wait until it has ended
 * @ns:   mapped; closed here
 * @base: of the closure that was validated, for namespace_hand_over()
 *
 * Return: the child's exit status, or -errno of send(2); it is killed then.
 * Privilege: must be dropped for good already.
 */
int namespace_finish(struct namespace *ns, const char *base);

/* namespace_abandon() - kill the child, reap it, close what refers to it. */
void namespace_abandon(struct namespace *ns);

/**
 * namespace_enter() - in the child: have the maps written, become root inside
 * @child:    from namespace_clone()
 * @ret_base: what namespace_finish() was given
 *
 * Ends with the helper from here on.
 *
 * Return: 0; -ECANCELED if the helper ended first; -errno of prctl(2), set*id(2);
 * -EPERM if the ids do not read back as 0.
 * Privilege: root of the outer namespace from here on, and of nothing else.
 */
int namespace_enter(const struct namespace_child *child,
		    char ret_base[static STOREPATH_BASE_SIZE]);

/**
 * namespace_hand_over() - in the child: make the console, and send it all
 * @sock: to nixuser-boot
 * @base: of the closure that was validated
 *
 * One message: @base, so that what was checked is what is booted, and four
 * descriptors: the console's master, the devpts it is on (a detached mount), the
 * user namespace, the mount namespace.
 * The caller owns the user namespace, so nixuser-launch, which is his, may
 * enter both; nothing is executed here.
 *
 * Return: 0; -EPIPE if nixuser-boot is gone; -errno as console_make(), open(2).
 */
int namespace_hand_over(int sock, const char *base);
