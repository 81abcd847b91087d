/* SPDX-License-Identifier: MIT */
/* The capability state of a program that holds CAP_SETUID and CAP_SETGID. */
/* Used by: nixuser-helper. Privilege: this is where it is held and ended. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CAPS_BIT(cap) (UINT32_C(1) << (cap))

/**
 * caps_enter() - leave the state of exec(2) for one that is known
 * @wanted: CAPS_BIT()s of the capabilities this program is installed with
 *
 * Ambient, inheritable and effective become empty, permitted becomes @wanted
 * and nothing more. The same for an installation by file capabilities and for
 * one behind the NixOS wrapper, which raises ambient ones.
 *
 * Return: 0; -EPERM if one of @wanted is not permitted; -ENOTRECOVERABLE if the
 * kernel does not read back what was set; -errno of capset(2).
 * Privilege: none used. Source: capabilities(7), capset(2),
 * PR_CAP_AMBIENT_CLEAR_ALL in prctl(2).
 */
int caps_enter(uint32_t wanted);

/**
 * caps_raise() - make capabilities effective that are permitted
 * @permitted: what stays permitted, as at caps_enter()
 * @which:     CAPS_BIT()s; all others become not effective
 *
 * Return: 0, or -errno of capset(2): -EPERM if one is not permitted.
 * Privilege: from here to caps_lower(). Source: capset(2).
 */
int caps_raise(uint32_t permitted, uint32_t which);

/**
 * caps_lower() - make no capability effective
 * @permitted: what stays permitted, as at caps_enter() or less
 *
 * Return: 0, or -errno of capset(2). Privilege: ends what caps_raise() began.
 */
int caps_lower(uint32_t permitted);

/**
 * caps_drop() - give up every capability for good, and prove it
 *
 * Afterwards the sets read back as empty and raising CAP_SETUID is refused.
 *
 * Return: 0; -ENOTRECOVERABLE if any of it could be read back or regained.
 * Privilege: ends it. Source: capset(2); the proof after OpenSSH's
 * permanently_set_uid().
 */
int caps_drop(void);
