/* SPDX-License-Identifier: MIT */
/* Why a request is refused: one name, one sentence and one exit status each. */
/* Used by: nixuser-helper. Privilege: none. */
#pragma once

enum refusal {
	REFUSED_NOT,
	/* the link that the caller named */
	REFUSED_LINK_ABSOLUTE,
	REFUSED_LINK_MISSING,
	REFUSED_LINK_UNREADABLE,
	REFUSED_LINK_DIRECTORY,
	REFUSED_LINK_FILE,
	REFUSED_LINK_PARENT_SYMLINK,
	REFUSED_LINK_PARENT_WRITABLE,
	REFUSED_LINK_PARENT_FOREIGN,
	REFUSED_LINK_FOREIGN,
	REFUSED_LINK_LOOP,
	REFUSED_LINK_LONG,
	REFUSED_LINK_PROC,
	/* what the link says */
	REFUSED_TARGET_NOT_STORE,
	REFUSED_TARGET_INSIDE,
	REFUSED_TARGET_NAME,
	REFUSED_TARGET_DERIVATION,
	REFUSED_TARGET_TEMPORARY,
	/* the store path itself */
	REFUSED_STORE,
	REFUSED_PATH_MISSING,
	REFUSED_PATH_FILE,
	REFUSED_PATH_OWNER,
	REFUSED_PATH_WRITABLE,
	REFUSED_PATH_DEVICE,
	/* its registration with Nix */
	REFUSED_ROOT_UNREGISTERED,
	REFUSED_ROOT_OTHER,
	/* the caller and his ranges */
	REFUSED_CALLER_ROOT,
	REFUSED_CALLER_SETUID,
	REFUSED_CALLER_UNKNOWN,
	REFUSED_SUBID_SOURCE,
	REFUSED_SUBID_PLUGIN,
	REFUSED_SUBID_FILE,
	REFUSED_SUBID_LOOKUP,
	REFUSED_RANGE_NONE,
	REFUSED_RANGE_EMPTY,
	REFUSED_RANGE_WRAPS,
	REFUSED_RANGE_ROOT,
	REFUSED_RANGE_SYSTEM,
	REFUSED_RANGE_CALLER,
	REFUSED_RANGE_SHARED,
	REFUSED_RANGE_MANY,
	REFUSED_RANGE_SMALL,
	/* the lookup child */
	REFUSED_LOOKUP_DIED,
	REFUSED_LOOKUP_SLOW,
	REFUSED_LOOKUP_GARBLED,
	/* capabilities and the kernel */
	REFUSED_CAPS_NONE,
	REFUSED_CAPS_NNP,
	REFUSED_USERNS_LIMIT,
	REFUSED_USERNS_FORBIDDEN,
	REFUSED_COUNT
};

/**
 * refusal_text() - the sentence for people: what is wrong and what to do now
 * @r: any value; one that is not in the list yields the sentence of a bug
 *
 * Return: a constant string without a full stop. Privilege: none.
 */
const char *refusal_text(enum refusal r);

/**
 * refusal_status() - the exit status that goes with @r
 *
 * Return: a value of sysexits.h: EX_DATAERR for a closure, EX_NOPERM for a
 * caller or a range, EX_UNAVAILABLE or EX_OSERR for the rest; EX_SOFTWARE for
 * a value that is not in the list. Privilege: none.
 */
int refusal_status(enum refusal r);
