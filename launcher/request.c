/* SPDX-License-Identifier: MIT */
#include "request.h"

#include "config.h"
#include "machine.h"
#include "start.h"
#include "words.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* One judge of links, with one set of words: what is wrong, nixuser-helper says. */
_Noreturn static void refuse_link(const struct closure *closure)
{
	int status = start_check(closure->link);

	if (status < 0)
		exit(words_not_run(HELPER_PATH, status));
	if (status == EX_OK)
		errx(EX_DATAERR, "%s: the link changed while it was looked at; try again",
		     words_safe(closure->link));
	exit(status);
}

/* A name that cannot be is refused before anything is started. */
static void check_name(const struct options *options, const struct closure *closure)
{
	const char *base = strrchr(closure->link, '/') + 1;

	if (!options->name && !closure->own_root && !machine_name_is_valid(base))
		errx(EX_USAGE, "'%s' cannot be the name of a machine; give one with --name",
		     words_safe(base));
}

static void inspect(const struct options *options, struct closure *closure)
{
	enum closure_failure failure = closure_open(closure);

	if (failure == CLOSURE_GONE && !closure->own_root)
		refuse_link(closure);
	if (failure != CLOSURE_OK)
		errx(EX_DATAERR, "%s: %s", words_safe(options->closure), closure_failure_text(failure));
	if (!closure_has_console(closure) && !options->quiet)
		warnx("no login prompt on the console: the closure masks console-getty.service; "
		      "set console.enable = true");
}

static void identify(const struct options *options, const struct closure *closure,
		     struct plan *plan)
{
	if (options->name)	/* valid, as is the link's, so it fits */
		(void)strlcpy(plan->name, options->name, sizeof(plan->name));
	else
		closure_name(closure, plan->name, sizeof(plan->name));
	machine_id(plan->name, plan->machine_id);
	(void)strlcpy(plan->toplevel, closure->toplevel, sizeof(plan->toplevel));	/* same size */
}

/* The environment of PID 1: Container Interface, "Environment Variables". */
static void make_environment(struct plan *plan)
{
	/* They outlive this function, as the plan does. */
	static char container[] = "container=nixuser-boot";
	static char notify[] = "NOTIFY_SOCKET=/run/host/notify";
	static char uuid[sizeof("container_uuid=") + PLAN_ID_SIZE];
	static char term[64];
	const char *t = getenv("TERM");
	size_t n = 0;

	(void)snprintf(uuid, sizeof(uuid), "container_uuid=%s", plan->machine_id);
	plan->env[n++] = container;
	plan->env[n++] = uuid;
	plan->env[n++] = notify;
	if (t && strspn(t, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-") ==
		 strlen(t) && (size_t)snprintf(term, sizeof(term), "TERM=%s", t) < sizeof(term))
		plan->env[n++] = term;
	plan->env[n] = NULL;
}

static void copy_arguments(struct plan *plan, const struct options *options)
{
	size_t n;

	for (n = 0; options->args[n]; n++) {
		if (n == PLAN_ARGS_MAX)
			errx(EX_USAGE, "more than %d arguments for init", PLAN_ARGS_MAX);
		plan->args[n] = options->args[n];
	}
	plan->args[n] = NULL;
}

static void locate(const struct options *options, struct closure *closure)
{
	int r = closure_locate(options->closure, closure);

	if (r == -ENAMETOOLONG)
		errx(EX_DATAERR, "%s: the path is too long", words_safe(options->closure));
	if (r < 0 || getuid() == 0)	/* it refuses root as well */
		refuse_link(closure);
}

/* Before anything is started: only a person at a terminal can be asked to use one. */
static void check_console(const struct options *options)
{
	if (options->console == CONSOLE_INTERACTIVE &&
	    !(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)))
		errx(EX_USAGE, "--console=interactive needs a terminal on standard input and output");
}

void request_read(const struct options *options, struct closure *ret, struct plan *ret_plan)
{
	check_console(options);
	locate(options, ret);
	check_name(options, ret);
	inspect(options, ret);
	identify(options, ret, ret_plan);
	make_environment(ret_plan);
	copy_arguments(ret_plan, options);
}
