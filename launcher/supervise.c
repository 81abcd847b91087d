/* SPDX-License-Identifier: MIT */
#include "supervise.h"

#include "auto.h"
#include "control.h"
#include "fdpass.h"
#include "launch.h"
#include "pin.h"
#include "pump.h"
#include "scope.h"
#include "trim.h"

#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>

#define EXIT_REBOOT 133
/* A machine that has ended before needs neither a temporary root nor less memory. */
#define SETTLE_US UINT64_C(100000)

/* State of the loop. */
struct loop {
	const struct supervision *s;
	sd_event *event;
	pid_t pid;		/* of PID 1; 0 until it runs */
	int pidfd;
	bool stopping;
	bool ready;		/* it has said so */
	bool asked;		/* by a signal that means it: the next one is impatience */
	int pin_fd;		/* the temporary root, as long as it is open; -1 without a daemon */
	int pin_error;		/* -errno, if there is none that holds */
	struct report end;	/* kind is 0 until it has ended */
	struct pump pump;
	struct control_hooks hooks;
	struct control *control;
	uint64_t since_us;	/* of the epoch */
};

static const int handled[] = SUPERVISE_SIGNALS;

static void send_signal(struct loop *loop, int sig)
{
	/* ESRCH: it has just ended, and its report is on the way. */
	if (loop->pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, loop->pidfd, sig, NULL, 0);
}

static void kill_machine(struct loop *loop)
{
	loop->stopping = true;
	/* Not running yet: closing the socket ends nixuser-launch, and it the machine. */
	if (loop->pidfd < 0)
		(void)sd_event_exit(loop->event, 0);
	send_signal(loop, SIGKILL);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *data)
{
	struct loop *loop = data;

	(void)source;
	(void)usec;
	warnx("machine '%s' did not power off within %u seconds; killing it", loop->s->name,
	      loop->s->options->stop_timeout_s);
	kill_machine(loop);
	return 0;
}

static void request_stop(struct loop *loop)
{
	uint64_t timeout_us = (uint64_t)loop->s->options->stop_timeout_s * 1000000;

	if (loop->stopping)
		return;
	loop->stopping = true;
	send_signal(loop, SIGRTMIN + 3);
	if (sd_event_add_time_relative(loop->event, NULL, CLOCK_MONOTONIC, timeout_us, 0,
				       on_timeout, loop) < 0)
		kill_machine(loop);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *si, void *data)
{
	struct loop *loop = data;

	(void)source;
	if (si->ssi_signo == SIGWINCH)
		terminal_resize(loop->s->terminal);
	else if (loop->asked && si->ssi_signo != SIGHUP)
		kill_machine(loop);
	else
		request_stop(loop);
	/* A hangup comes as a signal and from the terminal, and is nobody's second request. */
	if (si->ssi_signo == SIGTERM || si->ssi_signo == SIGINT)
		loop->asked = true;
	return 0;
}

static void on_escape(void *data)
{
	struct loop *loop = data;

	kill_machine(loop);
}

static void on_hangup(void *data)
{
	request_stop(data);
}

static void unpinned(struct loop *loop, int r)
{
	loop->pin_error = r;
	kill_machine(loop);
}

static int on_pinned(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct loop *loop = data;
	int r = pin_finish(fd);

	(void)revents;
	if (r < 0)
		unpinned(loop, r);
	/* Nothing more comes; the connection stays. */
	return sd_event_source_set_enabled(source, SD_EVENT_OFF);
}

/* The start is over: what it must not wait for. */
static int on_settled(sd_event_source *source, uint64_t usec, void *data)
{
	struct loop *loop = data;
	int r = pin_start(loop->s->toplevel, &loop->pin_fd);

	(void)source;
	(void)usec;
	trim_code();
	if (r >= 0 && loop->pin_fd >= 0)
		r = sd_event_add_io(loop->event, NULL, loop->pin_fd, EPOLLIN, on_pinned, loop);
	if (r < 0)
		unpinned(loop, r);
	return 0;
}

