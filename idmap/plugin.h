/* SPDX-License-Identifier: MIT */
/* A user's ranges from the plugin that nsswitch.conf names, by libsubid. */
/* Used by: nixuser-helper's lookup child, which loads it as nixuser-subid.so; it is
 * all that needs libsubid. Privilege: none, and none may be held. */
#pragma once

#include "subid.h"

/**
 * plugin_find() - the range of @kind that a plugin has
 * @source: the word in nsswitch.conf
 *
 * libsubid falls back to the files silently when a plugin cannot be loaded, which a
 * caller can bring about by RLIMIT_NOFILE; so it has to be seen in our address
 * space.
 *
 * Return: REFUSED_NOT; REFUSED_SUBID_PLUGIN if it did not answer;
 * REFUSED_SUBID_LOOKUP if it failed; REFUSED_RANGE_SHARED, REFUSED_RANGE_MANY, or
 * what range_choose() says. Source: <shadow/subid.h>; shadow, lib/nss.c.
 */
typedef enum refusal plugin_find_t(const char *source, const struct subid_user *user,
				   enum subid_kind kind, struct id_range *ret);
plugin_find_t plugin_find;
