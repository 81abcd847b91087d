/* SPDX-License-Identifier: MIT */
/* A user's ranges in /etc/subuid and /etc/subgid. */
/* Used by: nixuser-helper's lookup child. Privilege: none, and none may be held. */
#pragma once

#include "subid.h"

/**
 * subfile_find() - the range in the file of @kind
 *
 * libsubid would name the same ranges, but does not say who else has a part of
 * them: for that the file has to be read whole. A line that cannot be understood
 * could be such a part, and is an error.
 *
 * Return: REFUSED_NOT; REFUSED_SUBID_FILE, REFUSED_RANGE_SHARED, or what
 * range_choose() says. Source: subuid(5); shadow, lib/subordinateio.c.
 */
enum refusal subfile_find(const struct subid_user *user, enum subid_kind kind,
			  struct id_range *ret);