static void settle_later(struct loop *loop)
{
	int r = sd_event_add_time_relative(loop->event, NULL, CLOCK_MONOTONIC, SETTLE_US, 0,
					   on_settled, loop);

	if (r < 0)
		unpinned(loop, r);
}

static void on_running(struct loop *loop, const struct report *report, int *pidfd)
{
	loop->pid = report->pid;
	loop->pidfd = fd_steal(pidfd);
	options_tell(loop->s->options, "PID 1 runs, as pid %d of the host", report->pid);
	settle_later(loop);
	if (loop->stopping)
		send_signal(loop, SIGRTMIN + 3);
}

static int on_report(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct loop *loop = data;
	struct report report = {.kind = 0};
	size_t n = 0, len = 0;
	int fds[2] = {-1, -1};
	int r = fdpass_recv(fd, &report, sizeof(report), fds, 2, &n, &len);

	(void)source;
	(void)revents;
	if (r < 0 || len != sizeof(report))
		report.kind = 0;
	if (report.kind == REPORT_RUNNING && n == 1)
		on_running(loop, &report, &fds[0]);
	else if (report.kind == REPORT_STARTED || report.kind == REPORT_EXITED)
		control_report(loop->control, &report, fds, n);
	else
		(void)sd_event_exit(loop->event, 0);
	if (report.kind == REPORT_ENDED)
		loop->end = report;	/* start_release() follows */
	auto_close_fd(&fds[0]);
	auto_close_fd(&fds[1]);
	return 0;
}

/*
 * One variable of a notification. Before systemd has its handlers, PID 1 is a
 * script that a stop request does not reach; so it is repeated when they are there.
 */
static void handle_variable(struct loop *loop, const char *variable)
{
	bool ready = strcmp(variable, "READY=1") == 0;

	if (loop->stopping && (ready || strcmp(variable, "X_SYSTEMD_SIGNALS_LEVEL=2") == 0))
		send_signal(loop, SIGRTMIN + 3);
	if (!ready)
		return;
	loop->ready = true;
	options_tell(loop->s->options, "ready");
	(void)sd_notify(0, "READY=1");	/* nobody may be listening */
	trim_code();	/* from here on there is little to do */
}

/* Only PID 1 is believed, by the credentials the kernel adds. */
static int on_notify(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct loop *loop = data;
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	char text[4096], *rest = text, *line;
	struct iovec iov = {.iov_base = text, .iov_len = sizeof(text) - 1};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf, .msg_controllen = sizeof(control.buf),
	};
	struct cmsghdr *c;
	struct ucred ucred;
	/* Descriptors find no room in the control buffer, and are not installed. */
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	(void)source;
	(void)revents;
	if (n < 0)
		return 0;
	c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS ||
	    msg.msg_flags & MSG_TRUNC)
		return 0;
	memcpy(&ucred, CMSG_DATA(c), sizeof(ucred));
	if (loop->pid == 0 || ucred.pid != loop->pid)
		return 0;
	text[n] = '\0';
	while ((line = strsep(&rest, "\n")))
		handle_variable(loop, line);
	return 0;
}

/*
 * systemd says on its console at best that it got no inotify instance; and there
 * are few of them for all machines of a user. One of our own would fail as well.
 */
static void blame_inotify(void)
{
	int fd = inotify_init1(IN_CLOEXEC);

	if (fd < 0 && errno == EMFILE)
		warnx("your inotify instances are used up, and a booted systemd takes about ten; "
		      "have the sysctl fs.inotify.max_user_instances raised");
	else if (fd >= 0)
		(void)close(fd);
}

