/* SPDX-License-Identifier: MIT */
/* What libsubid says of a user's ranges, and whether to believe it. */
/* Used by: nixuser-helper's lookup child. Privilege: none, and none may be held. */
#pragma once

#include "range.h"
#include "refusal.h"

#include <sys/types.h>

enum subid_kind { SUBID_UID, SUBID_GID };

/**
 * subid_find() - the range of RANGE_COUNT ids that a user's machine gets
 * @kind: which of the two databases
 * @user: the user's name
 * @uid:  his uid; his entries may be under either
 * @self: his own uid or gid (by @kind), which no range may include
 * @ret:  the range
 *
 * The source that /etc/nsswitch.conf names answers, or nobody: libsubid falls
 * back to the files silently when a plugin cannot be loaded, which a caller can
 * bring about by RLIMIT_NOFILE, so a plugin has to be seen in our address space.
 * No other user may own any id of the range.
 *
 * Allocates, opens files, runs NSS and plugins: only in a process that holds
 * nothing. Return: REFUSED_NOT, or the reason.
 * Source: subid(5), subuid(5), <shadow/subid.h>.
 */
enum refusal subid_find(enum subid_kind kind, const char *user, uid_t uid, uint64_t self,
			struct id_range *ret);
