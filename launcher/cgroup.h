/* SPDX-License-Identifier: MIT */
/* A delegated cgroup, and the machine's two below it. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include <stdbool.h>

/**
 * cgroup_open_own() - the cgroup v2 directory that this process is in
 *
 * Return: a descriptor, the caller's; -ENOENT if cgroup v2 is not mounted;
 * -errno of open(2). Source: cgroups(7), "/proc/[pid]/cgroup".
 */
int cgroup_open_own(void);

/* cgroup_is_writable() - may we make cgroups in it and move ourselves there? */
bool cgroup_is_writable(int own_fd);

/* cgroup_is_delegated() - does systemd say so (Delegate=yes sets user.delegate)? */
bool cgroup_is_delegated(int own_fd);

/**
 * cgroup_make() - make "nixuser-NAME" and payload/ in it
 * @own_fd: delegated
 * @name:   of the machine
 *
 * One level more than delegation needs, because the manager outside and systemd
 * inside both set attributes of the cgroup they call theirs. What a crash left
 * is taken over. We stay where we are: as long as no controller is enabled below,
 * that is allowed, and each move would wait for an RCU grace period, some
 * milliseconds, once each way.
 *
 * Return: a descriptor of "nixuser-NAME", the caller's; -errno of mkdir(2).
 * Source: systemd, docs/CGROUP_DELEGATION.md.
 */
int cgroup_make(int own_fd, const char *name);
