/* SPDX-License-Identifier: MIT */
/* A scope of the user manager, with delegation, for this process. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* scope_is_possible() - is there a user bus at all? Cheap: one access(2). */
bool scope_is_possible(void);

/**
 * scope_enter() - have the user manager put us into a scope of our own
 * @name:      of the machine; the unit is "nixuser-NAME.scope"
 * @companion: another process of ours that comes along
 *
 * Returns when the manager has done it; at once, if the unit that we are in has
 * Delegate=yes already.
 *
 * Return: 0; -EEXIST if the unit is there already; -ECANCELED if the job
 * failed; -ETIMEDOUT after ten seconds; -errno of sd_bus_call(3).
 * Source: org.freedesktop.systemd1(5),
 * StartTransientUnit(); systemd.scope(5).
 */
int scope_enter(const char *name, pid_t companion);
