/* SPDX-License-Identifier: MIT */
/* What every process of a machine has in common with its PID 1. */
/* Used by: nixuser-launch, in children that are the machine's. Privilege: root of the
 * inner namespace. */
#pragma once

/**
 * payload_become_ordinary() - a new session keyring, the machine's capabilities, default signals
 *
 * Return: 0, -errno of keyctl(2), prctl(2), sigaction(2).
 */
int payload_become_ordinary(void);
