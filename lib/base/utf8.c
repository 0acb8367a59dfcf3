/* UTF-8: checking one character, writing one character. */
#include "base/first.h"

#include "base/utf8.h"

static int is_tail(uint8_t c) { return (c & 0xC0) == 0x80; }

size_t fare_utf8_len(const char *text, size_t n)
{
	const uint8_t *p = (const uint8_t *)text;
	uint8_t a = p[0];
	if (a < 0x80)
		return 1;
	if (a < 0xC2 || a > 0xF4)
		return 0;
	if (a < 0xE0)
		return n >= 2 && is_tail(p[1]) ? 2 : 0;
	/* The second byte's range is narrower after these first bytes: overlong forms, surrogates, too large. */
	uint8_t least = a == 0xE0 ? 0xA0 : a == 0xF0 ? 0x90 : 0x80;
	uint8_t most = a == 0xED ? 0x9F : a == 0xF4 ? 0x8F : 0xBF;
	if (n < 3 || p[1] < least || p[1] > most || !is_tail(p[2]))
		return 0;
	if (a < 0xF0)
		return 3;
	return n >= 4 && is_tail(p[3]) ? 4 : 0;
}

size_t fare_utf8_put(uint32_t code, char out[4])
{
	if (code < 0x80) {
		out[0] = (char)code;
		return 1;
	}
	size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
	for (size_t i = n - 1; i > 0; i--) {
		out[i] = (char)(0x80 | (code & 0x3F));
		code >>= 6;
	}
	out[0] = (char)((0xF00 >> n) | code);
	return n;
}
