/* SPDX-License-Identifier: MIT */
#include "options.h"

#include "config.h"
#include "machine.h"

#include <err.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static const char help[] =
"nixuser-boot [OPTION...] CLOSURE [-- INIT-ARGUMENT...]\n"
"\n"
"Boot a NixOS system from the Nix store as an ordinary user. CLOSURE is a gc\n"
"root of yours (a 'result' link), or a path in the store.\n"
"\n"
"  -n, --name NAME         name of the machine (the link's, or its host name)\n"
"      --console MODE      interactive, pipe (interactive on a terminal)\n"
"      --ephemeral         the root directory is kept in memory (always, so far)\n"
"      --store MODE        shared: all of the host's store, read-only\n"
"      --network MODE      none: loopback only\n"
"      --stop-timeout SEC  seconds to power off before it is killed (90)\n"
"      --dry-run           print what would be done: id maps, mounts, arguments\n"
"  -q, --quiet             print errors only\n"
"  -v, --verbose           print each stage\n"
"      --version\n"
"  -h, --help\n"
"\n"
"On its console, ^] three times within a second ends the machine at once.\n"
"Exit status: that of the machine; 64 usage, 65 closure refused,\n"
"69 unavailable, 71 system error, 77 not permitted; 133 it asked for a reboot.\n";

enum { OPT_CONSOLE = 256, OPT_EPHEMERAL, OPT_STORE, OPT_NETWORK, OPT_STOP_TIMEOUT, OPT_DRY_RUN,
       OPT_VERSION };

static const struct option long_options[] = {
	{"name", required_argument, NULL, 'n'},
	{"console", required_argument, NULL, OPT_CONSOLE},
	{"ephemeral", no_argument, NULL, OPT_EPHEMERAL},
	{"store", required_argument, NULL, OPT_STORE},
	{"network", required_argument, NULL, OPT_NETWORK},
	{"stop-timeout", required_argument, NULL, OPT_STOP_TIMEOUT},
	{"dry-run", no_argument, NULL, OPT_DRY_RUN},
	{"quiet", no_argument, NULL, 'q'},
	{"verbose", no_argument, NULL, 'v'},
	{"version", no_argument, NULL, OPT_VERSION},
	{"help", no_argument, NULL, 'h'},
	{0},
};

_Noreturn static void usage(void)
{
	fprintf(stderr, "Try 'nixuser-boot --help'.\n");
	exit(EX_USAGE);
}

static enum console_mode parse_console(const char *mode)
{
	if (strcmp(mode, "interactive") == 0)
		return CONSOLE_INTERACTIVE;
	if (strcmp(mode, "pipe") == 0)
		return CONSOLE_PIPE;
	errx(EX_USAGE, "--console=%s: no such mode; there are 'interactive' and 'pipe'", mode);
}

/* Modes that the design has and this version does not are refused, not ignored. */
static void require_only(const char *option, const char *mode, const char *only)
{
	if (strcmp(mode, only) != 0)
		errx(EX_USAGE, "%s=%s: not in this version; there is '%s'", option, mode, only);
}

static unsigned int parse_seconds(const char *s)
{
	const char *wrong;
	long long n = strtonum(s, 0, 86400, &wrong);

	if (wrong)
		errx(EX_USAGE, "--stop-timeout=%s: %s; seconds, 0 to 86400", s, wrong);
	return (unsigned int)n;
}

static void parse_one(int option, struct options *ret)
{
	switch (option) {
	case 'n':
		if (!machine_name_is_valid(optarg))
			errx(EX_USAGE, "--name: letters, digits, '_', '+', '-' and '.', at most 64, "
			     "and not '.' first");
		ret->name = optarg;
		break;
	case OPT_CONSOLE:
		ret->console = parse_console(optarg);
		break;
	case OPT_EPHEMERAL:
		break;
	case OPT_STORE:
		require_only("--store", optarg, "shared");
		break;
	case OPT_NETWORK:
		require_only("--network", optarg, "none");
		break;
	case OPT_STOP_TIMEOUT:
		ret->stop_timeout_s = parse_seconds(optarg);
		break;
	case OPT_DRY_RUN:
		ret->dry_run = true;
		break;
	case 'q':
		ret->quiet = true;
		break;
	case 'v':
		ret->verbose = true;
		break;
	case OPT_VERSION:
		printf("nixuser-boot %s\nstore %s, Linux 6.1 or later\n", VERSION, STORE_DIR);
		exit(EX_OK);
	case 'h':
		fputs(help, stdout);
		exit(EX_OK);
	default:	/* getopt_long(3) has said what is wrong */
		usage();
	}
}

void options_parse(int argc, char **argv, struct options *ret)
{
	struct options options = {.stop_timeout_s = 90};
	int option;

	argv[0] = (char[]){"nixuser-boot"};	/* for getopt_long(3), whose errors begin with it */
	/* '+': what follows CLOSURE is not ours, even without "--". */
	while ((option = getopt_long(argc, argv, "+n:qvh", long_options, NULL)) >= 0)
		parse_one(option, &options);
	if (optind >= argc) {
		warnx("no CLOSURE given; name a 'result' link");
		usage();
	}
	options.closure = argv[optind++];
	if (optind < argc && strcmp(argv[optind], "--") == 0)
		optind++;
	else if (optind < argc) {
		warnx("more than one CLOSURE given; options come first, arguments for init after '--'");
		usage();
	}
	options.args = argv + optind;
	*ret = options;
}

void options_tell(const struct options *options, const char *format, ...)
{
	va_list ap;

	if (!options->verbose)
		return;
	fputs("nixuser-boot: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputs("\r\n", stderr);
}
