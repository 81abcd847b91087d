/* SPDX-License-Identifier: MIT */
/* The part of nixuser-boot that needs libsystemd, nixuser-supervise.so. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include "scope.h"
#include "supervise.h"

struct module {
	scope_enter_t *scope_enter;
	supervise_t *supervise;
};

/**
 * module_load() - load it, unless it is there already
 *
 * libsystemd and what it brings take longer to load than all the rest of
 * nixuser-boot to run; so that is done while nixuser-helper or nixuser-launch works.
 *
 * Return: NULL when it has said what is missing.
 */
const struct module *module_load(void);
