/* SPDX-License-Identifier: MIT */
/* list and status: what a machine's nixuser-boot says of it, in a table or as JSON. */
#include "verbs.h"

#include "auto.h"
#include "client.h"
#include "machine.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

static void free_json(json_t **json)
{
	json_decref(*json);
}

#define auto_json __attribute__((cleanup(free_json)))

/* KEY=VALUE lines; a value of digits is a number. */
static json_t *parse_text(char *text)
{
	json_t *object = json_object();
	char *line;

	while ((line = strsep(&text, "\n"))) {
		char *value = strchr(line, '=');

		if (!value)
			continue;
		*value++ = '\0';
		(void)json_object_set_new(object, line,
			value[0] != '\0' && value[strspn(value, "0123456789")] == '\0'
				? json_integer(strtoll(value, NULL, 10)) : json_string(value));
	}
	return object;
}

/* Return: the machine, with a state at least; NULL, and @ret_state, if there is none. */
static json_t *describe(const char *name, enum client_state *ret_state)
{
	const struct control_request request = {.version = CONTROL_VERSION, .call = CONTROL_STATUS};
	struct client_reply reply;
	auto_close int fd = -1;

	*ret_state = client_connect(name, &fd);
	if (*ret_state == CLIENT_BETWEEN || *ret_state == CLIENT_STALE)
		return json_pack("{ssss}", "Name", name, "State",
				 *ret_state == CLIENT_BETWEEN ? "starting" : "crashed");
	if (*ret_state != CLIENT_CONNECTED)
		return NULL;
	if (client_ask(fd, &request, NULL, 0, NULL, 0) < 0 || client_hear(fd, &reply) < 0) {
		*ret_state = CLIENT_BETWEEN;
		return NULL;
	}
	return parse_text(reply.text);
}

static const char *text(const json_t *machine, const char *key)
{
	const char *value = json_string_value(json_object_get(machine, key));

	return value ? value : "-";
}

static const char *since(const json_t *machine, char *buf, size_t size)
{
	time_t t = (time_t)(json_integer_value(json_object_get(machine, "SinceUSec")) / 1000000);
	struct tm tm;

	if (t == 0 || !localtime_r(&t, &tm) || strftime(buf, size, "%F %T", &tm) == 0)
		return "-";
	return buf;
}

static json_t *find_all(void)
{
	int fd = runtime_open_all();
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	json_t *machines = json_array();
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		enum client_state state;
		json_t *machine = machine_name_is_valid(entry->d_name)
			? describe(entry->d_name, &state) : NULL;

		if (machine)
			(void)json_array_append_new(machines, machine);
	}
	if (dir)
		(void)closedir(dir);
	return machines;
}

static int print_json(const json_t *json)
{
	if (json_dumpf(json, stdout, JSON_INDENT(2)) < 0 || putchar('\n') < 0 || fflush(stdout) != 0)
		err(EX_IOERR, "cannot write");
	return EX_OK;
}

int verb_list(const struct settings *settings, char **argv)
{
	auto_json json_t *machines = find_all();
	char when[32];

	(void)argv;
	if (settings->json)
		return print_json(machines);
	if (!settings->no_legend && json_array_size(machines) > 0)
		printf("%-20s %-9s %8s %-19s %s\n", "MACHINE", "STATE", "LEADER", "SINCE", "TOPLEVEL");
	for (size_t i = 0; i < json_array_size(machines); i++) {
		const json_t *machine = json_array_get(machines, i);

		printf("%-20s %-9s %8lld %-19s %s\n", text(machine, "Name"), text(machine, "State"),
		       (long long)json_integer_value(json_object_get(machine, "Leader")),
		       since(machine, when, sizeof(when)), text(machine, "Toplevel"));
	}
	if (!settings->no_legend)
		printf("%s%zu machine%s.\n", json_array_size(machines) > 0 ? "\n" : "",
		       json_array_size(machines), json_array_size(machines) == 1 ? "" : "s");
	return EX_OK;
}

static int print_status(const json_t *machine)
{
	char when[32];

	printf("%s\n  State: %s since %s\n", text(machine, "Name"), text(machine, "State"),
	       since(machine, when, sizeof(when)));
	printf(" Leader: %lld; nixuser-boot is %lld\n",
	       (long long)json_integer_value(json_object_get(machine, "Leader")),
	       (long long)json_integer_value(json_object_get(machine, "Supervisor")));
	printf(" System: %s\n", text(machine, "Toplevel"));
	return EX_OK;
}

int verb_status(const struct settings *settings, char **argv)
{
	int status = EX_OK;

	for (; *argv; argv++) {
		enum client_state state = CLIENT_ABSENT;
		auto_json json_t *machine = verbs_name(*argv) ? describe(*argv, &state) : NULL;
		int r = EX_USAGE;

		if (machine)
			r = settings->json ? print_json(machine) : print_status(machine);
		else if (machine_name_is_valid(*argv))
			r = client_explain(state, *argv);
		status = status == EX_OK ? r : status;
	}
	return status;
}
