/* Stories: what is remembered of a call for whoever asks why. Nothing here decides anything. */
#include "base/first.h"

#include "base/log.h"
#include "bank/decider.h"

enum { MINUTE_MS = 60000 };

struct fare_seen *fare_decider_seen(struct fare_decider *d, const struct fare_hold *h)
{
	if (!d->seen)
		d->seen = fare_alloc(d->holds.count * sizeof *d->seen);
	return &d->seen[h - d->holds.records];
}

/* After the hold is taken: before it there was that much more. */
void fare_decider_granted(struct fare_decider *d, const struct fare_hold *h, const struct fare_admit *ask, const struct fare_acct *a)
{
	struct fare_acct before = *a;
	before.pending.nano -= h->hold_nano;
	*fare_decider_seen(d, h) = (struct fare_seen){.available = fare_decider_available(&before), .pending = before.pending, .credit_limit = a->rec.credit_limit, .hold = fare_nano(h->hold_nano),
		.prompt_bytes = ask->prompt_bytes, .choices = ask->choices, .endpoint = ask->endpoint, .flags = ask->stream ? FARE_STORY_STREAM : 0};
}

void fare_decider_story(const struct fare_decider *d, const struct fare_hold *h, struct fare_story *out)
{
	const struct fare_seen *seen = d->seen ? &d->seen[h - d->holds.records] : NULL;
	*out = (struct fare_story){.call_id = h->call_id, .state = FARE_STORY_ENDED, .account = h->account, .key = h->key, .price_version = h->price_version, .started_ms = h->started_ms,
		.ended_ms = d->now_ms, .bound = h->bound, .cost = fare_nano(h->amount_nano), .ending = (uint8_t)h->ending,
		.flags = (uint8_t)((h->bound_ours ? FARE_STORY_BOUND_OURS : 0) | (h->bound_ours & 2 ? FARE_STORY_LOWERED : 0))};
	if (seen)
		out->status = seen->status;
	if (!seen || !seen->choices)
		return;
	out->flags = (uint8_t)(out->flags | FARE_STORY_SEEN | seen->flags);
	out->endpoint = seen->endpoint;
	out->choices = seen->choices;
	out->prompt_bytes = seen->prompt_bytes;
	out->available = seen->available;
	out->pending = seen->pending;
	out->credit_limit = seen->credit_limit;
	out->first_hold = seen->hold;
}

static bool may_write(const struct fare_decider *d, struct fare_acct *a)
{
	uint64_t minute = d->now_ms / MINUTE_MS;
	if (a->stories_minute != minute)
		a->stories = 0;
	a->stories_minute = minute;
	return a->stories < FARE_STORIES_A_MINUTE && ++a->stories;
}

static bool key_is_valid(uint8_t refused) { return refused != FARE_KEY_UNKNOWN && refused != FARE_KEY_EXPIRED && refused != FARE_KEY_REVOKED_; }

static void write_story(struct fare_decider *d, const struct fare_story *s)
{
	struct fare_job *job = fare_alloc(sizeof *job);
	job->what = FARE_JOB_OP;
	job->patient = true;
	job->op.type = FARE_OP_STORY;
	job->op.story = *s;
	fare_decider_submit(d, job);
}

void fare_decider_refused(struct fare_decider *d, const struct fare_admit *ask, struct fare_acct *a, const struct fare_key *k, const struct fare_model *m, const struct fare_admit_answer *answer)
{
	const struct fare_refusal_numbers *n = &answer->numbers;
	if (answer->refused == FARE_IDEM_REPLAY) /* the caller is told the id of the call whose answer this is */
		return;
	if (!d->refused)
		d->refused = fare_alloc(FARE_REFUSED_N * sizeof *d->refused);
	struct fare_story *s = &d->refused[d->refused_count++ % FARE_REFUSED_N];
	*s = (struct fare_story){.call_id = ask->call_id, .state = FARE_STORY_REFUSED, .key = k ? k->id : 0, .account = a ? a->rec.id : 0, .price_version = m ? m->version : 0,
		.started_ms = d->now_ms, .ended_ms = d->now_ms, .flags = (uint8_t)(FARE_STORY_SEEN | (ask->stream ? FARE_STORY_STREAM : 0) | (ask->bound == FARE_NO_BOUND ? FARE_STORY_BOUND_OURS : 0)),
		.endpoint = ask->endpoint, .choices = ask->choices, .prompt_bytes = ask->prompt_bytes, .bound = ask->bound,
		.refused = answer->refused, .needed = n->needed, .affordable = n->affordable, .limit = n->limit, .earlier = n->earlier};
	memcpy(s->model, ask->model, sizeof s->model);
	if (a) {
		s->available = fare_decider_available(a);
		s->pending = a->pending;
		s->credit_limit = a->rec.credit_limit;
	}
	if (answer->refused == FARE_IP_NOT_ALLOWED)
		memcpy(s->ip, ask->ip, sizeof s->ip);
	if (answer->refused == FARE_KEY_EXPIRED)
		s->limit = k->expires_ms;
	if (d->stories && d->room == FARE_ROOM_GOOD && a && key_is_valid(answer->refused) && may_write(d, a))
		write_story(d, s);
}

/* Holds are taken from the lowest free record up, so those in use lie close together. */
const struct fare_hold *fare_decider_hold(const struct fare_decider *d, struct fare_id call_id)
{
	uint32_t left = d->holds.used;
	for (uint32_t i = 0; left > 0 && i < d->holds.count; i++) {
		const struct fare_hold *h = &d->holds.records[i];
		if (atomic_load(&h->state) == FARE_HOLD_FREE)
			continue;
		if (fare_id_eq(h->call_id, call_id))
			return h;
		left--;
	}
	return NULL;
}

const struct fare_story *fare_decider_refusal(const struct fare_decider *d, struct fare_id call_id)
{
	uint64_t kept = d->refused_count < FARE_REFUSED_N ? d->refused_count : FARE_REFUSED_N;
	for (uint64_t i = 0; i < kept; i++) { /* the newest first: an id may have been refused twice */
		const struct fare_story *s = &d->refused[(d->refused_count - 1 - i) % FARE_REFUSED_N];
		if (fare_id_eq(s->call_id, call_id))
			return s;
	}
	return NULL;
}
