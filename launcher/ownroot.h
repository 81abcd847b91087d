/* SPDX-License-Identifier: MIT */
/* A gc root of the machine's own, for a closure that is named by its store path. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include "closure.h"

/**
 * ownroot_make() - have nix-store make "$XDG_STATE_HOME/nixuser/NAME/system"
 * @name:    of the machine; valid
 * @closure: its toplevel is rooted; its link becomes the root's path
 *
 * nix-store(1) says itself why it cannot.
 *
 * Return: 0; -ENOTDIR, -EPERM if a directory of the state is not the caller's
 * own; -EIO if nix-store failed; -errno of mkdir(2), fork(2).
 */
int ownroot_make(const char *name, struct closure *closure);

/* ownroot_remove() - remove it again, and directories that are empty then */
void ownroot_remove(const struct closure *closure);
