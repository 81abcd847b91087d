/* SPDX-License-Identifier: MIT */
#include "refusal.h"

static const struct {
	int status;
	const char *text;
} refusals[REFUSED_COUNT] = {
	[REFUSED_NOT] = {EX_SOFTWARE, "nothing was refused"},
#define REFUSAL_WORDS(name, status, text) [REFUSED_##name] = {status, text},
	REFUSALS(REFUSAL_WORDS)
#undef REFUSAL_WORDS
};

const char *refusal_text(enum refusal r)
{
	if ((unsigned int)r >= REFUSED_COUNT)
		return "an unknown refusal; please report this as a bug";
	return refusals[r].text;
}

int refusal_status(enum refusal r)
{
	if ((unsigned int)r >= REFUSED_COUNT)
		return EX_SOFTWARE;
	return refusals[r].status;
}
