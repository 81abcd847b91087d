/* SPDX-License-Identifier: MIT */
/*
 * nixuserctl: what runs, and what is to become of it
 *
 * Each verb asks the nixuser-boot of a machine over its control socket (client.c,
 * protocol.h). Nothing is done here that its user could not do otherwise.
 */
#include "config.h"
#include "machine.h"
#include "verbs.h"

#include <err.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static const struct {
	const char *name;
	const char *arguments;
	int min, max;	/* how many; -1: any number */
	bool command;	/* they end in a command for the machine */
	verb_t *run;
	const char *what;
} verbs[] = {
	{"list", "", 0, 0, false, verb_list, "your machines that run"},
	{"status", "NAME...", 1, -1, false, verb_status, "what a machine is, and does"},
	{"shell", "[USER@]NAME", 1, 1, false, verb_shell, "log in, as root or USER"},
	{"run", "NAME -- COMMAND...", 2, -1, true, verb_run, "run a command as root of the machine"},
	{"logs", "NAME [-- ARGUMENT...]", 1, -1, true, verb_logs, "the machine's journal"},
	{"stop", "NAME...", 1, -1, false, verb_stop, "power off, and wait for it"},
	{"reboot", "NAME...", 1, -1, false, verb_reboot, "ask its init for a reboot"},
	{"kill", "NAME...", 1, -1, false, verb_kill, "send a signal to its init"},
};
#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

enum { OPTION_NO_LEGEND = 256, OPTION_NO_WAIT, OPTION_VERSION };

static const struct option long_options[] = {
	{"json", no_argument, NULL, 'j'},
	{"no-legend", no_argument, NULL, OPTION_NO_LEGEND},
	{"no-wait", no_argument, NULL, OPTION_NO_WAIT},
	{"signal", required_argument, NULL, 's'},
	{"tty", no_argument, NULL, 't'},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL},
};

_Noreturn static void help(void)
{
	printf("usage: nixuserctl [OPTION...] VERB [ARGUMENT...]\n\n");
	for (size_t i = 0; i < VERBS; i++)
		printf("  %-7s%-22s %s\n", verbs[i].name, verbs[i].arguments, verbs[i].what);
	printf("\n  -j, --json           for list and status: for machines to read\n"
	       "      --no-legend      without headings\n"
	       "      --no-wait        for stop: do not wait until it has\n"
	       "  -s, --signal=SIGNAL  for kill: which (SIGTERM)\n"
	       "  -t, --tty            for run: on a terminal of the machine's\n"
	       "  -h, --help           and --version\n\n"
	       "See nixuserctl(1).\n");
	exit(EX_OK);
}

static void set(struct settings *settings, int option)
{
	switch (option) {
	case 'j': settings->json = true; break;
	case 's': settings->signal = optarg; break;
	case 't': settings->terminal = true; break;
	case 'h': help();
	case OPTION_NO_LEGEND: settings->no_legend = true; break;
	case OPTION_NO_WAIT: settings->no_wait = true; break;
	case OPTION_VERSION:
		puts("nixuserctl " VERSION);
		exit(EX_OK);
	default:
		exit(EX_USAGE);	/* it has said why */
	}
}

/* With @mixed they may stand behind other arguments; else the first of those ends them. */
static void parse(int argc, char **argv, bool mixed, struct settings *settings)
{
	int option;

	while ((option = getopt_long(argc, argv, mixed ? "jhs:t" : "+jhs:t", long_options,
				     NULL)) != -1)
		set(settings, option);
}

/* Options may stand before the verb and after it, but never in a command for a machine. */
int main(int argc, char **argv)
{
	struct settings settings = {.signal = "SIGTERM"};
	static char self[] = "nixuserctl";	/* getopt(3) would say the whole path */
	const char *verb;

	argv[0] = self;
	parse(argc, argv, false, &settings);
	if (optind == argc)
		errx(EX_USAGE, "a verb is missing; 'nixuserctl --help' lists them");
	argc -= optind;
	argv += optind;
	verb = argv[0];
	argv[0] = self;
	optind = 0;	/* begin anew: getopt(3), NOTES */
	runtime_find();
	for (size_t i = 0; i < VERBS; i++) {
		int n;

		if (strcmp(verb, verbs[i].name) != 0)
			continue;
		parse(argc, argv, !verbs[i].command, &settings);
		n = argc - optind;
		if (n < verbs[i].min || (verbs[i].max >= 0 && n > verbs[i].max))
			errx(EX_USAGE, "usage: nixuserctl %s %s", verb, verbs[i].arguments);
		return verbs[i].run(&settings, argv + optind);
	}
	errx(EX_USAGE, "no verb '%s'; 'nixuserctl --help' lists them", verb);
}
