/* SPDX-License-Identifier: MIT */
#include "subid.h"

#include "auto.h"
#include "config.h"
#include "plugin.h"
#include "subfile.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NSSWITCH "/etc/nsswitch.conf"

/* The first word after "subid:" is the one libsubid looks at; none means files. */
static enum refusal find_source(char *ret, size_t size)
{
	auto_free char *line = NULL;
	size_t room = 0;
	enum refusal r = REFUSED_NOT;
	FILE *f = fopen(NSSWITCH, "re");

	(void)strlcpy(ret, "files", size);	/* fits every caller's buffer */
	if (!f)
		return errno == ENOENT ? REFUSED_NOT : REFUSED_SUBID_SOURCE;
	while (getline(&line, &room, f) >= 0) {
		char *rest = line, *word;

		if (strncasecmp(line, "subid:", 6) != 0)
			continue;
		rest += 6;
		do
			word = strsep(&rest, " \t\n");
		while (word && *word == '\0');
		if (!word)
			continue;	/* libsubid goes on to the next such line, too */
		if (strlcpy(ret, word, size) >= size)
			r = REFUSED_SUBID_PLUGIN;
		break;
	}
	if (ferror(f))
		r = REFUSED_SUBID_SOURCE;
	(void)fclose(f);	/* only read */
	return r;
}

/*
 * libsubid and the dozen libraries it brings along are loaded for those hosts
 * only whose ranges the files do not have: they are half of the helper's time.
 */
static plugin_find_t *load_plugin(void)
{
	void *module = dlopen(SUBID_MODULE_PATH, RTLD_NOW | RTLD_LOCAL);

	return module ? (plugin_find_t *)dlsym(module, "plugin_find") : NULL;
}

enum refusal subid_find(const struct subid_user *user, struct id_range ret[static SUBID_KINDS])
{
	plugin_find_t *ask = NULL;
	char source[32];
	enum refusal r = find_source(source, sizeof(source));

	if (r == REFUSED_NOT && strcmp(source, "files") != 0) {
		ask = load_plugin();
		r = ask ? REFUSED_NOT : REFUSED_SUBID_MODULE;
	}
	for (enum subid_kind kind = 0; r == REFUSED_NOT && kind < SUBID_KINDS; kind++)
		r = ask ? ask(source, user, kind, &ret[kind]) : subfile_find(user, kind, &ret[kind]);
	return r;
}
