/* SPDX-License-Identifier: MIT */
/* The closure as the supervisor sees it: which one, and can it boot this way? */
/* Used by: nixuser-boot. Privilege: none; nixuser-helper checks again what counts. */
#pragma once

#include "plan.h"

#include <stdbool.h>
#include <stddef.h>

struct closure {
	char link[PATH_MAX];		/* absolute path of the gc root */
	char toplevel[PATH_MAX];	/* what it says; a path in the store */
	bool own_root;			/* link is made by us, for this run */
	int fd;				/* O_PATH of the toplevel: alive as long as this is open */
};

/**
 * closure_locate() - make the link absolute and read it, once
 * @typed: what the user typed
 * @ret:   link and toplevel are filled in; fd is -1
 *
 * The path is made absolute as Nix does it, by text: what gcroots/auto is keyed
 * by. What the link says is not judged here. A path in the store is its own
 * toplevel; there is no link then, and own_root is set: see ownroot_make().
 *
 * Return: 0; -ENAMETOOLONG; -EINVAL if it is no link into the store, and
 * nixuser-helper shall say what it is; -errno of readlink(2) or getcwd(3).
 */
int closure_locate(const char *typed, struct closure *ret);

enum closure_failure {
	CLOSURE_OK,
	CLOSURE_GONE,		/* not there (collected?), or no directory */
	CLOSURE_NO_INIT,
	CLOSURE_NOT_EXECUTABLE,
	CLOSURE_ETC_OVERLAY,
	CLOSURE_NIXOS_INIT,
	CLOSURE_ARCHITECTURE,
};

/**
 * closure_open() - open the toplevel and see whether it can boot in a container
 * @closure: from closure_locate(); its fd is set, also on failure if it could be opened
 *
 * Return: CLOSURE_OK or what stands in the way.
 * Source: nixpkgs, nixos/modules/system/activation/top-level.nix.
 */
enum closure_failure closure_open(struct closure *closure);

/* closure_failure_text() - what is wrong and which option to change */
const char *closure_failure_text(enum closure_failure f);

/* closure_has_console() - false if the closure masks the login prompt on /dev/console */
bool closure_has_console(const struct closure *closure);

/**
 * closure_name() - the name a machine gets if its user gives none
 * @ret: the link's name; for "result" the closure's host name, if it says one
 *
 * Not checked, and cut off: the link may have any name.
 */
void closure_name(const struct closure *closure, char *ret, size_t size);
