/* SPDX-License-Identifier: MIT */
/* The machine's control socket: requests of nixuserctl. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include "launch.h"

#include <systemd/sd-event.h>

struct control;

/* What requests are for; each is called with @data. */
struct control_hooks {
	/* One KEY=VALUE line each into @buf; how long they are, cut off. */
	size_t (*describe)(void *data, char *buf, size_t size);
	void (*stop)(void *data);
	int (*kill)(void *data, int sig);	/* 0 or -errno */
	void *data;
};

/**
 * control_open() - listen
 * @runtime_fd:  the machine's runtime directory
 * @launch_sock: where commands are passed on to; borrowed
 * @hooks:       borrowed
 * @ret:         end it with control_close()
 *
 * At most 64 clients at once; one more takes the place of the oldest that has not
 * asked for anything. A client that is silent, slow, or not the machine's user
 * costs nobody else anything.
 *
 * Return: 0, -errno of socket(2), bind(2), listen(2), sd_event_add_io(3).
 */
int control_open(sd_event *event, int runtime_fd, int launch_sock,
		 const struct control_hooks *hooks, struct control **ret);

/* control_report() - a command has started or exited; @fds came along: borrowed, @n of them */
void control_report(struct control *control, const struct report *report, const int *fds, size_t n);

/* control_close() - listen no more; clients see our end when all is cleaned up; safe with NULL */
void control_close(struct control *control);
