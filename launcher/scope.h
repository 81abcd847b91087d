/* SPDX-License-Identifier: MIT */
/* A scope of the user manager, with delegation, for this process. */
/* Used by: nixuser-boot. Privilege: none. */
#pragma once

#include <systemd/sd-bus.h>
#include <sys/types.h>

/**
 * scope_enter() - have the user manager put us into a scope of our own
 * @name:    of the machine; the unit is "nixuser-NAME.scope"
 * @ret_bus: to the manager, for scope_watch(); the caller's; untouched if no
 *           scope was made
 *
 * Returns when the manager has done it; at once, if the unit that we are in has
 * Delegate=yes already.
 *
 * Return: 0; -EEXIST if the unit is there already; -ECANCELED if the job
 * failed; -ETIMEDOUT after ten seconds; -errno of sd_bus_call(3).
 * Source: org.freedesktop.systemd1(5),
 * StartTransientUnit(); systemd.scope(5).
 */
typedef int scope_enter_t(const char *name, sd_bus **ret_bus);
scope_enter_t scope_enter;

/**
 * scope_watch() - hear of it when the manager wants our scope to stop
 * @bus: from scope_enter()
 *
 * We are its controller, so the manager asks us first, instead of sending SIGTERM
 * to all processes of the machine at once. Kept until the process ends.
 *
 * Return: 0, -errno of sd_bus_attach_event(3). Source: org.freedesktop.systemd1(5),
 * "Scope Unit Objects", RequestStop.
 */
int scope_watch(sd_bus *bus, sd_event *event, sd_bus_message_handler_t on_stop, void *data);
