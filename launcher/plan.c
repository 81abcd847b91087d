/* SPDX-License-Identifier: MIT */
#include "plan.h"

#include "auto.h"
#include "fdpass.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define PLAN_MAGIC UINT32_C(0x4e504c31)

/* The fixed part of the message; the strings follow, each with its NUL. */
struct header {
	uint32_t magic;
	uint32_t n_env, n_args;
	char name[PLAN_NAME_MAX + 1];
	char machine_id[PLAN_ID_SIZE];
	char toplevel[PATH_MAX];
	char runtime_path[PATH_MAX];
};

/* -1 for no room. */
static int append(char *buf, size_t *len, char *const *strings, uint32_t *ret_n)
{
	uint32_t n = 0;

	for (; strings[n]; n++) {
		size_t size = strlen(strings[n]) + 1;

		if (n == PLAN_STRINGS_MAX || size > PLAN_SIZE_MAX - *len)
			return -E2BIG;
		memcpy(buf + *len, strings[n], size);
		*len += size;
	}
	*ret_n = n;
	return 0;
}

int plan_send(int sock, const struct plan *plan, const int fds[static PLAN_FDS])
{
	auto_free char *buf = malloc(PLAN_SIZE_MAX);
	struct header header = {.magic = PLAN_MAGIC};
	size_t len = sizeof(header);
	int r;

	if (!buf)
		return -ENOMEM;
	memcpy(header.name, plan->name, sizeof(header.name));
	memcpy(header.machine_id, plan->machine_id, sizeof(header.machine_id));
	memcpy(header.toplevel, plan->toplevel, sizeof(header.toplevel));
	memcpy(header.runtime_path, plan->runtime_path, sizeof(header.runtime_path));
	r = append(buf, &len, plan->env, &header.n_env);
	if (r < 0)
		return r;
	r = append(buf, &len, plan->args, &header.n_args);
	if (r < 0)
		return r;
	memcpy(buf, &header, sizeof(header));
	return fdpass_send(sock, buf, len, fds, PLAN_FDS);
}

/* Points @ret at @n strings from *@pos on; false if they are not all there. */
static bool take(char **pos, const char *end, uint32_t n, char *ret[PLAN_STRINGS_MAX + 1])
{
	if (n > PLAN_STRINGS_MAX)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		char *nul = memchr(*pos, '\0', (size_t)(end - *pos));

		if (!nul)
			return false;
		ret[i] = *pos;
		*pos = nul + 1;
	}
	ret[n] = NULL;
	return true;
}

static bool is_terminated(const char *s, size_t size)
{
	return memchr(s, '\0', size) != NULL;
}

static int unpack(char *buf, size_t len, struct plan *ret)
{
	struct header header;
	char *pos = buf + sizeof(header);

	if (len < sizeof(header))
		return -EPROTO;
	memcpy(&header, buf, sizeof(header));
	if (header.magic != PLAN_MAGIC || !is_terminated(header.name, sizeof(header.name)) ||
	    !is_terminated(header.machine_id, sizeof(header.machine_id)) ||
	    !is_terminated(header.toplevel, sizeof(header.toplevel)) ||
	    !is_terminated(header.runtime_path, sizeof(header.runtime_path)))
		return -EPROTO;
	if (!take(&pos, buf + len, header.n_env, ret->env) ||
	    !take(&pos, buf + len, header.n_args, ret->args) || pos != buf + len)
		return -EPROTO;
	memcpy(ret->name, header.name, sizeof(ret->name));
	memcpy(ret->machine_id, header.machine_id, sizeof(ret->machine_id));
	memcpy(ret->toplevel, header.toplevel, sizeof(ret->toplevel));
	memcpy(ret->runtime_path, header.runtime_path, sizeof(ret->runtime_path));
	return 0;
}

int plan_recv(int sock, struct plan *ret, int ret_fds[static PLAN_FDS])
{
	auto_free char *buf = malloc(PLAN_SIZE_MAX);
	size_t n, len;
	int r;

	if (!buf)
		return -ENOMEM;
	r = fdpass_recv(sock, buf, PLAN_SIZE_MAX, ret_fds, PLAN_FDS, &n, &len);
	if (r < 0)
		return r;
	if (len == 0 || (len == 1 && buf[0] == WORD_RELEASE))
		return -EPIPE;
	r = n == PLAN_FDS ? unpack(buf, len, ret) : -EPROTO;
	if (r < 0) {
		for (size_t i = 0; i < n; i++)
			auto_close_fd(&ret_fds[i]);
		return r;
	}
	ret->strings = buf;
	buf = NULL;
	return 0;
}

void plan_free(struct plan *plan)
{
	free(plan->strings);
	plan->strings = NULL;
}
