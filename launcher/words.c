/* SPDX-License-Identifier: MIT */
#include "words.h"

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sysexits.h>
#include <vis.h>

int words_warn(int status, int r, const char *what)
{
	errno = -r;
	warn("cannot %s", what);
	return status;
}

const char *words_safe(const char *path)
{
	static char buf[4 * PATH_MAX + 1];

	if (strlen(path) >= PATH_MAX)
		return "(a very long path)";
	(void)strnvis(buf, path, sizeof(buf), VIS_CSTYLE | VIS_NL | VIS_TAB);	/* sized for it */
	return buf;
}

int words_not_run(const char *program, int r)
{
	errno = -r;
	warn("cannot run %s (is nixuser-boot installed?)", program);
	return EX_UNAVAILABLE;
}
