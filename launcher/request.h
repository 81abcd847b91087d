/* SPDX-License-Identifier: MIT */
/* From what was asked for to a closure and a plan; says what is wrong with it. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include "closure.h"
#include "options.h"
#include "plan.h"

/**
 * request_read() - which closure, can it boot this way, and as what machine
 * @options: borrowed, by @ret_plan as well
 * @ret:     the closure, open
 *
 * Looks and makes nothing. Exits, with words, for anything that cannot be booted.
 */
void request_read(const struct options *options, struct closure *ret, struct plan *ret_plan);
