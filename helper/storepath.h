/* SPDX-License-Identifier: MIT */
/* Names in the Nix store and in its gcroots/auto, as pure text. */
/* Used by: nixuser-helper. Privilege: none. */
#pragma once

#include "refusal.h"

#include <stddef.h>

/* "HASH-NAME": 32 characters of Nix base-32, a dash and at most 211 of a name. */
#define STOREPATH_HASH 32
#define STOREPATH_NAME_MAX 211
#define STOREPATH_BASE_SIZE (STOREPATH_HASH + 1 + STOREPATH_NAME_MAX + 1)

/* A SHA-1 (20 bytes) in Nix base-32 takes 32 characters. */
#define STOREPATH_ROOT_SIZE (32 + 1)

/**
 * storepath_check_base() - is this the last part of a store path's name?
 * @base: text of any length and content
 *
 * Return: REFUSED_NOT; REFUSED_TARGET_NAME, _DERIVATION or _TEMPORARY.
 * Source: Nix, src/libstore/path.cc (checkName) and base-nix-32.cc.
 */
enum refusal storepath_check_base(const char *base);

/**
 * storepath_parse() - take the text of a gc root apart
 * @target: what readlink(2) said, with a NUL at its end
 * @ret:    STOREPATH_BASE_SIZE bytes: what follows STORE_DIR "/"
 *
 * Exactly STORE_DIR, one slash and a base name: no "..", no double slash, no
 * path inside, nothing behind.
 *
 * Return: REFUSED_NOT, REFUSED_TARGET_NOT_STORE, REFUSED_TARGET_INSIDE, or as
 * storepath_check_base().
 */
enum refusal storepath_parse(const char *target, char ret[static STOREPATH_BASE_SIZE]);

/**
 * storepath_root_name() - under which name Nix registers an indirect gc root
 * @link: absolute path of the user's link, as text
 * @ret:  STOREPATH_ROOT_SIZE bytes: the name in STATE_DIR "/gcroots/auto"
 *
 * Source: Nix, LocalStore::addIndirectRoot() in src/libstore/gc.cc: the SHA-1
 * of the path as text, in Nix base-32.
 */
void storepath_root_name(const char *link, char ret[static STOREPATH_ROOT_SIZE]);
