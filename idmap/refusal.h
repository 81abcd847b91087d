/* SPDX-License-Identifier: MIT */
/* Why a request is refused: one name, one exit status and one sentence each. */
/* Used by: nixuser-helper. Privilege: none. */
#pragma once

#include <sysexits.h>

#define ADD_ROOT "make one with 'nix-store --realise PATH --add-root LINK'"
#define ASK_ADMIN \
	"ask the administrator for 65536 uids and gids ('usermod --add-subuids --add-subgids')"
#define SETCAP "'setcap cap_setgid,cap_setuid=p' on nixuser-helper"

/* X(NAME, EXIT STATUS, SENTENCE): the one list that enum, words and statuses are made from. */
#define REFUSALS(X) \
	/* the link that the caller named */ \
	X(LINK_ABSOLUTE, EX_DATAERR, \
	  "not an absolute path without '.', '..' and empty parts; name the link as Nix " \
	  "registered it") \
	X(LINK_MISSING, EX_DATAERR, \
	  "no such link; build one with 'nix-build' or name another") \
	X(LINK_UNREADABLE, EX_DATAERR, \
	  "the link or a directory above it cannot be read; check its permissions") \
	X(LINK_DIRECTORY, EX_DATAERR, \
	  "this is a directory, not a link to a closure; name the 'result' link in it") \
	X(LINK_FILE, EX_DATAERR, \
	  "this is not a symbolic link to a closure; " ADD_ROOT) \
	X(LINK_PARENT_SYMLINK, EX_DATAERR, \
	  "a directory above the link is a symbolic link itself; name the link by its real " \
	  "path") \
	X(LINK_PARENT_WRITABLE, EX_DATAERR, \
	  "others may write to a directory above the link and it is not sticky; " \
	  "'chmod go-w' it or move the link") \
	X(LINK_PARENT_FOREIGN, EX_DATAERR, \
	  "a directory above the link belongs to another user; move the link into one of yours") \
	X(LINK_FOREIGN, EX_DATAERR, \
	  "the link belongs to another user; " ADD_ROOT " of your own") \
	X(LINK_LOOP, EX_DATAERR, \
	  "the link points to itself; build it again") \
	X(LINK_LONG, EX_DATAERR, \
	  "the path of the link, or what it points to, is too long") \
	X(LINK_PROC, EX_DATAERR, \
	  "a link in /proc is none that stays; " ADD_ROOT) \
	/* what the link says */ \
	X(TARGET_NOT_STORE, EX_DATAERR, \
	  "the link does not point straight into the store, and Nix follows one hop only; " \
	  ADD_ROOT) \
	X(TARGET_INSIDE, EX_DATAERR, \
	  "the link points to something inside a store path; name the NixOS system itself") \
	X(TARGET_NAME, EX_DATAERR, \
	  "the link points to something that is no valid store path name") \
	X(TARGET_DERIVATION, EX_DATAERR, \
	  "the link points to a derivation, not to what it builds; 'nix-store --realise' it") \
	X(TARGET_TEMPORARY, EX_DATAERR, \
	  "the link points to a temporary file of the store, not to a store path") \
	/* the store path itself */ \
	X(STORE, EX_UNAVAILABLE, \
	  "the store cannot be used: its directory is missing, or belongs neither to root nor " \
	  "to you") \
	X(PATH_MISSING, EX_DATAERR, \
	  "the link dangles: what it points to is not in the store (collected?); build it " \
	  "again") \
	X(PATH_FILE, EX_DATAERR, \
	  "the store path is a file, not a NixOS system; build config.system.build.toplevel") \
	X(PATH_OWNER, EX_DATAERR, \
	  "the store path does not belong to the owner of the store; " \
	  "ask the administrator to mend the store") \
	X(PATH_WRITABLE, EX_DATAERR, \
	  "the store path is writable by others; ask the administrator to mend the store") \
	X(PATH_DEVICE, EX_DATAERR, \
	  "something is mounted over the store path; only the store itself is trusted") \
	/* its registration with Nix */ \
	X(ROOT_UNREGISTERED, EX_DATAERR, \
	  "the link is no registered gc root, so its closure may be collected at any time; " \
	  ADD_ROOT) \
	X(ROOT_OTHER, EX_DATAERR, \
	  "the gc root registered under this name belongs to another link; " ADD_ROOT) \
	/* the caller and his ranges */ \
	X(CALLER_ROOT, EX_NOPERM, \
	  "uid or gid 0 has no use for rootless machines; run it as an ordinary user, or use " \
	  "systemd-nspawn") \
	X(CALLER_SETUID, EX_NOPERM, \
	  "real and effective ids differ; run it directly, not from a setuid or setgid program") \
	X(CALLER_UNKNOWN, EX_NOPERM, \
	  "your uid has no name in the user database, so no range can be looked up for it") \
	X(SUBID_SOURCE, EX_OSERR, \
	  "/etc/nsswitch.conf cannot be read, so it is unknown who answers for subordinate ids") \
	X(SUBID_PLUGIN, EX_OSERR, \
	  "the subid plugin that /etc/nsswitch.conf names was not loaded; " "its answer is " \
	  "needed, not that of the files") \
	X(SUBID_FILE, EX_OSERR, \
	  "/etc/subuid or /etc/subgid cannot be read, or has a line that is not " \
	  "NAME:START:COUNT in decimal") \
	X(SUBID_MODULE, EX_OSERR, \
	  "nixuser-subid.so, which asks the subid plugin that /etc/nsswitch.conf names, cannot " \
	  "be loaded; are nixuser-boot and libsubid installed?") \
	X(SUBID_LOOKUP, EX_OSERR, \
	  "the lookup of subordinate ids failed; try 'getsubids USER'") \
	X(RANGE_NONE, EX_NOPERM, \
	  "no subordinate ids are delegated to you; " ASK_ADMIN) \
	X(RANGE_EMPTY, EX_NOPERM, \
	  "a range of subordinate ids delegated to you is empty (count 0); " ASK_ADMIN) \
	X(RANGE_WRAPS, EX_NOPERM, \
	  "a range of subordinate ids delegated to you goes past the last id; " ASK_ADMIN) \
	X(RANGE_ROOT, EX_NOPERM, \
	  "a range of subordinate ids delegated to you includes root; " ASK_ADMIN) \
	X(RANGE_SYSTEM, EX_NOPERM, \
	  "a range of subordinate ids delegated to you reaches below 65536, where accounts " \
	  "live; " ASK_ADMIN) \
	X(RANGE_CALLER, EX_NOPERM, \
	  "a range of subordinate ids delegated to you includes your own id; " ASK_ADMIN) \
	X(RANGE_SHARED, EX_NOPERM, \
	  "your range of subordinate ids overlaps another user's; " ASK_ADMIN ", for you alone") \
	X(RANGE_MANY, EX_NOPERM, \
	  "more ranges of subordinate ids are delegated to you than can be checked; " ASK_ADMIN) \
	X(RANGE_SMALL, EX_NOPERM, \
	  "none of your ranges of subordinate ids has 65536 ids; " ASK_ADMIN) \
	/* the lookup child */ \
	X(LOOKUP_DIED, EX_OSERR, \
	  "the lookup of the closure and of your ranges ended without an answer") \
	X(LOOKUP_SLOW, EX_OSERR, \
	  "the lookup of the closure and of your ranges took longer than ten seconds; " "is " \
	  "the user database up?") \
	X(LOOKUP_GARBLED, EX_OSERR, \
	  "the lookup of the closure and of your ranges gave an answer that makes no sense") \
	/* capabilities and the kernel */ \
	X(CAPS_NONE, EX_UNAVAILABLE, \
	  "no capabilities; run " SETCAP ", and see that its file system is not mounted nosuid") \
	X(CAPS_NNP, EX_UNAVAILABLE, \
	  "no capabilities, because no_new_privs is set; " "start it outside the sandbox or " \
	  "the service with NoNewPrivileges=yes") \
	X(USERNS_LIMIT, EX_UNAVAILABLE, \
	  "no user namespace to be had; raise the sysctl user.max_user_namespaces (or " \
	  "user.max_mnt_namespaces)") \
	X(USERNS_FORBIDDEN, EX_UNAVAILABLE, \
	  "user namespaces are forbidden here; see the sysctls " \
	  "kernel.unprivileged_userns_clone and " \
	  "kernel.apparmor_restrict_unprivileged_userns, or the container this runs in")

enum refusal {
	REFUSED_NOT,
#define REFUSAL_NAME(name, status, text) REFUSED_##name,
	REFUSALS(REFUSAL_NAME)
#undef REFUSAL_NAME
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
