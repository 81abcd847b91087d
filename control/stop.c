/* SPDX-License-Identifier: MIT */
/* stop, reboot, kill: what is asked of a machine as a whole. */
#include "verbs.h"

#include "auto.h"
#include "client.h"
#include "machine.h"

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sysexits.h>

const char *verbs_name(const char *name)
{
	if (machine_name_is_valid(name))
		return name;
	warnx("that cannot be the name of a machine: letters, digits and '_', '+', '-', '.', 64 at most");
	return NULL;
}

/* One request, one answer; with @until_end also the end of the machine. Returns an exit status. */
static int ask(const char *name, struct control_request request, bool until_end)
{
	struct client_reply reply;
	enum client_state state;
	auto_close int fd = -1;
	int r;

	if (!verbs_name(name))
		return EX_USAGE;
	state = client_connect(name, &fd);
	if (state != CLIENT_CONNECTED)
		return client_explain(state, name);
	request.version = CONTROL_VERSION;
	r = client_ask(fd, &request, NULL, 0, NULL, 0);
	if (r == 0)
		r = client_hear(fd, &reply);
	if (r == 0)
		r = -reply.head.error;
	if (r == 0 && until_end)
		r = client_hear(fd, &reply) == -EPIPE ? 0 : -EPROTO;
	if (r == 0)
		return EX_OK;
	errno = -r;
	warn("machine '%s' did not do it", name);
	return EX_OSERR;
}

static int ask_all(char **names, struct control_request request, bool until_end)
{
	int status = EX_OK;

	for (; *names; names++) {
		int r = ask(*names, request, until_end);

		status = status == EX_OK ? r : status;
	}
	return status;
}

int verb_stop(const struct settings *settings, char **argv)
{
	return ask_all(argv, (struct control_request){.call = CONTROL_STOP}, !settings->no_wait);
}

int verb_reboot(const struct settings *settings, char **argv)
{
	(void)settings;
	/* systemd(1), "Signals". */
	return ask_all(argv, (struct control_request){.call = CONTROL_KILL, .signal = SIGRTMIN + 5},
		       false);
}

/* As kill(1): a number, or a name with or without SIG; RTMIN+N. 0 if it is none. */
static int parse_signal(const char *name)
{
	const char *wrong, *plain = strncasecmp(name, "SIG", 3) == 0 ? name + 3 : name;
	int sig = (int)strtonum(name, 1, SIGRTMAX, &wrong);

	if (!wrong)
		return sig;
	if (strncasecmp(plain, "RTMIN+", 6) == 0) {
		sig = (int)strtonum(plain + 6, 0, SIGRTMAX - SIGRTMIN, &wrong);
		return wrong ? 0 : SIGRTMIN + sig;
	}
	for (sig = 1; sig < SIGRTMIN; sig++) {
		const char *known = sigabbrev_np(sig);

		if (known && strcasecmp(known, plain) == 0)
			return sig;
	}
	return 0;
}

int verb_kill(const struct settings *settings, char **argv)
{
	int sig = parse_signal(settings->signal);

	if (sig == 0)
		errx(EX_USAGE, "no such signal: %s", settings->signal);
	return ask_all(argv, (struct control_request){.call = CONTROL_KILL, .signal = sig}, false);
}
