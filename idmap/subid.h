/* SPDX-License-Identifier: MIT */
/* Which ranges of subordinate ids a user has, from whom, and whether to believe it. */
/* Used by: nixuser-helper's lookup child. Privilege: none, and none may be held. */
#pragma once

#include "range.h"
#include "refusal.h"

#include <sys/types.h>

enum subid_kind { SUBID_UID, SUBID_GID, SUBID_KINDS };

#define SUBID_RANGES_MAX 16	/* nobody has more; see range_choose() */

struct subid_user {
	const char *name;
	uid_t uid;		/* his ranges may be under either */
	uint64_t self[SUBID_KINDS];	/* by kind: his uid and his gid, which no range may include */
};

/**
 * subid_find() - the two ranges of RANGE_COUNT ids that a user's machine gets
 * @user: borrowed
 * @ret:  the ranges, by kind
 *
 * The source that /etc/nsswitch.conf names answers, or nobody: the files
 * (subfile.h), or by libsubid a plugin (plugin.h). No other user may own any id of
 * a range.
 *
 * Allocates, opens files, runs NSS and plugins: only in a process that holds
 * nothing. Return: REFUSED_NOT, or the reason.
 * Source: subid(5), subuid(5).
 */
enum refusal subid_find(const struct subid_user *user, struct id_range ret[static SUBID_KINDS]);
