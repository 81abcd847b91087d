/* SPDX-License-Identifier: MIT */
/* A delegated cgroup, and the machine's two below it. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

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
 * is taken over.
 *
 * Return: a descriptor of "nixuser-NAME", the caller's; -errno of mkdir(2).
 * Source: systemd, docs/CGROUP_DELEGATION.md.
 */
int cgroup_make(int own_fd, const char *name);

/**
 * cgroup_enter_supervisor() - make supervisor/ beside payload/ and move there
 * @machine_fd: from cgroup_make()
 * @companion:  another process of ours that comes along
 *
 * For a unit that systemd has delegated: no processes in its inner nodes. Not
 * for any other cgroup: moving a process waits for an RCU grace period, some
 * milliseconds, once each way.
 *
 * Return: 0, -errno of mkdir(2) or write(2).
 */
int cgroup_enter_supervisor(int machine_fd, pid_t companion);
