/* SPDX-License-Identifier: MIT */
/* Nothing of a machine stays behind, whoever of its two keepers is left. */
/* Used by: nixuser-launch; nixuser-boot when nixuser-launch was killed. */
#pragma once

#include "plan.h"

/* Names below the machine's cgroup and its runtime directory. */
#define CLEANUP_PAYLOAD "payload"
#define CLEANUP_EXPORT "unix-export"
#define CLEANUP_LOCK "lock"
#define CLEANUP_ROOT "system"	/* the gc root of a closure that has no other: ownroot.h */

/**
 * cleanup_payload() - kill what runs in the machine, remove what it has made
 * @cgroup_fd:  the machine's cgroup; payload/ and all below is removed; -1 for none
 * @runtime_fd: its runtime directory; unix-export/ and all below is removed
 *
 * What the machine left there may be anything, in any number and depth; links
 * are not followed and nothing recurses. Waits up to a second for the cgroup to
 * become empty.
 *
 * Return: 0, or -errno of the first thing that could not be removed.
 * Privilege: root of the outer namespace, once both belong to the machine's root;
 * the caller's own before.
 */
int cleanup_payload(int cgroup_fd, int runtime_fd);

/**
 * cleanup_machine() - remove the rest: the machine's cgroup and runtime directory
 * @cgroup_fd:  the machine's cgroup; -1 for none
 * @runtime_fd: its runtime directory, in "$XDG_RUNTIME_DIR/nixuser"
 * @name:       of the machine
 *
 * Return: 0, or -errno of the first thing that could not be removed.
 * Privilege: the caller's own, or root of the outer namespace.
 */
int cleanup_machine(int cgroup_fd, int runtime_fd, const char *name);

/* The name of the machine's cgroup, relative to the one it is in: "nixuser-NAME". */
#define CLEANUP_CGROUP_PREFIX "nixuser-"
#define CLEANUP_CGROUP_SIZE (sizeof(CLEANUP_CGROUP_PREFIX) + PLAN_NAME_MAX)
