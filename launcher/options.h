/* SPDX-License-Identifier: MIT */
/* The command line of nixuser-boot. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include <stdbool.h>

enum console_mode {
	CONSOLE_AUTO,		/* interactive on a terminal, else pipe */
	CONSOLE_INTERACTIVE,
	CONSOLE_PIPE,
};

struct options {
	const char *closure;	/* as typed */
	const char *name;	/* NULL: from the closure */
	char **args;		/* for PID 1; NULL at the end */
	enum console_mode console;
	unsigned int stop_timeout_s;
	bool dry_run;
	bool quiet;
	bool verbose;
};

/**
 * options_parse() - read the command line
 * @ret: points into @argv
 *
 * Prints and exits for --help and --version; prints and exits EX_USAGE for what
 * it does not understand. Return: always, with @ret complete.
 */
void options_parse(int argc, char **argv, struct options *ret);

/**
 * options_tell() - one line about a stage, if --verbose asks for them
 *
 * Fit for a terminal that is in raw mode already.
 */
__attribute__((format(printf, 2, 3)))
void options_tell(const struct options *options, const char *format, ...);
