/* SPDX-License-Identifier: MIT */
/* From the plan to the exit status: the supervisor's event loop. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include "options.h"
#include "terminal.h"

#include <systemd/sd-bus.h>

/* What the loop carries on with, and what comes out of it. */
struct supervision {
	sd_bus *bus;		/* of the manager of our scope; NULL if there is none */
	const struct options *options;
	const char *name;
	struct terminal *terminal;
	const char *toplevel;	/* to be pinned, when it runs */
	int sock;		/* to nixuser-launch */
	int runtime_fd;		/* the machine's runtime directory */
	int notify_fd;		/* what PID 1 says: sd_notify(3) */
};

enum supervision_end {
	SUPERVISION_ENDED,	/* the machine has, by itself or as asked */
	SUPERVISION_ABANDONED,	/* nixuser-launch has, without a word: clean up */
	SUPERVISION_UNPINNED,	/* the machine was killed: its closure may be collected */
};

/* Read by the loop; to be blocked from the start, so that no request is lost. */
#define SUPERVISE_SIGNALS {SIGTERM, SIGINT, SIGHUP, SIGWINCH}

/**
 * supervise() - carry the console, pass on readiness and requests, until it ends
 * @s:          borrowed
 * @ret_status: for SUPERVISION_ENDED: the exit status of the machine: its own; 0
 *              for a poweroff; 133 for a reboot; 128 and the signal that killed
 *              it. For SUPERVISION_UNPINNED: -errno of pin_start() or pin_finish()
 * @ret_end:    which of them it was
 *
 * SIGTERM, SIGINT and SIGHUP ask the machine to power off (SIGRTMIN+3 to PID 1);
 * the second one, the timeout and ^]^]^] kill it.
 *
 * Return: 0, -errno of the event loop; the machine is killed then.
 */
typedef int supervise_t(const struct supervision *s, int *ret_status,
			enum supervision_end *ret_end);
supervise_t supervise;
