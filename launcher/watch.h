/* SPDX-License-Identifier: MIT */
/* What nixuser-launch does as long as its machine runs. */
/* Used by: nixuser-launch. Privilege: root of the outer namespace. */
#pragma once

#include "pid1.h"

#include <signal.h>
#include <stdbool.h>

/**
 * watch_report() - tell nixuser-boot that PID 1 runs, or how it ended
 * @end: for REPORT_ENDED
 *
 * Return: 0; -EPIPE if nixuser-boot is gone.
 */
int watch_report(int sock, enum report_kind kind, const struct pid1 *pid1, const siginfo_t *end);

/**
 * watch_released() - what nixuser-boot says next
 *
 * Return: true for WORD_RELEASE, false for its end; with @wait false, true also for
 * nothing.
 */
bool watch_released(int sock, bool wait);

/**
 * watch() - until the machine ends, or nixuser-boot wants it to or is gone itself
 * @ret_end: how it ended
 *
 * Meanwhile runs the commands that nixuser-boot passes on.
 *
 * Return: true if nixuser-boot has released us.
 */
bool watch(const struct machine *machine, const struct pid1 *pid1, siginfo_t *ret_end);
