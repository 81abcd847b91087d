/* SPDX-License-Identifier: MIT */
/*
 * shell, run, logs: a command in a machine, and its standard streams here
 *
 * On a terminal of the machine's, whose master comes from nixuser-boot; or on three
 * pipes: no descriptor of ours goes in that would be anything else.
 */
#include "verbs.h"

#include "auto.h"
#include "client.h"
#include "machine.h"
#include "pump.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

/* What a machine's root finds his programs by, on NixOS and elsewhere. */
#define PATH_INSIDE \
	"PATH=/run/wrappers/bin:/run/current-system/sw/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
#define LAST_BYTES_MS 1000

struct session {
	const char *machine;
	int fd;			/* to nixuser-boot */
	int status;		/* of the command; -1 before its end */
	sd_event *event;
};

struct copy {
	int from, to;
	pthread_t thread;
};

/* Strings, each with its NUL, in one buffer. */
struct packed {
	char buf[CONTROL_SIZE_MAX];
	size_t len;
	bool full;
};

static void pack(struct packed *packed, const char *string)
{
	size_t len = strlen(string) + 1;

	packed->full = packed->full || len > sizeof(packed->buf) - packed->len;
	if (packed->full)
		return;
	memcpy(packed->buf + packed->len, string, len);
	packed->len += len;
}

static void pack_environment(struct packed *packed)
{
	const char *term = getenv("TERM"), *lang = getenv("LANG");
	char buf[256];

	pack(packed, PATH_INSIDE);
	pack(packed, "HOME=/root");
	pack(packed, "USER=root");
	pack(packed, "LOGNAME=root");
	if (term && snprintf(buf, sizeof(buf), "TERM=%s", term) < (int)sizeof(buf))
		pack(packed, buf);
	if (lang && snprintf(buf, sizeof(buf), "LANG=%s", lang) < (int)sizeof(buf))
		pack(packed, buf);
}

static int end_status(const struct control_reply *reply)
{
	return reply->code == CLD_EXITED ? reply->status : 128 + reply->status;
}

/* Return: 0 with the session and, for @terminal, the master; else an exit status, and it is said. */
static int start(struct session *session, char **argv, bool terminal, const int pipes[static 3],
		 int *ret_master)
{
	struct control_request request = {.version = CONTROL_VERSION, .call = CONTROL_RUN,
					  .terminal = terminal};
	static struct packed packed;
	struct client_reply reply;
	enum client_state state;
	int r;

	for (; argv[request.argc] && request.argc < 4096; request.argc++)
		pack(&packed, argv[request.argc]);
	pack_environment(&packed);
	state = client_connect(session->machine, &session->fd);
	if (state != CLIENT_CONNECTED)
		return client_explain(state, session->machine);
	r = packed.full ? -E2BIG : client_ask(session->fd, &request, packed.buf, packed.len, pipes,
					      terminal ? 0 : 3);
	if (r == 0)
		r = client_hear(session->fd, &reply);
	if (r == 0)
		r = reply.head.error != 0 ? -reply.head.error :
		    reply.head.kind != CONTROL_STARTED || terminal != (reply.fd >= 0) ? -EPROTO : 0;
	if (r == 0) {
		*ret_master = reply.fd;
		return 0;
	}
	errno = -r;
	warn("cannot run %s in machine '%s'", argv[0], session->machine);
	return EX_OSERR;
}

/* ---- on a terminal */

static int on_reply(sd_event_source *source, int fd, uint32_t revents, void *data)
{
	struct session *session = data;
	struct client_reply reply;

	(void)source;
	(void)revents;
	if (client_hear(fd, &reply) == 0)
		session->status = end_status(&reply.head);
	return sd_event_exit(session->event, 0);
}

static int on_resize(sd_event_source *source, const struct signalfd_siginfo *si, void *data)
{
	(void)source;
	(void)si;
	terminal_resize(data);
	return 0;
}

static void leave(void *data)
{
	(void)sd_event_exit(((struct session *)data)->event, 0);
}

static int carry(struct session *session, struct terminal *terminal)
{
	struct pump pump = {.on_escape = leave, .on_hangup = leave, .data = session};
	sigset_t set;
	int r = sd_event_new(&session->event);

	sigemptyset(&set);
	sigaddset(&set, SIGWINCH);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);	/* fails for bad arguments only */
	if (r >= 0)
		r = sd_event_add_signal(session->event, NULL, SIGWINCH, on_resize, terminal);
	if (r >= 0)
		r = sd_event_add_io(session->event, NULL, session->fd, EPOLLIN, on_reply, session);
	if (r >= 0)
		r = pump_attach(&pump, terminal, session->event);
	if (r >= 0)
		r = sd_event_loop(session->event);
	pump_detach(&pump);
	sd_event_unref(session->event);
	return r;
}

