/* SPDX-License-Identifier: MIT */
/* From what was asked for to a closure and a plan; says what is wrong with it. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include "closure.h"
#include "options.h"
#include "plan.h"
#include "start.h"

/**
 * request_locate() - which closure, by which gc root
 * @ret:  its link and toplevel; not opened yet
 * @plan: for a closure that is named by its path in the store: its name is set,
 *        and a gc root is made that lasts until this process ends
 *
 * Exits, with words, for anything that cannot be booted.
 */
void request_locate(const struct options *options, struct closure *ret, struct plan *plan);

/**
 * request_complete() - open the closure, and make the plan of its machine
 * @start: the programs, if they run: what nixuser-helper has to complain about
 *         comes before what we have; NULL if they do not
 *
 * Exits, with words, for a closure that cannot boot this way.
 */
void request_complete(const struct options *options, const struct start *start,
		      struct closure *closure, struct plan *ret);

/* request_hear_helper() - exit as nixuser-helper does if it refuses; else wait for its end */
void request_hear_helper(const struct start *start);
