/* SPDX-License-Identifier: MIT */
/* What a machine is to the host: its name, its id, its runtime directory. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include "plan.h"

#include <stdbool.h>
#include <sys/types.h>

/**
 * machine_name_is_valid() - the one check of names, used everywhere
 *
 * One to PLAN_NAME_MAX of [a-zA-Z0-9_+.-], not beginning with a dot: safe as a
 * file name, in a cgroup, a unit and on a terminal.
 */
bool machine_name_is_valid(const char *name);

/**
 * machine_id() - the machine-id of a caller's machine on this host
 * @name: valid
 * @ret:  32 lower-case hex digits
 *
 * The same at every boot, another on every host, for every user and every name.
 */
void machine_id(const char *name, char ret[static PLAN_ID_SIZE]);

/**
 * runtime_find() - set XDG_RUNTIME_DIR if it is missing and the directory is not
 *
 * After su(1), say. The user bus is found by it as well.
 */
void runtime_find(void);

/* "$XDG_RUNTIME_DIR/nixuser/NAME", locked. */
struct runtime {
	int dir_fd;
	int lock_fd;
	char path[PATH_MAX];
};

enum runtime_failure {
	RUNTIME_OK,
	RUNTIME_NONE,		/* no XDG_RUNTIME_DIR, or not the caller's own */
	RUNTIME_HELD,		/* a machine of this name runs */
	RUNTIME_FAILED,		/* errno says why */
};

/**
 * runtime_acquire() - make the machine's runtime directory and lock it
 * @name:    valid
 * @ret:     release it with runtime_release(), unless cleanup_machine() was called
 * @ret_pid: for RUNTIME_HELD, who holds it; 0 if unknown
 *
 * A directory left by a crash is taken over. Nothing is followed through a link;
 * a directory that is not the caller's, or open to others, is refused.
 *
 * Return: RUNTIME_OK or why not.
 */
enum runtime_failure runtime_acquire(const char *name, struct runtime *ret, pid_t *ret_pid);

/* runtime_release() - close what runtime_acquire() opened; files stay. */
void runtime_release(struct runtime *runtime);

/* runtime_open_all() - the directory of all machines; -ENOTDIR without a runtime directory, -errno */
int runtime_open_all(void);

/* runtime_open() - a machine's runtime directory, as it is: a descriptor, or as above */
int runtime_open(const char *name);

/* runtime_is_held() - is there a nixuser-boot for this directory? */
bool runtime_is_held(int dir_fd);
