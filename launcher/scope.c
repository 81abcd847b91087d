/* SPDX-License-Identifier: MIT */
#include "scope.h"

#include "auto.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define SYSTEMD "org.freedesktop.systemd1"
#define MANAGER SYSTEMD, "/org/freedesktop/systemd1", SYSTEMD ".Manager"

/* A manager that takes longer for one scope has other troubles. */
#define TIMEOUT_US UINT64_C(10000000)

struct job {
	char *path;	/* of the job we wait for; heap */
	bool done;
	bool failed;
};

static void close_bus(sd_bus **bus)
{
	sd_bus_flush_close_unref(*bus);
}

static void unref_message(sd_bus_message **m)
{
	sd_bus_message_unref(*m);
}

#define auto_bus __attribute__((cleanup(close_bus)))
#define auto_message __attribute__((cleanup(unref_message)))

/* Without dbus-user-session there is the manager's own socket, as for systemctl --user. */
static int open_manager(sd_bus **ret)
{
	auto_bus sd_bus *bus = NULL;
	const char *dir = getenv("XDG_RUNTIME_DIR");
	char address[4096];
	int r = sd_bus_open_user(ret);

	if (r >= 0 || !dir)
		return r;
	(void)snprintf(address, sizeof(address), "unix:path=%s/systemd/private", dir);
	r = sd_bus_new(&bus);
	if (r >= 0)
		r = sd_bus_set_address(bus, address);
	if (r >= 0)
		r = sd_bus_start(bus);
	if (r < 0)
		return r;
	*ret = bus;
	bus = NULL;
	return 0;
}

static int on_job_removed(sd_bus_message *m, void *data, sd_bus_error *error)
{
	struct job *job = data;
	const char *path, *unit, *result;
	uint32_t id;
	int r = sd_bus_message_read(m, "uoss", &id, &path, &unit, &result);

	(void)error;
	if (r < 0)
		return r;
	if (job->path && strcmp(path, job->path) == 0) {
		job->done = true;
		job->failed = strcmp(result, "done") != 0;
	}
	return 0;
}

static int start_unit(sd_bus *bus, const char *unit, char **ret_job)
{
	auto_message sd_bus_message *m = NULL, *reply = NULL;
	const char *path, *name;
	bool controlled;
	int r;

	r = sd_bus_message_new_method_call(bus, &m, MANAGER, "StartTransientUnit");
	if (r < 0)
		return r;
	/* Without a bus there is no name that the manager could call us by. */
	controlled = sd_bus_get_unique_name(bus, &name) >= 0;
	r = sd_bus_message_append(m, "ss", unit, "fail");
	if (r >= 0)
		r = sd_bus_message_open_container(m, 'a', "(sv)");
	if (r >= 0 && controlled)
		r = sd_bus_message_append(m, "(sv)(sv)", "Controller", "s", name,
					  "After", "as", 1, "dbus.service");
	if (r < 0)
		return r;
	r = sd_bus_message_append(m, "(sv)(sv)(sv)(sv)",
				  "Description", "s", "NixOS machine of nixuser-boot",
				  "Delegate", "b", 1,
				  "CollectMode", "s", "inactive-or-failed",
				  "PIDs", "au", 1, (uint32_t)getpid());
	if (r >= 0)
		r = sd_bus_message_close_container(m);
	if (r >= 0)
		r = sd_bus_message_append(m, "a(sa(sv))", 0);
	if (r < 0)
		return r;
	r = sd_bus_call(bus, m, 0, NULL, &reply);
	if (r < 0)
		return r;
	r = sd_bus_message_read(reply, "o", &path);
	if (r < 0)
		return r;
	*ret_job = strdup(path);
	return *ret_job ? 0 : -ENOMEM;
}

/*
 * Only the manager can say whether our unit has Delegate=yes: a user manager
 * does not set user.delegate on its cgroups (systemd, cgroup_xattr_apply()).
 */
static bool unit_is_delegated(sd_bus *bus)
{
	auto_message sd_bus_message *reply = NULL;
	const char *path;
	int delegated = 0;

	if (sd_bus_call_method(bus, MANAGER, "GetUnitByPID", NULL, &reply, "u",
			       (uint32_t)getpid()) < 0 ||
	    sd_bus_message_read(reply, "o", &path) < 0)
		return false;
	if (sd_bus_get_property_trivial(bus, SYSTEMD, path, SYSTEMD ".Scope", "Delegate", NULL, 'b',
					&delegated) < 0)
		(void)sd_bus_get_property_trivial(bus, SYSTEMD, path, SYSTEMD ".Service",
						  "Delegate", NULL, 'b', &delegated);
	return delegated != 0;
}

/* Until the manager says that it is done, but not for ever. */
static int wait_for_job(sd_bus *bus, const struct job *job)
{
	uint64_t waited_us = 0;
	int r = 0;

	while (r >= 0 && !job->done) {
		r = sd_bus_process(bus, NULL);
		if (r != 0)
			continue;
		if (waited_us >= TIMEOUT_US)
			return -ETIMEDOUT;
		r = sd_bus_wait(bus, TIMEOUT_US / 10);
		waited_us += r == 0 ? TIMEOUT_US / 10 : 0;
	}
	return r < 0 ? r : job->failed ? -ECANCELED : 0;
}

int scope_enter(const char *name, sd_bus **ret_bus)
{
	auto_bus sd_bus *bus = NULL;
	struct job job = {0};
	sd_bus_slot *slot;
	char unit[128];	/* a name has at most 64 characters */
	int r;

	r = open_manager(&bus);
	if (r < 0)
		return r;
	r = sd_bus_set_method_call_timeout(bus, TIMEOUT_US);
	if (r < 0)
		return r;
	if (unit_is_delegated(bus))
		return 0;
	/* Before the call, lest the signal come first. */
	r = sd_bus_match_signal(bus, &slot, MANAGER, "JobRemoved", on_job_removed, &job);
	if (r < 0)
		return r;
	r = sd_bus_call_method(bus, MANAGER, "Subscribe", NULL, NULL, NULL);
	if (r < 0)
		return r;
	(void)snprintf(unit, sizeof(unit), "nixuser-%s.scope", name);	/* sized for it */
	r = start_unit(bus, unit, &job.path);
	if (r >= 0)
		r = wait_for_job(bus, &job);
	sd_bus_slot_unref(slot);
	free(job.path);
	if (r >= 0) {
		*ret_bus = bus;
		bus = NULL;
	}
	return r;
}

int scope_watch(sd_bus *bus, sd_event *event, sd_bus_message_handler_t on_stop, void *data)
{
	int r = sd_bus_match_signal(bus, NULL, SYSTEMD, NULL, SYSTEMD ".Scope",
				    "RequestStop", on_stop, data);

	return r < 0 ? r : sd_bus_attach_event(bus, event, SD_EVENT_PRIORITY_NORMAL);
}
