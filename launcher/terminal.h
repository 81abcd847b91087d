/* SPDX-License-Identifier: MIT */
/* The caller's terminal, or whatever else stdin and stdout are. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include "options.h"

#include <stdbool.h>
#include <termios.h>

struct terminal {
	int master_fd;			/* of the machine's console */
	int slave_fd;			/* held so that the master never reads EIO */
	int stdin_fd, stdout_fd;	/* non-blocking, ours alone if they could be reopened */
	bool interactive;
	struct termios saved;		/* of the caller's terminal */
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

/* terminal_resize() - give the console the size of the caller's terminal */
void terminal_resize(struct terminal *terminal);

/**
 * terminal_close() - put the caller's terminal back
 *
 * Safe at any time after terminal_open() was called, and twice.
 */
void terminal_close(struct terminal *terminal);
