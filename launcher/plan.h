/* SPDX-License-Identifier: MIT */
/* What is to be started. */
/* Used by: nixuser-boot, nixuser-launch. Privilege: none. */
#pragma once

#include <limits.h>

#define PLAN_NAME_MAX 64
#define PLAN_ID_SIZE 33			/* 32 hex digits and a NUL */
#define PLAN_ENV_MAX 4
#define PLAN_ARGS_MAX 512

struct plan {
	char name[PLAN_NAME_MAX + 1];	/* of the machine, and its host name */
	char machine_id[PLAN_ID_SIZE];
	char toplevel[PATH_MAX];	/* path in the store */
	char runtime_path[PATH_MAX];	/* of the machine's runtime directory, for mounting from it */
	char *env[PLAN_ENV_MAX + 1];	/* of PID 1; NULL at the end */
	char *args[PLAN_ARGS_MAX + 1];	/* for PID 1, after its name; NULL at the end */
};
