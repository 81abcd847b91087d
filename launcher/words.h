/* SPDX-License-Identifier: MIT */
/* What the files of nixuser-boot that speak to the user have in common. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

/* words_fail() - say "cannot WHAT: " and the text of -@r, and exit with @status */
_Noreturn void words_fail(int status, int r, const char *what);

/* words_warn() - say the same, and return @status */
int words_warn(int status, int r, const char *what);

/* words_safe() - a path as typed, without what a terminal would obey; one at a time */
const char *words_safe(const char *path);

/**
 * words_status() - the exit status of one of our programs, as ours
 * @status:  from start_reap(); START_NOT_RUN is said and becomes EX_UNAVAILABLE
 * @program: its path
 */
int words_status(int status, const char *program);
