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
	int go_fd;	/* a name here lets it go on; if it closes, the child ends */
};

/**
 * namespace_clone() - clone a child into a new user and mount namespace
 * @ret_refusal: why the kernel refused, if it is one of REFUSED_USERNS_*
 * @ret:         in the parent: the child; end it with namespace_abandon() or
 *               namespace_finish()
 * @ret_go_fd:   in the child: where to wait in namespace_enter()
 *
 * The child is undumpable and holds no capability of the host.
 *
 * Return: 1 in the parent, 0 in the child, -errno of pipe2(2), clone3(2) or
 * open(2); -EACCES if /proc is no procfs.
 * Privilege: none effective; clone(2) of a user namespace needs none.
 */
int namespace_clone(enum refusal *ret_refusal, struct namespace *ret, int *ret_go_fd);

/**
 * namespace_map() - write both maps of the child's namespace
 * @ns:     from namespace_clone()
 * @found:  ranges that have passed lookup_finish()
 * @caller: who becomes id 65536 inside
 *
 * Return: 0, or -errno as mapfile_write_uid().
 * Privilege: raised and lowered twice, in mapfile.c only.
 */
int namespace_map(const struct namespace *ns, const struct lookup *found, struct caller caller);

/**
 * namespace_finish() - let the child go on, and wait until it has ended
 * @ns:   mapped; closed here
 * @base: of the closure that was validated, for namespace_hand_over()
 *
 * Return: the child's exit status, or -errno of write(2); it is killed then.
 * Privilege: must be dropped for good already.
 */
int namespace_finish(struct namespace *ns, const char *base);

/* namespace_abandon() - kill the child, reap it, close what refers to it. */
void namespace_abandon(struct namespace *ns);

/**
 * namespace_enter() - in the child: wait for the maps, then become root inside
 * @go_fd:    from namespace_clone(); closed here
 * @ret_base: what namespace_finish() was given
 *
 * Return: 0; -ECANCELED if the helper ended first; -errno of set*id(2);
 * -EPERM if the ids do not read back as 0.
 * Privilege: root of the outer namespace from here on, and of nothing else.
 */
int namespace_enter(int go_fd, char ret_base[static STOREPATH_BASE_SIZE]);

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
