/* UUIDv7: 48 bits of milliseconds, 12 bits that count up within one, 62 random bits (RFC 9562, 5.7 and 6.2 method 1). */
#include "base/first.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/id.h"
#include "base/log.h"
#include "base/num.h"
#include "base/secret.h"

enum { COUNT_MAX = 0xFFF, COUNT_START_MAX = 0x3FF };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t last_ms; /* runs ahead of the clock when it steps back, or when ids are made faster than they can be counted */
static unsigned last_count;

/* Random bytes for the next ids: the kernel is asked once for many. A child process does not go on with its parent's. */
static uint8_t pool[512];
static size_t pool_left;
static pthread_once_t pool_once = PTHREAD_ONCE_INIT;

static void pool_forget(void) { pool_left = 0; }
static void pool_init(void) { pthread_atfork(NULL, NULL, pool_forget); }

static void pool_take(struct fare_id *id)
{
	if (pool_left == 0) {
		if (!fare_random(pool, sizeof pool))
			fare_fatal("no random numbers from the kernel");
		pool_left = sizeof pool;
	}
	pool_left -= sizeof id->b;
	memcpy(id->b, pool + pool_left, sizeof id->b);
}

struct fare_id fare_id_new(void)
{
	struct fare_id id;
	uint64_t now_ms = fare_clock_wall_ms();
	pthread_once(&pool_once, pool_init);

	pthread_mutex_lock(&lock);
	pool_take(&id);
	unsigned start = fare_get_u16(id.b + 6) & COUNT_START_MAX;
	if (now_ms > last_ms) {
		last_ms = now_ms;
		last_count = start;
	} else if (last_count < COUNT_MAX) {
		last_count++;
	} else {
		last_ms++;
		last_count = start;
	}
	uint64_t ms = last_ms;
	unsigned count = last_count;
	pthread_mutex_unlock(&lock);

	fare_put_u16(id.b, (uint16_t)(ms >> 32));
	fare_put_u32(id.b + 2, (uint32_t)ms);
	fare_put_u16(id.b + 6, (uint16_t)(0x7000 | count));
	id.b[8] = (uint8_t)(0x80 | (id.b[8] & 0x3F));
	return id;
}

/* A hyphen stands before these bytes. */
static bool hyphen_before(size_t i) { return i == 4 || i == 6 || i == 8 || i == 10; }

void fare_id_text(struct fare_id id, char out[FARE_ID_TEXT_N])
{
	static const char hex[] = "0123456789abcdef";
	for (size_t i = 0; i < sizeof id.b; i++) {
		if (hyphen_before(i))
			*out++ = '-';
		*out++ = hex[id.b[i] >> 4];
		*out++ = hex[id.b[i] & 15];
	}
	*out = '\0';
}

bool fare_id_parse(struct fare_span text, struct fare_id *out)
{
	struct fare_id id;
	if (text.n != FARE_ID_TEXT_N - 1)
		return false;
	const char *p = text.p;
	for (size_t i = 0; i < sizeof id.b; i++) {
		if (hyphen_before(i) && *p++ != '-')
			return false;
		int high = fare_num_hex(p[0]), low = fare_num_hex(p[1]);
		if (high < 0 || low < 0)
			return false;
		id.b[i] = (uint8_t)(high << 4 | low);
		p += 2;
	}
	*out = id;
	return true;
}
