/* SPDX-License-Identifier: MIT */
/* A gc root of the machine's own, for a closure that is named by its store path. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include "closure.h"
#include "machine.h"

/**
 * ownroot_make() - have nix-store make "system" in the machine's runtime directory
 * @runtime: locked, so no other machine has it; removed with it, by cleanup_machine()
 * @closure: its toplevel is rooted; its link becomes the root's path
 *
 * nix-store(1) says itself why it cannot.
 *
 * Return: 0; -EIO if nix-store failed; -ENAMETOOLONG; -errno of fork(2).
 */
int ownroot_make(const struct runtime *runtime, struct closure *closure);
