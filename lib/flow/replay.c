/* Replay: the kept answer of the call that has the Idempotency-Key, asked of the bank a part at a time, as fast as the caller reads. It is free, and holds nothing. */
#include "base/first.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "flow/call.h"
#include "flow/relay.h"

struct fare_replaying {
	struct fare_fetch fetch; /* first */
	struct fare_call *call;
	uint32_t done;           /* bytes of the answer */
	bool asked;              /* the fetch is the link's */
};

bool fare_replay_is_due(const struct fare_call *c)
{
	const struct fare_admit_answer *a = &c->asking.answer;
	return c->asking.asked == FARE_ASKED_ANSWERED && !a->granted && a->refused == FARE_IDEM_REPLAY;
}

/* Before the first byte it can still be said what is wrong; after it only that it is not whole. */
static void fail(struct fare_call *c)
{
	c->paused = false; /* else a caller who reads on would have one more part asked for, of a call that is over */
	if (c->replaying->done == 0) {
		c->head_out = false;
		fare_buf_reset(&c->out);
		fare_refusal_set(&c->refusal, c->cut ? FARE_CODE_OVERLOADED : FARE_CODE_STORE_UNAVAILABLE, NULL, "%s", c->cut ? "It is being stopped." : "The kept answer could not be read.");
		fare_call_turn_away(c, fare_relay_loop(c->relay));
		return;
	}
	c->broken = true;
	c->over = true;
	bool there = fare_out_flush(c);
	(void)there;
}

/* The first part begins with "Status: 200 OK\r\n": what tells a replay comes behind it. */
static bool add_first(struct fare_call *c, const char *p, size_t n)
{
	static const char replayed[] = "Idempotent-Replayed: true\r\n";
	const char *end = memchr(p, '\n', n);
	struct fare_span line = fare_span_at(p, end ? (size_t)(end + 1 - p) : 0);
	uint64_t status;
	if (!fare_span_starts(line, "Status: ") || line.n < 11 || !fare_num_u64(fare_span_at(p + 8, 3), 100, 599, &status))
		return false;
	c->answered = (int)status;
	return fare_buf_add_span(&c->out, line) && fare_buf_add_str(&c->out, replayed) && fare_buf_add(&c->out, p + line.n, n - line.n);
}

static bool add_part(struct fare_call *c, const struct fare_part *part)
{
	struct fare_replaying *r = c->replaying;
	const char *p = (const char *)part->bytes.bytes;
	size_t n = part->bytes.n;
	if (n == 0 || n > part->total - r->done || (r->done ? !fare_buf_add(&c->out, p, n) : !add_first(c, p, n)))
		return false;
	r->done += (uint32_t)n;
	c->over = r->done == part->total;
	return true;
}

static void on_part(struct fare_fetch *f)
{
	struct fare_replaying *r = (struct fare_replaying *)(void *)f;
	struct fare_call *c = r->call;
	r->asked = false;
	if (c->gone) {
		fare_call_left(c);
		return;
	}
	bool here = f->asked == FARE_ASKED_ANSWERED && f->part.result == FARE_PART_HERE && f->part.total > r->done;
	if (c->cut || !here || !add_part(c, &f->part)) {
		fail(c);
		return;
	}
	c->moved_ms = fare_clock_boot_ms();
	bool last = c->over;
	if (last)
		fare_timer_set(c->timer, (uint64_t)c->gate->conf->idle_timeout_ms);
	if (!fare_out_flush(c) || last)
		return;
	if (fare_out_pending(c) < FARE_OUT_LOW)
		fare_replay_more(c);
	else
		c->paused = true;
}

void fare_replay_more(struct fare_call *c)
{
	struct fare_replaying *r = c->replaying;
	r->asked = true;
	r->fetch.ask.part = (uint16_t)(r->done / FARE_ANSWER_PART_N);
	fare_link_fetch(c->gate->link, &r->fetch, (uint64_t)c->gate->conf->admit_timeout_ms);
}

void fare_replay_start(struct fare_call *c, struct fare_loop *loop)
{
	struct fare_replaying *r = fare_alloc(sizeof *r);
	*r = (struct fare_replaying){.call = c, .fetch = {.heard = on_part, .ask = {.call_id = c->asking.answer.numbers.earlier, .key = c->key}}};
	c->replaying = r;
	c->head_out = true; /* it is in the answer */
	fare_keep_free(c);
	fare_call_body_free(c);
	fare_openai_request_release(&c->request);
	fare_out_watch(c, loop);
	fare_replay_more(c);
}

bool fare_replay_gone(struct fare_call *c)
{
	fare_timer_free(&c->timer);
	if (!c->replaying->asked)
		fare_call_left(c); /* else when the part is here */
	return false;
}

void fare_replay_cut(struct fare_call *c)
{
	if (!c->replaying->asked)
		fail(c);
}
