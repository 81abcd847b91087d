/* SPDX-License-Identifier: MIT */
/* Carries bytes between the machine's console and whoever sits outside. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include "terminal.h"

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

/* What came from one side and has not gone to the other yet. */
struct flow {
	int from_fd, to_fd;
	sd_event_source *from, *to;	/* NULL for what cannot be polled: a file, /dev/null */
	char buf[4096];
	size_t start, end;		/* of what is in buf */
	bool ended;			/* nothing more comes in */
};

struct pump {
	const struct terminal *terminal;	/* borrowed; NULL while detached */
	struct flow in, out;
	bool hung_up;			/* whoever sat there is gone */
	unsigned int escapes;		/* ^] in a row */
	uint64_t first_escape_us;
	void (*on_escape)(void *data);	/* ^] three times within a second */
	void (*on_hangup)(void *data);
	void *data;
};

/**
 * pump_attach() - let an event loop carry the bytes
 * @pump:     zero, but for what to call; must not move as long as @event runs
 * @terminal: from terminal_open(); must outlive pump_detach()
 *
 * Return: 0 or -errno of fcntl(2), sd_event_add_io(3).
 */
int pump_attach(struct pump *pump, const struct terminal *terminal, sd_event *event);

/* pump_detach() - write out what is left, as long as somebody reads; safe at any time */
void pump_detach(struct pump *pump);
