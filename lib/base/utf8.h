/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef FARE_BASE_UTF8_H
#define FARE_BASE_UTF8_H

#include "base/first.h"

#include <stddef.h>
#include <stdint.h>

/* Bytes (1 to 4) of the character that starts at p, of which n > 0 bytes may be read; 0: not UTF-8 or cut off. */
size_t fare_utf8_len(const char *p, size_t n);
/* Writes a code point that is no surrogate and not above U+10FFFF; returns its bytes (1 to 4). */
size_t fare_utf8_put(uint32_t code, char out[4]);

#endif