static int exit_status(const struct supervision *s, const struct report *end)
{
	if (end->code == CLD_EXITED)	/* 133 is ours to say */
		return end->status == EXIT_REBOOT ? 1 : end->status;
	/* What the kernel makes of reboot(2) in a pid namespace: reboot_pid_ns(). */
	if (end->status == SIGINT)
		return 0;
	if (end->status == SIGHUP)
		return EXIT_REBOOT;
	warnx("machine '%s' was killed by signal %d (%s)", s->name, end->status,
	      strsignal(end->status));
	return 128 + end->status;
}

static int on_request_stop(sd_bus_message *m, void *data, sd_bus_error *error)
{
	(void)m;
	(void)error;
	on_hangup(data);
	return 0;
}

static size_t describe(void *data, char *buf, size_t size)
{
	const struct loop *loop = data;
	const char *state = loop->stopping ? "stopping" : loop->ready ? "running" : "starting";
	int len = snprintf(buf, size, "Name=%s\nState=%s\nLeader=%d\nSupervisor=%d\n"
			   "Toplevel=%s\nSinceUSec=%" PRIu64 "\n", loop->s->name, state,
			   loop->pid, getpid(), loop->s->toplevel, loop->since_us);

	return len < 0 ? 0 : (size_t)len < size ? (size_t)len : size;
}

static int kill_leader(void *data, int sig)
{
	struct loop *loop = data;

	if (loop->pidfd < 0)
		return -EAGAIN;
	return syscall(SYS_pidfd_send_signal, loop->pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

static int listen_for_control(struct loop *loop)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);	/* cannot fail */
	loop->since_us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	loop->hooks = (struct control_hooks){.describe = describe, .stop = on_hangup,
					     .kill = kill_leader, .data = loop};
	return control_open(loop->event, loop->s->runtime_fd, loop->s->sock, &loop->hooks,
			    &loop->control);
}

static int attach(struct loop *loop)
{
	const struct supervision *s = loop->s;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < sizeof(handled) / sizeof(handled[0]); i++)
		r = sd_event_add_signal(loop->event, NULL, handled[i], on_signal, loop);
	if (r >= 0)
		r = sd_event_add_io(loop->event, NULL, s->sock, EPOLLIN, on_report, loop);
	if (r >= 0)
		r = sd_event_add_io(loop->event, NULL, s->notify_fd, EPOLLIN, on_notify, loop);
	if (r >= 0 && s->bus)
		r = scope_watch(s->bus, loop->event, on_request_stop, loop);
	if (r >= 0)
		r = pump_attach(&loop->pump, s->terminal, loop->event);
	if (r >= 0)
		r = listen_for_control(loop);
	return r;
}

static void judge(const struct loop *loop, int *ret_status, enum supervision_end *ret_end)
{
	*ret_end = SUPERVISION_ABANDONED;
	if (loop->end.kind != REPORT_ENDED)
		return;
	if (!loop->ready && (loop->end.code != CLD_EXITED || loop->end.status != 0))
		blame_inotify();
	*ret_end = loop->pin_error < 0 ? SUPERVISION_UNPINNED : SUPERVISION_ENDED;
	*ret_status = loop->pin_error < 0 ? loop->pin_error : exit_status(loop->s, &loop->end);
}

int supervise(const struct supervision *s, int *ret_status, enum supervision_end *ret_end)
{
	struct loop loop = {.s = s, .pidfd = -1, .pin_fd = -1,
		.pump = {.on_escape = on_escape, .on_hangup = on_hangup, .data = &loop}};
	int r = sd_event_new(&loop.event);

	if (r >= 0)
		r = attach(&loop);
	if (r >= 0)
		r = sd_event_loop(loop.event);
	pump_detach(&loop.pump);
	control_close(loop.control);
	sd_event_unref(loop.event);
	if (r < 0)
		send_signal(&loop, SIGKILL);
	auto_close_fd(&loop.pidfd);
	auto_close_fd(&loop.pin_fd);
	if (r < 0)
		return r;
	terminal_close(s->terminal);	/* before words go to it */
	judge(&loop, ret_status, ret_end);
	return 0;
}
