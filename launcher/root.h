/* SPDX-License-Identifier: MIT */
/* The machine's root directory, made in the outer namespace, and its PID 1. */
/* Used by: nixuser-launch. Privilege: root of the outer namespace (root.c), of the
 * inner one (payload.c). */
#pragma once

#include "launch.h"
#include "step.h"

/* Any directory that every host has: what is mounted there shows in our namespace only. */
#define ROOT_DIR "/tmp"

/* What the steps work on. */
struct machine {
	struct launch launch;
	int sock;		/* to nixuser-boot */
	int ns_fds[WORD_FDS];
	int export_fd;		/* detached mount of the runtime directory's unix-export/ */
	int payload_fd;		/* O_PATH of the cgroup payload/ */
	int go_fd;		/* payload: a byte when its maps are written, one when its root is made */
};

extern const struct step root_steps[];
extern const size_t root_steps_count;

extern const struct step payload_steps[];
extern const size_t payload_steps_count;
