/* SPDX-License-Identifier: MIT */
/* Between the machine's console and whoever sits outside. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include "options.h"

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>
#include <termios.h>

/* What came from one side and has not gone to the other yet. */
struct pump {
	int from_fd, to_fd;
	sd_event_source *from, *to;	/* NULL for what cannot be polled: a file, /dev/null */
	char buf[4096];
	size_t start, end;		/* of what is in buf */
	bool ended;			/* nothing more comes in */
};

struct terminal {
	int master_fd;			/* of the machine's console */
	int slave_fd;			/* held so that the master never reads EIO */
	int stdin_fd, stdout_fd;	/* non-blocking, ours alone if they could be reopened */
	bool interactive;
	bool hung_up;			/* the caller's terminal is gone */
	struct termios saved;		/* of the caller's terminal */
	struct pump in, out;
	unsigned int escapes;		/* ^] in a row */
	uint64_t first_escape_us;
	void (*on_escape)(void *data);	/* ^] three times within a second */
	void (*on_hangup)(void *data);
	void *data;
};

/**
 * terminal_open() - take over stdin and stdout for a machine's console
 * @mode:      CONSOLE_AUTO is decided here
 * @master_fd: of the console; owned by @ret from here on, also on failure
 * @ret:       release it with terminal_close()
 *
 * On a terminal: raw mode, the console gets its size.
 *
 * Return: 0; -ENOTTY if CONSOLE_INTERACTIVE is asked for without a terminal;
 * -errno of ioctl(2), tcsetattr(3).
 */
int terminal_open(enum console_mode mode, int master_fd, struct terminal *ret);

/**
 * terminal_attach() - let an event loop carry the bytes
 * @terminal:  from terminal_open(); must not move as long as @event runs
 * @on_escape: see struct terminal; @data is its argument
 *
 * Return: 0 or -errno of sd_event_add_io(3).
 */
int terminal_attach(struct terminal *terminal, sd_event *event, void (*on_escape)(void *data),
		    void (*on_hangup)(void *data), void *data);

/* terminal_resize() - give the console the size of the caller's terminal */
void terminal_resize(struct terminal *terminal);

/**
 * terminal_close() - write out what is left, and put the caller's terminal back
 *
 * Safe at any time after terminal_open() was called, and twice.
 */
void terminal_close(struct terminal *terminal);
