/* SPDX-License-Identifier: MIT */
/* Variables that release what they hold when they go out of scope. */
/* Used by: every program. Privilege: none. */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Closes without touching errno, so that it may run on an error path. */
static inline void auto_close_fd(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);	/* nothing was written that could be lost */
	*fd = -1;
	errno = saved;
}

static inline void auto_free_ptr(void *p)
{
	int saved = errno;

	free(*(void **)p);
	errno = saved;
}

/* An fd that belongs to this scope; starts at -1, leaves with fd_steal(). */
#define auto_close __attribute__((cleanup(auto_close_fd)))

/* Heap memory that belongs to this scope; starts at NULL. */
#define auto_free __attribute__((cleanup(auto_free_ptr)))

/* Hands the fd over to the caller: the scope no longer closes it. */
static inline int fd_steal(int *fd)
{
	int r = *fd;

	*fd = -1;
	return r;
}
