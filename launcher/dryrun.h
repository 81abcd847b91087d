/* SPDX-License-Identifier: MIT */
/* --dry-run: the plan in words. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include "closure.h"
#include "plan.h"

/**
 * dryrun_print() - print what would be made, after nixuser-helper has printed
 * the toplevel and the id maps
 */
void dryrun_print(const struct closure *closure, const struct plan *plan);
