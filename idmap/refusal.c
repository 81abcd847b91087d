/* SPDX-License-Identifier: MIT */
#include "refusal.h"

#include <sysexits.h>

#define ADD_ROOT "make one with 'nix-store --realise PATH --add-root LINK'"
#define ASK_ADMIN "ask the administrator for a range of 65536 ids ('usermod --add-subuids')"
#define SETCAP "'setcap cap_setgid,cap_setuid=p' on nixuser-helper"

static const struct {
	int status;
	const char *text;
} refusals[REFUSED_COUNT] = {
	[REFUSED_NOT] = {EX_SOFTWARE, "nothing was refused"},

	[REFUSED_LINK_ABSOLUTE] = {EX_DATAERR,
		"not an absolute path without '.', '..' and empty parts; name the link as Nix registered it"},
	[REFUSED_LINK_MISSING] = {EX_DATAERR,
		"no such link; build one with 'nix-build' or name another"},
	[REFUSED_LINK_UNREADABLE] = {EX_DATAERR,
		"the link or a directory above it cannot be read; check its permissions"},
	[REFUSED_LINK_DIRECTORY] = {EX_DATAERR,
		"this is a directory, not a link to a closure; name the 'result' link in it"},
	[REFUSED_LINK_FILE] = {EX_DATAERR,
		"this is not a symbolic link to a closure; " ADD_ROOT},
	[REFUSED_LINK_PARENT_SYMLINK] = {EX_DATAERR,
		"a directory above the link is a symbolic link itself; name the link by its real path"},
	[REFUSED_LINK_PARENT_WRITABLE] = {EX_DATAERR,
		"others may write to a directory above the link and it is not sticky; "
		"'chmod go-w' it or move the link"},
	[REFUSED_LINK_PARENT_FOREIGN] = {EX_DATAERR,
		"a directory above the link belongs to another user; move the link into one of yours"},
	[REFUSED_LINK_FOREIGN] = {EX_DATAERR,
		"the link belongs to another user; " ADD_ROOT " of your own"},
	[REFUSED_LINK_LOOP] = {EX_DATAERR,
		"the link points to itself; build it again"},
	[REFUSED_LINK_LONG] = {EX_DATAERR,
		"the path of the link, or what it points to, is too long"},
	[REFUSED_LINK_PROC] = {EX_DATAERR,
		"a link in /proc is none that stays; " ADD_ROOT},

	[REFUSED_TARGET_NOT_STORE] = {EX_DATAERR,
		"the link does not point straight into the store, and Nix follows one hop only; " ADD_ROOT},
	[REFUSED_TARGET_INSIDE] = {EX_DATAERR,
		"the link points to something inside a store path; name the NixOS system itself"},
	[REFUSED_TARGET_NAME] = {EX_DATAERR,
		"the link points to something that is no valid store path name"},
	[REFUSED_TARGET_DERIVATION] = {EX_DATAERR,
		"the link points to a derivation, not to what it builds; 'nix-store --realise' it"},
	[REFUSED_TARGET_TEMPORARY] = {EX_DATAERR,
		"the link points to a temporary file of the store, not to a store path"},

	[REFUSED_STORE] = {EX_UNAVAILABLE,
		"the store cannot be used: its directory is missing, or belongs neither to root nor to you"},
	[REFUSED_PATH_MISSING] = {EX_DATAERR,
		"the link dangles: what it points to is not in the store (collected?); build it again"},
	[REFUSED_PATH_FILE] = {EX_DATAERR,
		"the store path is a file, not a NixOS system; build config.system.build.toplevel"},
	[REFUSED_PATH_OWNER] = {EX_DATAERR,
		"the store path does not belong to the owner of the store; 'nix-store --verify' it"},
	[REFUSED_PATH_WRITABLE] = {EX_DATAERR,
		"the store path is writable by others; 'nix-store --verify' it"},
	[REFUSED_PATH_DEVICE] = {EX_DATAERR,
		"something is mounted over the store path; only the store itself is trusted"},

	[REFUSED_ROOT_UNREGISTERED] = {EX_DATAERR,
		"the link is no registered gc root, so its closure may be collected at any time; " ADD_ROOT},
	[REFUSED_ROOT_OTHER] = {EX_DATAERR,
		"the gc root registered under this name belongs to another link; " ADD_ROOT},

	[REFUSED_CALLER_ROOT] = {EX_NOPERM,
		"root has no use for rootless machines; run it as an ordinary user, or use systemd-nspawn"},
	[REFUSED_CALLER_SETUID] = {EX_NOPERM,
		"real and effective ids differ; run it directly, not from a setuid or setgid program"},
	[REFUSED_CALLER_UNKNOWN] = {EX_NOPERM,
		"your uid has no name in the user database, so no range can be looked up for it"},
	[REFUSED_SUBID_SOURCE] = {EX_OSERR,
		"/etc/nsswitch.conf cannot be read, so it is unknown who answers for subordinate ids"},
	[REFUSED_SUBID_PLUGIN] = {EX_OSERR,
		"the subid plugin that /etc/nsswitch.conf names was not loaded; "
		"its answer is needed, not that of the files"},
	[REFUSED_SUBID_FILE] = {EX_OSERR,
		"/etc/subuid or /etc/subgid cannot be read, or has a line that is not NAME:START:COUNT in decimal"},
	[REFUSED_SUBID_LOOKUP] = {EX_OSERR,
		"the lookup of subordinate ids failed; try 'getsubids USER'"},
	[REFUSED_RANGE_NONE] = {EX_NOPERM,
		"no subordinate ids are delegated to you; " ASK_ADMIN},
	[REFUSED_RANGE_EMPTY] = {EX_NOPERM,
		"a range of subordinate ids delegated to you is empty (count 0); " ASK_ADMIN},
	[REFUSED_RANGE_WRAPS] = {EX_NOPERM,
		"a range of subordinate ids delegated to you goes past the last id; " ASK_ADMIN},
	[REFUSED_RANGE_ROOT] = {EX_NOPERM,
		"a range of subordinate ids delegated to you includes root; " ASK_ADMIN},
	[REFUSED_RANGE_SYSTEM] = {EX_NOPERM,
		"a range of subordinate ids delegated to you reaches below 65536, where accounts live; " ASK_ADMIN},
	[REFUSED_RANGE_CALLER] = {EX_NOPERM,
		"a range of subordinate ids delegated to you includes your own id; " ASK_ADMIN},
	[REFUSED_RANGE_SHARED] = {EX_NOPERM,
		"your range of subordinate ids overlaps another user's; " ASK_ADMIN " of your own"},
	[REFUSED_RANGE_MANY] = {EX_NOPERM,
		"more ranges of subordinate ids are delegated to you than can be checked; " ASK_ADMIN},
	[REFUSED_RANGE_SMALL] = {EX_NOPERM,
		"none of your ranges of subordinate ids has 65536 ids; " ASK_ADMIN},

	[REFUSED_LOOKUP_DIED] = {EX_OSERR,
		"the lookup of the closure and of your ranges ended without an answer"},
	[REFUSED_LOOKUP_SLOW] = {EX_OSERR,
		"the lookup of the closure and of your ranges took longer than ten seconds; "
		"is the user database up?"},
	[REFUSED_LOOKUP_GARBLED] = {EX_OSERR,
		"the lookup of the closure and of your ranges gave an answer that makes no sense"},

	[REFUSED_CAPS_NONE] = {EX_UNAVAILABLE,
		"no capabilities; run " SETCAP ", and see that its file system is not mounted nosuid"},
	[REFUSED_CAPS_NNP] = {EX_UNAVAILABLE,
		"no capabilities, because no_new_privs is set; "
		"start it outside the sandbox or the service with NoNewPrivileges=yes"},
	[REFUSED_USERNS_LIMIT] = {EX_UNAVAILABLE,
		"no user namespace to be had; raise the sysctl user.max_user_namespaces (or user.max_mnt_namespaces)"},
	[REFUSED_USERNS_FORBIDDEN] = {EX_UNAVAILABLE,
		"user namespaces are forbidden here; see the sysctls kernel.unprivileged_userns_clone and "
		"kernel.apparmor_restrict_unprivileged_userns, or the container this runs in"},
};

const char *refusal_text(enum refusal r)
{
	if ((unsigned int)r >= REFUSED_COUNT)
		return "an unknown refusal; please report this as a bug";
	return refusals[r].text;
}

int refusal_status(enum refusal r)
{
	if ((unsigned int)r >= REFUSED_COUNT)
		return EX_SOFTWARE;
	return refusals[r].status;
}
