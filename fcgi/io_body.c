/* Request bodies. */
#include "base/first.h"

#include "base/clock.h"
#include "base/num.h"

#include "io_body.h"

enum { PIECE_N = 64 * 1024, LEAST_RATE = 16 * 1024 };
#define DISCARD_MAX (256ULL * 1024 * 1024) /* of a body that is refused */

static bool too_slow(const struct fare_input *in, uint64_t rate)
{
	uint64_t age_ms = fare_clock_boot_ms() - in->started_ms;
	return age_ms > FARE_BODY_WAIT_S * 1000ULL && in->read_n < age_ms / 1000 * rate;
}

/*
 * Room for what comes next, taken from the budget as the body comes, not as its length is said: nobody reserves by promises. Twice as much each time, at most what was
 * said and one byte, with which the end is seen.
 */
static bool body_grow(const struct fare_body_limits *l, struct fare_body *out, bool said, uint64_t length)
{
	size_t n = out->bytes.n, step = n < PIECE_N ? PIECE_N : n, most = l->max + PIECE_N - n;
	if (said && length >= n && length - n + 1 < step)
		step = (size_t)(length - n + 1);
	if (step > most)
		step = most;
	if (!fare_budget_take(l->budget, step))
		return false;
	out->taken += step;
	return fare_buf_reserve(&out->bytes, step);
}

enum fare_body_end fare_input_read(struct fare_input *in, const char *content_length, const struct fare_body_limits *l, struct fare_body *out)
{
	bool said = content_length && *content_length;
	uint64_t length = 0;
	fare_buf_init(&out->bytes, l->max + PIECE_N);
	out->taken = 0;
	if (said && (!fare_num_u64(fare_span_of(content_length), 0, UINT64_MAX, &length) || length > l->max))
		return FARE_BODY_TOO_LARGE;
	for (;;) {
		if (out->bytes.n == out->taken && !body_grow(l, out, said, length))
			return FARE_BODY_NO_ROOM;
		size_t n = in->piece(in, out->bytes.p + out->bytes.n, out->taken - out->bytes.n);
		if (n == 0)
			return in->done ? FARE_BODY_WHOLE : in->stopped;
		out->bytes.n += n;
		if (out->bytes.n > l->max)
			return FARE_BODY_TOO_LARGE;
		if (l->rate && too_slow(in, l->rate))
			return FARE_BODY_SLOW;
	}
}

void fare_input_discard(struct fare_input *in)
{
	char trash[8192];
	while (!in->done && !in->stopped && in->piece(in, trash, sizeof trash) > 0 && in->read_n < DISCARD_MAX && !too_slow(in, LEAST_RATE))
		;
}
