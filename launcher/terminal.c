/* SPDX-License-Identifier: MIT */
#include "terminal.h"

#include "auto.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#define ESCAPE 0x1d	/* ^] */
#define ESCAPES 3
#define ESCAPE_WINDOW_US UINT64_C(1000000)
/* How long a reader outside may keep us from ending, for the last lines. */
#define DRAIN_TIMEOUT_MS 1000

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

/* Each source is on only while it can do something, or epoll would spin. */
static void schedule(struct pump *pump)
{
	bool full = pump->end == sizeof(pump->buf), empty = pump->start == pump->end;

	/* Of a source that is ours these cannot fail. */
	if (pump->from)
		(void)sd_event_source_set_enabled(pump->from,
						  full || pump->ended ? SD_EVENT_OFF : SD_EVENT_ON);
	if (pump->to)
		(void)sd_event_source_set_enabled(pump->to, empty ? SD_EVENT_OFF : SD_EVENT_ON);
}

static bool is_temporary(int error)
{
	return error == EAGAIN || error == EINTR;
}

/* Return: bytes read, 0 for the end, -errno. */
static ssize_t fill(struct pump *pump)
{
	ssize_t n = read(pump->from_fd, pump->buf + pump->end, sizeof(pump->buf) - pump->end);

	if (n < 0)
		return -errno;
	pump->end += (size_t)n;
	return n;
}

/* Return: false if nobody reads any more; what was to be written is lost then. */
static bool flush_pump(struct pump *pump)
{
	ssize_t n = write(pump->to_fd, pump->buf + pump->start, pump->end - pump->start);
	bool gone = n < 0 && !is_temporary(errno);

	if (n < 0 && !gone)
		return true;
	pump->start = gone ? pump->end : pump->start + (size_t)n;
	if (pump->start == pump->end)
		pump->start = pump->end = 0;
	return !gone;
}

/* Whoever sat at the console is gone for good. */
static void hang_up(struct terminal *terminal)
{
	if (terminal->hung_up)
		return;
	terminal->hung_up = true;
	terminal->on_hangup(terminal->data);
}

/* What follows the third ^] is not for the machine any more. */
static void watch_escapes(struct terminal *terminal, size_t from)
{
	for (size_t i = from; i < terminal->in.end; i++) {
		struct timespec ts;
		uint64_t now;

		if (terminal->in.buf[i] != ESCAPE) {
			terminal->escapes = 0;
			continue;
		}
		(void)clock_gettime(CLOCK_MONOTONIC, &ts);	/* cannot fail */
		now = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
		if (terminal->escapes == 0 || now - terminal->first_escape_us > ESCAPE_WINDOW_US) {
			terminal->escapes = 0;
			terminal->first_escape_us = now;
		}
		if (++terminal->escapes == ESCAPES) {
			terminal->in.end = i;
			terminal->on_escape(terminal->data);
			return;
		}
	}
}

static void on_input(struct terminal *terminal)
{
	size_t from = terminal->in.end;
	ssize_t n = fill(&terminal->in);

	if (n > 0 && terminal->interactive)
		watch_escapes(terminal, from);
	if (n > 0 || is_temporary((int)-n))
		return;
	terminal->in.ended = true;
	/* The end of a file or a pipe is none of the machine; that of a terminal is a hangup. */
	if (terminal->interactive)
		hang_up(terminal);
}

static void on_output(struct terminal *terminal)
{
	ssize_t n = fill(&terminal->out);

	if (n <= 0 && !is_temporary((int)-n))
		terminal->out.ended = true;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct terminal *terminal = data;

	(void)fd;
	(void)revents;
	if (source == terminal->in.from)
		on_input(terminal);
	else if (source == terminal->out.from)
		on_output(terminal);
	/* Write at once what was read: mostly there is room. */
	if (terminal->in.start < terminal->in.end)
		(void)flush_pump(&terminal->in);	/* the console is ours, it has a reader */
	if (terminal->out.start < terminal->out.end && !flush_pump(&terminal->out))
		hang_up(terminal);
	schedule(&terminal->in);
	schedule(&terminal->out);
	return 0;
}

/* A file or /dev/null cannot be polled: it is read, or written, whenever there is time. */
static int on_idle(sd_event_source *source, void *data)
{
	return on_io(source, -1, 0, data);
}

static int add(sd_event *event, struct terminal *terminal, int fd, uint32_t events,
	       sd_event_source **ret)
{
	int r = sd_event_add_io(event, ret, fd, events, on_io, terminal);

	if (r != -EPERM)
		return r;
	if (events & EPOLLOUT)
		return 0;	/* on_io() writes without being asked */
	r = sd_event_add_defer(event, ret, on_idle, terminal);
	return r < 0 ? r : sd_event_source_set_priority(*ret, SD_EVENT_PRIORITY_IDLE);
}

int terminal_attach(struct terminal *terminal, sd_event *event, void (*on_escape)(void *data),
		    void (*on_hangup)(void *data), void *data)
{
	struct pump *in = &terminal->in, *out = &terminal->out;
	int r;

	terminal->on_escape = on_escape;
	terminal->on_hangup = on_hangup;
	terminal->data = data;
	in->from_fd = terminal->stdin_fd;
	out->to_fd = terminal->stdout_fd;
	in->to_fd = out->from_fd = terminal->master_fd;
	r = add(event, terminal, in->from_fd, EPOLLIN, &in->from);
	if (r >= 0)
		r = add(event, terminal, out->to_fd, EPOLLOUT, &out->to);
	if (r >= 0)
		r = add(event, terminal, out->from_fd, EPOLLIN, &out->from);
	if (r < 0)
		return r;
	/* The master is polled for reading already: epoll(7) wants one entry a descriptor. */
	int copy = fcntl(terminal->master_fd, F_DUPFD_CLOEXEC, 3);

	if (copy < 0)
		return -errno;
	in->to_fd = copy;
	r = add(event, terminal, in->to_fd, EPOLLOUT, &in->to);
	if (r < 0)
		return r;
	schedule(in);
	schedule(out);
	return 0;
}

/* The last lines, mostly of a shutdown: as long as there are some and somebody reads. */
static void drain(struct terminal *terminal)
{
	struct pump *out = &terminal->out;

	for (;;) {
		struct pollfd p = {.fd = out->to_fd, .events = POLLOUT};

		if (out->start == out->end && fill(out) <= 0)
			return;
		if (poll(&p, 1, DRAIN_TIMEOUT_MS) <= 0)
			return;
		if (!flush_pump(out))
			return;
	}
}

void terminal_close(struct terminal *terminal)
{
	if (terminal->master_fd < 0)
		return;
	sd_event_source_unref(terminal->in.from);
	sd_event_source_unref(terminal->in.to);
	sd_event_source_unref(terminal->out.from);
	sd_event_source_unref(terminal->out.to);
	if (terminal->out.from_fd >= 0 && terminal->on_escape && !terminal->hung_up)
		drain(terminal);
	if (terminal->interactive)
		(void)tcsetattr(terminal->stdin_fd, TCSADRAIN, &terminal->saved);
	if (terminal->in.to_fd != terminal->master_fd && terminal->on_escape)
		auto_close_fd(&terminal->in.to_fd);
	auto_close_fd(&terminal->stdin_fd);
	auto_close_fd(&terminal->stdout_fd);
	auto_close_fd(&terminal->slave_fd);
	auto_close_fd(&terminal->master_fd);
}
