/* SPDX-License-Identifier: MIT */
#include "module.h"

#include "config.h"

#include <dlfcn.h>
#include <err.h>

const struct module *module_load(void)
{
	static struct module module;
	void *handle;

	if (module.supervise)
		return &module;
	handle = dlopen(SUPERVISE_MODULE_PATH, RTLD_NOW | RTLD_LOCAL);
	if (handle) {
		module.scope_enter = (scope_enter_t *)dlsym(handle, "scope_enter");
		module.supervise = (supervise_t *)dlsym(handle, "supervise");
	}
	if (!module.scope_enter || !module.supervise) {
		warnx("cannot load %s (is nixuser-boot installed?)", dlerror());
		return NULL;
	}
	return &module;
}
