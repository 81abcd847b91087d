/* SPDX-License-Identifier: MIT */
/* The mounts of a machine, as data: what is mounted is what --dry-run prints. */
/* Used by: nixuser-launch (mounts them), nixuser-boot (prints them). Privilege: none. */
#pragma once

#include <stddef.h>

/* Where a mount is made. What the outer namespace makes is locked for the machine. */
enum mount_stage { MOUNT_OUTER, MOUNT_INNER };

struct mount {
	enum mount_stage stage;
	const char *target;	/* relative to the machine's root */
	const char *source;	/* absolute path of the host for a bind, else a name */
	const char *type;	/* file system, or NULL for a bind */
	unsigned long flags;	/* of mount(2) */
	const char *data;	/* options of the file system, or NULL */
};

extern const struct mount mounts[];
extern const size_t mounts_count;

/* Devices of the host that every system may expect, bound one by one into /dev. */
extern const char *const mount_devices[];
extern const size_t mount_devices_count;

/**
 * mounts_make() - make all mounts of one stage, in order
 * @stage:     which
 * @ret_which: on failure, the target that failed
 *
 * The current directory is the machine's root; targets exist.
 *
 * Return: 0, or -errno of mount(2), open_tree(2), mount_setattr(2), move_mount(2).
 * Privilege: CAP_SYS_ADMIN over the current mount namespace.
 */
int mounts_make(enum mount_stage stage, const char **ret_which);
