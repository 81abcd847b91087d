/* SPDX-License-Identifier: MIT */
/* A process that inherits nothing from its caller but what it was promised. */
/* Used by: nixuser-helper. Privilege: none; runs with none effective. */
#pragma once

/**
 * entry_clean() - undo what a hostile caller may have arranged before exec(2)
 * @last_fd: at least 2; descriptors above are closed
 *
 * Should: run right after caps_enter(), before argv is looked at.
 * Mustn't: trust AT_SECURE, secure_getenv(3) or the loader for any of it (the
 * NixOS wrapper leaves AT_SECURE=0).
 *
 * Undumpable; fds 0 to 2 open (/dev/null where they were closed) and all above
 * @last_fd closed; environment constant; umask 077; cwd /; no core file;
 * signals unblocked and at their default, SIGPIPE ignored; no timer running
 * but a watchdog that ends the process by SIGALRM after 30 seconds.
 *
 * Return: 0, or -errno of the first step that failed; the caller must end then.
 */
int entry_clean(int last_fd);
