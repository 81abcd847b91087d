/* SPDX-License-Identifier: MIT */
/* What the files of nixuser-boot that speak to the user have in common. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

/* words_warn() - say "cannot WHAT: " and the text of -@r, and return @status */
int words_warn(int status, int r, const char *what);

/* words_safe() - a path as typed, without what a terminal would obey; one at a time */
const char *words_safe(const char *path);

/**
 * words_not_run() - say that one of our programs cannot be started
 * @r: -errno
 *
 * Return: EX_UNAVAILABLE.
 */
int words_not_run(const char *program, int r);
