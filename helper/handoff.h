/* SPDX-License-Identifier: MIT */
/* From the helper's child to nixuser-launch, which trusts and is trusted by nobody. */
/* Used by: nixuser-helper's namespace child. Privilege: root of the outer namespace. */
#pragma once

#include "config.h"
#include "console.h"

/* The descriptors that survive; nixuser-launch(8) documents them. */
#define HANDOFF_SOCKET 3	/* to nixuser-boot, from the helper's start on */
#define HANDOFF_DEVPTS 4	/* the machine's devpts, a detached mount */

/**
 * handoff() - send what nixuser-boot needs, and exec nixuser-launch
 * @console: from console_make()
 * @base:    base name of the toplevel in the store, validated
 *
 * Sent are the console's master and the outer user namespace, which is the
 * caller's: nixuser-boot enters it to clean up if nixuser-launch is killed.
 * Open in the new program are 0 to 2, HANDOFF_SOCKET and HANDOFF_DEVPTS; its
 * environment is empty; its argument is the toplevel.
 *
 * Return: only if it fails, -errno of sendmsg(2), dup2(2), close_range(2) or
 * execve(2).
 */
int handoff(const struct console *console, const char *base);
