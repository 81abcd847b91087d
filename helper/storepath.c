/* SPDX-License-Identifier: MIT */
#include "storepath.h"

#include "config.h"

#include <sha1.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static const char base32[] = "0123456789abcdfghijklmnpqrsvwxyz";	/* no e, o, t, u */

static const char name_characters[] =
	"0123456789"
	"abcdefghijklmnopqrstuvwxyz"
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	"+-._?=";

static bool ends_with(const char *s, const char *suffix)
{
	size_t len = strlen(s), n = strlen(suffix);

	return len >= n && strcmp(s + len - n, suffix) == 0;
}

enum refusal storepath_check_base(const char *base)
{
	static const char *const temporary[] = {".chroot", ".lock", ".check", ".tmp"};
	const char *name = base + STOREPATH_HASH + 1, *rest;

	if (strspn(base, base32) < STOREPATH_HASH || base[STOREPATH_HASH] != '-')
		return REFUSED_TARGET_NAME;
	if (name[0] == '\0' || strlen(name) > STOREPATH_NAME_MAX ||
	    name[strspn(name, name_characters)] != '\0')
		return REFUSED_TARGET_NAME;
	/* ".", ".." and what begins with ".-" or "..-" are no names to Nix. */
	rest = name + strspn(name, ".");
	if (rest > name && rest <= name + 2 && (*rest == '\0' || *rest == '-'))
		return REFUSED_TARGET_NAME;
	if (ends_with(name, ".drv"))
		return REFUSED_TARGET_DERIVATION;
	for (size_t i = 0; i < sizeof(temporary) / sizeof(temporary[0]); i++) {
		if (ends_with(name, temporary[i]))
			return REFUSED_TARGET_TEMPORARY;
	}
	return REFUSED_NOT;
}

enum refusal storepath_parse(const char *target, char ret[static STOREPATH_BASE_SIZE])
{
	const size_t prefix = sizeof(STORE_DIR "/") - 1;
	const char *base = target + prefix;
	enum refusal r;

	if (strncmp(target, STORE_DIR "/", prefix) != 0)
		return REFUSED_TARGET_NOT_STORE;
	if (strchr(base, '/'))
		return REFUSED_TARGET_INSIDE;
	r = storepath_check_base(base);
	if (r == REFUSED_NOT)
		(void)strlcpy(ret, base, STOREPATH_BASE_SIZE);	/* checked: it fits */
	return r;
}

/*
 * Nix takes the bytes as one little-endian number and writes its base-32
 * digits from the highest to the lowest, five bits each.
 */
static void encode(const uint8_t *hash, size_t size, char *ret)
{
	size_t digits = (size * 8 + 4) / 5;

	for (size_t i = 0; i < digits; i++) {
		size_t bit = (digits - 1 - i) * 5, byte = bit / 8;
		unsigned int two = hash[byte];

		if (byte + 1 < size)
			two |= (unsigned int)hash[byte + 1] << 8;
		ret[i] = base32[two >> bit % 8 & 31];
	}
	ret[digits] = '\0';
}

void storepath_root_name(const char *link, char ret[static STOREPATH_ROOT_SIZE])
{
	uint8_t hash[SHA1_DIGEST_LENGTH];
	SHA1_CTX ctx;

	SHA1Init(&ctx);
	SHA1Update(&ctx, (const uint8_t *)link, strlen(link));
	SHA1Final(hash, &ctx);
	encode(hash, sizeof(hash), ret);
}
