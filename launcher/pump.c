/* SPDX-License-Identifier: MIT */
#include "pump.h"

#include "auto.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <time.h>

#define ESCAPE 0x1d	/* ^] */
#define ESCAPES 3
#define ESCAPE_WINDOW_US UINT64_C(1000000)
/* How long a reader outside may keep us from ending, for the last lines. */
#define DRAIN_TIMEOUT_MS 1000

/* Each source is on only while it can do something, or epoll would spin. */
static void schedule(struct flow *flow)
{
	bool full = flow->end == sizeof(flow->buf), empty = flow->start == flow->end;

	/* Of a source that is ours these cannot fail. */
	if (flow->from)
		(void)sd_event_source_set_enabled(flow->from,
						  full || flow->ended ? SD_EVENT_OFF : SD_EVENT_ON);
	if (flow->to)
		(void)sd_event_source_set_enabled(flow->to, empty ? SD_EVENT_OFF : SD_EVENT_ON);
}

static bool is_temporary(int error)
{
	return error == EAGAIN || error == EINTR;
}

/* Return: bytes read, 0 for the end, -errno. */
static ssize_t fill(struct flow *flow)
{
	ssize_t n = read(flow->from_fd, flow->buf + flow->end, sizeof(flow->buf) - flow->end);

	if (n < 0)
		return -errno;
	flow->end += (size_t)n;
	return n;
}

/* Return: false if nobody reads any more; what was to be written is lost then. */
static bool flush_flow(struct flow *flow)
{
	ssize_t n = write(flow->to_fd, flow->buf + flow->start, flow->end - flow->start);
	bool gone = n < 0 && !is_temporary(errno);

	if (n < 0 && !gone)
		return true;
	flow->start = gone ? flow->end : flow->start + (size_t)n;
	if (flow->start == flow->end)
		flow->start = flow->end = 0;
	return !gone;
}

/* Whoever sat at the console is gone for good. */
static void hang_up(struct pump *pump)
{
	if (pump->hung_up)
		return;
	pump->hung_up = true;
	pump->on_hangup(pump->data);
}

/* What follows the third ^] is not for the machine any more. */
static void watch_escapes(struct pump *pump, size_t from)
{
	for (size_t i = from; i < pump->in.end; i++) {
		struct timespec ts;
		uint64_t now;

		if (pump->in.buf[i] != ESCAPE) {
			pump->escapes = 0;
			continue;
		}
		(void)clock_gettime(CLOCK_MONOTONIC, &ts);	/* cannot fail */
		now = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
		if (pump->escapes == 0 || now - pump->first_escape_us > ESCAPE_WINDOW_US) {
			pump->escapes = 0;
			pump->first_escape_us = now;
		}
		if (++pump->escapes == ESCAPES) {
			pump->in.end = i;
			pump->on_escape(pump->data);
			return;
		}
	}
}

static void on_input(struct pump *pump)
{
	size_t from = pump->in.end;
	ssize_t n = fill(&pump->in);

	if (n > 0 && pump->terminal->interactive)
		watch_escapes(pump, from);
	if (n > 0 || is_temporary((int)-n))
		return;
	pump->in.ended = true;
	/* The end of a file or a pipe is none of the machine; that of a terminal is a hangup. */
	if (pump->terminal->interactive)
		hang_up(pump);
}

static void on_output(struct pump *pump)
{
	ssize_t n = fill(&pump->out);

	if (n <= 0 && !is_temporary((int)-n))
		pump->out.ended = true;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct pump *pump = data;

	(void)fd;
	(void)revents;
	if (source == pump->in.from)
		on_input(pump);
	else if (source == pump->out.from)
		on_output(pump);
	/* Write at once what was read: mostly there is room. */
	if (pump->in.start < pump->in.end)
		(void)flush_flow(&pump->in);	/* the console is ours, it has a reader */
	if (pump->out.start < pump->out.end && !flush_flow(&pump->out))
		hang_up(pump);
	schedule(&pump->in);
	schedule(&pump->out);
	return 0;
}

/* A file or /dev/null cannot be polled: it is read, or written, whenever there is time. */
static int on_idle(sd_event_source *source, void *data)
{
	return on_io(source, -1, 0, data);
}

static int add(sd_event *event, struct pump *pump, int fd, uint32_t events,
	       sd_event_source **ret)
{
	int r = sd_event_add_io(event, ret, fd, events, on_io, pump);

	if (r != -EPERM)
		return r;
	if (events & EPOLLOUT)
		return 0;	/* on_io() writes without being asked */
	r = sd_event_add_defer(event, ret, on_idle, pump);
	return r < 0 ? r : sd_event_source_set_priority(*ret, SD_EVENT_PRIORITY_IDLE);
}

static int add_flow(sd_event *event, struct pump *pump, struct flow *flow)
{
	int r = add(event, pump, flow->from_fd, EPOLLIN, &flow->from);

	return r < 0 ? r : add(event, pump, flow->to_fd, EPOLLOUT, &flow->to);
}

int pump_attach(struct pump *pump, const struct terminal *terminal, sd_event *event)
{
	/* The master is polled in both directions: epoll(7) wants one entry a descriptor. */
	int copy = fcntl(terminal->master_fd, F_DUPFD_CLOEXEC, 3), r;

	if (copy < 0)
		return -errno;
	pump->terminal = terminal;
	pump->in.from_fd = terminal->stdin_fd;
	pump->in.to_fd = copy;
	pump->out.from_fd = terminal->master_fd;
	pump->out.to_fd = terminal->stdout_fd;
	r = add_flow(event, pump, &pump->in);
	if (r >= 0)
		r = add_flow(event, pump, &pump->out);
	if (r < 0)
		return r;
	schedule(&pump->in);
	schedule(&pump->out);
	return 0;
}

/* The last lines, mostly of a shutdown: as long as there are some and somebody reads. */
static void drain(struct flow *out)
{
	for (;;) {
		struct pollfd p = {.fd = out->to_fd, .events = POLLOUT};

		if (out->start == out->end && fill(out) <= 0)
			return;
		if (poll(&p, 1, DRAIN_TIMEOUT_MS) <= 0)
			return;
		if (!flush_flow(out))
			return;
	}
}

void pump_detach(struct pump *pump)
{
	if (!pump->terminal)
		return;
	sd_event_source_unref(pump->in.from);
	sd_event_source_unref(pump->in.to);
	sd_event_source_unref(pump->out.from);
	sd_event_source_unref(pump->out.to);
	if (!pump->hung_up)
		drain(&pump->out);
	auto_close_fd(&pump->in.to_fd);
	pump->terminal = NULL;
}
