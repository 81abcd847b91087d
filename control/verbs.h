/* SPDX-License-Identifier: MIT */
/* The verbs of nixuserctl. */
/* Used by: nixuserctl. Privilege: none. */
#pragma once

#include <stdbool.h>

struct settings {
	bool json;
	bool no_legend;
	bool no_wait;
	bool terminal;		/* run: on a terminal, whatever ours are */
	const char *signal;
};

/* Each returns an exit status, and has said what is wrong. @argv: after the verb; NULL at the end. */
typedef int verb_t(const struct settings *settings, char **argv);

verb_t verb_list;
verb_t verb_status;
verb_t verb_stop;
verb_t verb_reboot;
verb_t verb_kill;
verb_t verb_shell;
verb_t verb_run;
verb_t verb_logs;

/* verbs_name() - check the name of a machine; NULL when it has said what is wrong */
const char *verbs_name(const char *name);
