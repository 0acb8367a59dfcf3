/* Numbers from text, whole and with bounds: no sign for u64, no spaces, no leading "+", nothing after. */
#ifndef FARE_BASE_NUM_H
#define FARE_BASE_NUM_H

#include "base/first.h"
#include "base/span.h"

#include <stdint.h>

bool fare_num_u64(struct fare_span s, uint64_t min, uint64_t max, uint64_t *out) FARE_MUST;
bool fare_num_i64(struct fare_span s, int64_t min, int64_t max, int64_t *out) FARE_MUST;
int fare_num_hex(char c); /* value of a hexadecimal digit of either case, -1: none */

/* Fixed-width big-endian integers: the byte order of all keys, records and messages of farebox. */
static inline void fare_put_u16(uint8_t *p, uint16_t v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; }
static inline void fare_put_u32(uint8_t *p, uint32_t v) { fare_put_u16(p, (uint16_t)(v >> 16)); fare_put_u16(p + 2, (uint16_t)v); }
static inline void fare_put_u64(uint8_t *p, uint64_t v) { fare_put_u32(p, (uint32_t)(v >> 32)); fare_put_u32(p + 4, (uint32_t)v); }
static inline uint16_t fare_get_u16(const uint8_t *p) { return (uint16_t)((p[0] << 8) | p[1]); }
static inline uint32_t fare_get_u32(const uint8_t *p) { return ((uint32_t)fare_get_u16(p) << 16) | fare_get_u16(p + 2); }
static inline uint64_t fare_get_u64(const uint8_t *p) { return ((uint64_t)fare_get_u32(p) << 32) | fare_get_u32(p + 4); }

/* Packer and unpacker of records and messages. An overrun sets `bad`; what is read after it is zero. Check once at the end. */
struct fare_pack {
	uint8_t *p;
	size_t n, size;
	bool bad;
};
void fare_pack_u8(struct fare_pack *k, uint8_t v);
void fare_pack_u16(struct fare_pack *k, uint16_t v);
void fare_pack_u32(struct fare_pack *k, uint32_t v);
void fare_pack_u64(struct fare_pack *k, uint64_t v);
void fare_pack_i64(struct fare_pack *k, int64_t v);
void fare_pack_bytes(struct fare_pack *k, const void *p, size_t n);
void fare_pack_str(struct fare_pack *k, struct fare_span s); /* u16 length, bytes; longer than 65,535: bad */

struct fare_unpack {
	const uint8_t *p;
	size_t n, at;
	bool bad;
};
uint8_t fare_unpack_u8(struct fare_unpack *k);
uint16_t fare_unpack_u16(struct fare_unpack *k);
uint32_t fare_unpack_u32(struct fare_unpack *k);
uint64_t fare_unpack_u64(struct fare_unpack *k);
int64_t fare_unpack_i64(struct fare_unpack *k);
void fare_unpack_bytes(struct fare_unpack *k, void *out, size_t n);
/* Copies a string into out (size bytes, NUL-terminated); too long or an inner NUL: bad. */
void fare_unpack_str(struct fare_unpack *k, char *out, size_t size);

#endif
