/* SPDX-License-Identifier: MIT */
#include "terminal.h"

#include "auto.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>

/*
 * A description of our own, since O_NONBLOCK on the inherited one would be the
 * caller's shell's too, for ever if we are killed. Not everything can be opened
 * again (a socket; a terminal after su(1)): that is used as it is.
 */
static int reopen(int fd, int flags)
{
	char path[32];
	int r;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);	/* sized for it */
	r = open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return r < 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : r;
}

void terminal_resize(struct terminal *terminal)
{
	struct winsize size;

	/*
	 * On the master only: PID 1 must not get a SIGWINCH, it would take it
	 * for kbrequest, and NixOS then goes into rescue mode.
	 */
	if (ioctl(terminal->stdout_fd, TIOCGWINSZ, &size) == 0 ||
	    ioctl(terminal->stdin_fd, TIOCGWINSZ, &size) == 0)
		(void)ioctl(terminal->master_fd, TIOCSWINSZ, &size);	/* cosmetic */
}

static int set_raw(struct terminal *terminal)
{
	struct termios raw;

	if (tcgetattr(terminal->stdin_fd, &terminal->saved) < 0)
		return -errno;
	raw = terminal->saved;
	cfmakeraw(&raw);
	if (tcsetattr(terminal->stdin_fd, TCSANOW, &raw) < 0)
		return -errno;
	terminal->interactive = true;
	return 0;
}

int terminal_open(enum console_mode mode, int master_fd, struct terminal *ret)
{
	bool tty = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	int flags = fcntl(master_fd, F_GETFL);

	*ret = (struct terminal){.master_fd = master_fd, .slave_fd = -1,
				 .stdin_fd = -1, .stdout_fd = -1};
	if (mode == CONSOLE_INTERACTIVE && !tty)
		return -ENOTTY;
	if (flags < 0 || fcntl(master_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	ret->slave_fd = ioctl(master_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (ret->slave_fd < 0)
		return -errno;
	ret->stdin_fd = reopen(STDIN_FILENO, O_RDONLY);
	ret->stdout_fd = reopen(STDOUT_FILENO, O_WRONLY);
	if (ret->stdin_fd < 0 || ret->stdout_fd < 0)
		return -errno;
	terminal_resize(ret);
	return mode != CONSOLE_PIPE && tty ? set_raw(ret) : 0;
}

void terminal_close(struct terminal *terminal)
{
	if (terminal->master_fd < 0)
		return;
	if (terminal->interactive)
		(void)tcsetattr(terminal->stdin_fd, TCSADRAIN, &terminal->saved);
	auto_close_fd(&terminal->stdin_fd);
	auto_close_fd(&terminal->stdout_fd);
	auto_close_fd(&terminal->slave_fd);
	auto_close_fd(&terminal->master_fd);
}
