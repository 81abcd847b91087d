/* SPDX-License-Identifier: MIT */
/* Writing the maps of a user namespace: the two moments of privilege. */
/* Used by: nixuser-helper. Privilege: CAP_SETUID and CAP_SETGID, see mapfile.c. */
#pragma once

#include <stddef.h>

/**
 * mapfile_write_uid() - write uid_map, with CAP_SETUID effective meanwhile
 * @proc_fd: O_PATH descriptor of /proc/PID of a dumpable child in its new user
 *           namespace
 * @map:     the whole map, as range_map() makes it
 * @len:     its length in bytes
 *
 * CAP_SETUID and CAP_SETGID stay permitted; none is effective on return.
 *
 * Return: 0; -EIO for a short write; -errno of openat(2) or write(2).
 * Privilege: CAP_SETUID, from before the open to after the write.
 * Source: new_idmap_permitted() in kernel/user_namespace.c wants it of the
 * opener and of the writer, over the parent namespace.
 */
int mapfile_write_uid(int proc_fd, const char *map, size_t len);

/**
 * mapfile_write_gid() - write gid_map, with CAP_SETGID effective meanwhile
 *
 * As mapfile_write_uid().
 */
int mapfile_write_gid(int proc_fd, const char *map, size_t len);
