/* SPDX-License-Identifier: MIT */
/* Is this link a live gc root of the caller's, and to what? */
/* Used by: nixuser-helper's lookup child. Privilege: none, and none may be held. */
#pragma once

#include "refusal.h"
#include "storepath.h"

#include <sys/types.h>

/**
 * gcroot_check() - validate the link that names a closure
 * @link:   path as the caller typed it; hostile
 * @caller: his uid
 * @ret:    base name of the store path, a directory of the store
 *
 * What it proves: the closure is a directory of the store, alive for Nix's
 * collector now, and meant by the caller. It is no wall between a user and his
 * own range: SECURITY.md.
 *
 * MUST, each with a test of the same number:
 *  G1 @link is absolute, without ".", ".." and empty parts.
 *  G2 it does not stand in proc; every directory above it belongs to root or the
 *     caller, is no symlink, and
 *     is writable by nobody else unless sticky.
 *  G3 the link is a symlink that belongs to the caller.
 *  G4 it is read once; its text is exactly STORE_DIR "/" and a base name.
 *  G5 the store path is a directory on the store's device that belongs to the
 *     owner of the store, root or the caller, and nobody else may write it.
 *  G6 the link is registered: gcroots/auto has its name and points to exactly
 *     it, or it stands where Nix itself scans (gcroots, profiles).
 *
 * Reads names, owners and modes; never the content of a file.
 *
 * Return: REFUSED_NOT, or the first MUST that does not hold.
 * Source: Nix, LocalStore::findRoots() in src/libstore/gc.cc: one indirect hop.
 */
enum refusal gcroot_check(const char *link, uid_t caller, char ret[static STOREPATH_BASE_SIZE]);
