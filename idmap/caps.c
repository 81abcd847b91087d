/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * The program is installed with CAP_SETUID and CAP_SETGID permitted and not
 * effective, because the only two things it needs them for are writes to the
 * uid_map and gid_map of a user namespace it made itself. Three stages:
 *
 *  1. caps_enter(): whatever exec(2) gave, be it nothing effective (file
 *     capabilities) or everything ambient (the NixOS wrapper), becomes:
 *     permitted = the two, all other sets empty.
 *  2. caps_raise() ... caps_lower() around one map each; see mapfile.c.
 *  3. caps_drop(): nothing permitted, so nothing can ever be raised again.
 *
 * Everything before, between and after runs with nothing effective. capset(2)
 * is called directly: libcap's cap_set_proc() works on heap objects, and there
 * is no allocation in a process that can raise a capability. Nothing of libcap is
 * linked, since what brings its cap_reset_ambient(3) also brings its execve(2).
 */
#include "caps.h"

#include <errno.h>
#include <sys/capability.h>
#include <sys/prctl.h>

static int set(uint32_t permitted, uint32_t effective)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {
		{.permitted = permitted, .effective = effective, .inheritable = 0},
	};

	return capset(&header, data) < 0 ? -errno : 0;
}

/* Do the sets read back as these, with nothing inheritable and nothing above 31? */
static bool are(uint32_t permitted, uint32_t effective)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (capget(&header, data) < 0)
		return false;
	return data[0].permitted == permitted && data[0].effective == effective &&
	       data[0].inheritable == 0 && data[1].permitted == 0 &&
	       data[1].effective == 0 && data[1].inheritable == 0;
}

int caps_enter(uint32_t wanted)
{
	int r;

	/*
	 * Ambient first: as long as it is set, an exec of anything would carry
	 * the capabilities on. Then one capset(2) for the other three.
	 */
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return -errno;
	r = set(wanted, 0);
	if (r < 0)
		return r;
	return are(wanted, 0) ? 0 : -ENOTRECOVERABLE;
}

int caps_raise(uint32_t permitted, uint32_t which)
{
	return set(permitted, which);
}

int caps_lower(uint32_t permitted)
{
	return set(permitted, 0);
}

int caps_drop(void)
{
	if (set(0, 0) < 0 || !are(0, 0))
		return -ENOTRECOVERABLE;
	/* The proof: what was dropped must not come back. */
	if (set(CAPS_BIT(CAP_SETUID), CAPS_BIT(CAP_SETUID)) == 0)
		return -ENOTRECOVERABLE;
	return are(0, 0) ? 0 : -ENOTRECOVERABLE;
}
