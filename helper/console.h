/* SPDX-License-Identifier: MIT */
/* The machine's own devpts, and the first terminal on it: /dev/console. */
/* Used by: nixuser-helper's namespace child. Privilege: root of the outer namespace. */
#pragma once

struct console {
	int devpts_fd;	/* the detached mount */
	int master_fd;	/* of its first pty, pts/0 */
};

/**
 * console_make() - a devpts instance of the machine's own and a pty on it
 * @ret: both close-on-exec; the caller's
 *
 * Of its own, because the inode of a host's pty belongs to a group that is not
 * mapped: agetty's fchown(2) then gets EPERM, and it exits.
 *
 * Return: 0; -ENOTTY if the pty is not number 0 of a devpts; -errno of
 * fsopen(2), fsmount(2), openat(2) or ioctl(2).
 * Source: Documentation/filesystems/devpts.rst; ioctl_tty(2).
 */
int console_make(struct console *ret);
