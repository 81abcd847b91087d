/* SPDX-License-Identifier: MIT */
#include "request.h"

#include "auto.h"
#include "config.h"
#include "machine.h"
#include "ownroot.h"
#include "words.h"

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

/* One judge of links, with one set of words: what is wrong, nixuser-helper says. */
_Noreturn static void refuse_link(const struct closure *closure)
{
	int status = start_check(closure->link);

	if (status < 0)
		words_fail(EX_OSERR, status, "start nixuser-helper");
	if (status == EX_OK)
		errx(EX_DATAERR, "%s: the link changed while it was looked at; try again",
		     words_safe(closure->link));
	exit(words_status(status, HELPER_PATH));
}

/* One complaint at a time: if nixuser-helper has one, it is said already. */
void request_hear_helper(const struct start *start)
{
	int status = start ? words_status(start_reap(start->helper_pid), HELPER_PATH) : EX_OK;

	if (status != EX_OK)
		exit(status);
}

/* A name that cannot be is refused before anything is started. */
static void check_name(const struct options *options, const struct closure *closure)
{
	const char *base = strrchr(closure->link, '/') + 1;

	if (!options->name && !closure->own_root && !machine_name_is_valid(base))
		errx(EX_USAGE, "'%s' cannot be the name of a machine; give one with --name", words_safe(base));
}

static void inspect(const struct options *options, const struct start *start,
		    struct closure *closure)
{
	enum closure_failure failure;

	auto_close_fd(&closure->fd);	/* opened already, if it has a root of our own */
	failure = closure_open(closure);
	if (failure != CLOSURE_OK) {
		request_hear_helper(start);
		errx(EX_DATAERR, "%s: %s", words_safe(options->closure), closure_failure_text(failure));
	}
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
static void make_environment(struct plan *plan, const struct options *options)
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
	for (n = 0; options->args[n]; n++) {
		if (n == PLAN_STRINGS_MAX)
			errx(EX_USAGE, "more than %d arguments for init", PLAN_STRINGS_MAX);
		plan->args[n] = options->args[n];
	}
	plan->args[n] = NULL;
}

/* The root that make_own_root() has made, for whatever way this process ends. */
static const struct closure *own_root;

static void remove_own_root(void)
{
	ownroot_remove(own_root);
}

/*
 * A closure that is named by its path in the store gets a root of the machine's
 * own: what nixuser-helper checks is always a link that somebody has registered.
 */
static void make_own_root(const struct options *options, struct closure *closure,
			  struct plan *plan)
{
	int r;

	inspect(options, NULL, closure);
	identify(options, closure, plan);
	own_root = closure;
	if (atexit(remove_own_root) != 0)
		errx(EX_OSERR, "cannot register a function for the exit");
	r = ownroot_make(plan->name, closure);
	if (r == -EIO)
		errx(EX_UNAVAILABLE, "%s: nix-store made no gc root for it", closure->toplevel);
	if (r < 0)
		words_fail(EX_UNAVAILABLE, r, "make a directory for the gc root of the closure");
}

void request_locate(const struct options *options, struct closure *ret, struct plan *plan)
{
	int r = closure_locate(options->closure, ret);

	if (r == -ENAMETOOLONG)
		errx(EX_DATAERR, "%s: the path is too long", words_safe(options->closure));
	if (r < 0)
		refuse_link(ret);
	check_name(options, ret);
	if (ret->own_root)
		make_own_root(options, ret, plan);
}

void request_complete(const struct options *options, const struct start *start,
		      struct closure *closure, struct plan *ret)
{
	inspect(options, start, closure);
	identify(options, closure, ret);
	make_environment(ret, options);
}