static int run_on_terminal(struct session *session, char **argv)
{
	struct terminal terminal = {.master_fd = -1};
	int master, status, r;

	status = start(session, argv, true, (int[]){-1, -1, -1}, &master);
	if (status != 0)
		return status;
	r = terminal_open(CONSOLE_AUTO, master, &terminal);
	if (r >= 0)
		r = carry(session, &terminal);
	terminal_close(&terminal);
	if (r < 0) {
		errno = -r;
		warn("cannot carry the terminal");
		return EX_OSERR;
	}
	if (session->status < 0)
		warnx("connection to machine '%s' closed", session->machine);
	return session->status < 0 ? EX_UNAVAILABLE : session->status;
}

/* ---- on pipes */

static void *copy_all(void *data)
{
	const struct copy *copy = data;
	char buf[65536];
	ssize_t n;

	while ((n = read(copy->from, buf, sizeof(buf))) > 0) {
		for (ssize_t done = 0, w; done < n; done += w) {
			w = write(copy->to, buf + done, (size_t)(n - done));
			if (w < 0)
				return NULL;	/* nobody reads it any more */
		}
	}
	return NULL;
}

static int make_pipes(struct copy copies[static 3], int theirs[static 3])
{
	for (int i = 0; i < 3; i++) {
		int fds[2];

		if (pipe2(fds, O_CLOEXEC) < 0)
			return -errno;
		copies[i].from = i == 0 ? STDIN_FILENO : fds[0];
		copies[i].to = i == 0 ? fds[1] : i;
		theirs[i] = i == 0 ? fds[0] : fds[1];
	}
	return 0;
}

/* Input ends when ours does: its thread closes the pipe, which nobody else has. */
static void *feed(void *data)
{
	struct copy *copy = data;

	(void)copy_all(copy);
	auto_close_fd(&copy->to);
	return NULL;
}

/* The last bytes; not those of something that it has left in the background. */
static void drain(struct copy copies[static 3])
{
	struct timespec until;

	(void)clock_gettime(CLOCK_REALTIME, &until);	/* cannot fail */
	until.tv_sec += LAST_BYTES_MS / 1000;
	for (int i = 1; i < 3; i++)
		(void)pthread_timedjoin_np(copies[i].thread, NULL, &until);
}

static int run_on_pipes(struct session *session, char **argv)
{
	struct copy copies[3];
	int theirs[3], unused, status, r = make_pipes(copies, theirs);
	struct client_reply reply;

	if (r < 0) {
		errno = -r;
		err(EX_OSERR, "cannot make pipes");
	}
	status = start(session, argv, false, theirs, &unused);
	if (status != 0)
		return status;
	for (int i = 0; i < 3; i++) {
		(void)close(theirs[i]);	/* or we would never read EOF */
		errno = pthread_create(&copies[i].thread, NULL, i == 0 ? feed : copy_all, &copies[i]);
		if (errno != 0)
			err(EX_OSERR, "cannot start a thread");
	}
	r = client_hear(session->fd, &reply);
	drain(copies);
	if (r == 0)
		return end_status(&reply.head);
	warnx("connection to machine '%s' closed", session->machine);
	return EX_UNAVAILABLE;
}

/* ---- the verbs */

static int run(const char *machine, char **argv, bool terminal)
{
	struct session session = {.machine = machine, .fd = -1, .status = -1};

	(void)signal(SIGPIPE, SIG_IGN);
	return terminal ? run_on_terminal(&session, argv) : run_on_pipes(&session, argv);
}

static bool at_a_terminal(const struct settings *settings)
{
	return settings->terminal || (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO));
}

int verb_run(const struct settings *settings, char **argv)
{
	char **command = argv + (argv[1] && strcmp(argv[1], "--") == 0 ? 2 : 1);

	if (!verbs_name(argv[0]))
		return EX_USAGE;
	if (!command[0])
		errx(EX_USAGE, "a command is missing: nixuserctl run NAME -- COMMAND...");
	return run(argv[0], command, at_a_terminal(settings));
}

/* By the machine's own su(1), and so its users, its shells and its PAM. */
int verb_shell(const struct settings *settings, char **argv)
{
	char *at = strrchr(argv[0], '@'), *machine = at ? at + 1 : argv[0];
	char root[] = "root", su[] = "su", login[] = "-l", end[] = "--";

	if (at)
		*at = '\0';
	if (!verbs_name(machine))
		return EX_USAGE;
	if (at && (argv[0][0] == '\0' || argv[0][0] == '-'))
		errx(EX_USAGE, "that is no user's name");
	return run(machine, (char *[]){su, login, end, at ? argv[0] : root, NULL},
		   at_a_terminal(settings));
}

int verb_logs(const struct settings *settings, char **argv)
{
	char journalctl[] = "journalctl", no_pager[] = "--no-pager";
	char *command[64] = {journalctl, no_pager};
	char **more = argv + (argv[1] && strcmp(argv[1], "--") == 0 ? 2 : 1);
	size_t n = 2;

	(void)settings;
	if (!verbs_name(argv[0]))
		return EX_USAGE;
	for (; *more; more++) {
		if (n == sizeof(command) / sizeof(command[0]) - 1)
			errx(EX_USAGE, "too many arguments for journalctl");
		command[n++] = *more;
	}
	return run(argv[0], command, false);
}
