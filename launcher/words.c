/* SPDX-License-Identifier: MIT */
#include "words.h"

#include "start.h"

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sysexits.h>
#include <vis.h>

_Noreturn void words_fail(int status, int r, const char *what)
{
	errno = -r;
	err(status, "cannot %s", what);
}

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

int words_status(int status, const char *program)
{
	if (status != START_NOT_RUN)
		return status;
	warnx("cannot run %s; is nixuser-boot installed?", program);
	return EX_UNAVAILABLE;
}
