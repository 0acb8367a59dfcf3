/* Stories: told to operators and to callers, each read on a reader's thread; and their end. */
#include "base/first.h"

#include <stdlib.h>

#include "base/log.h"
#include "bank/server_inner.h"
#include "bank/story.h"

/* ---- Expiry: the oldest go, some hundred a batch, and on at once as long as there are as many */

enum { EXPIRE_TICKS = 60, DAY_MS = 86400000 };

static void expire(struct fare_bank *b);

static void expired(void *bank, struct fare_job *job)
{
	struct fare_bank *b = bank;
	b->expiring = false;
	if (job->op.applied == FARE_APPLIED && job->op.u.expire.count == FARE_EXPIRE_MAX && b->d.room == FARE_ROOM_GOOD)
		expire(b);
}

static void expire(struct fare_bank *b)
{
	uint64_t kept_ms = (uint64_t)b->conf.story_days * DAY_MS;
	struct fare_job *job = fare_alloc(sizeof *job);
	job->what = FARE_JOB_OP;
	job->patient = true;
	job->op.type = FARE_OP_EXPIRE;
	job->op.u.expire.before_ms = b->conf.story_days == 0 ? UINT64_MAX : b->d.now_ms > kept_ms ? b->d.now_ms - kept_ms : 0;
	job->done = expired;
	job->arg = b;
	b->expiring = true;
	fare_decider_submit(&b->d, job);
}

void fare_stories_tick(struct fare_bank *b)
{
	bool due = b->expire_now || b->ticks % EXPIRE_TICKS == 1;
	if (!due || b->expiring || b->stopping || b->d.room != FARE_ROOM_GOOD)
		return;
	b->expire_now = false;
	expire(b);
}

/* ---- The first step */

static void look_at_hold(struct fare_bank *b, const struct fare_hold *h, struct fare_call_facts *f)
{
	struct fare_worker *w = fare_decider_worker(&b->d, h->incarnation);
	struct fare_meter_reading r = {0};
	bool decided = atomic_load(&h->state) == FARE_HOLD_DECIDED, read = w && fare_call_read_meter(b, w, h->slot, h->call_id, &r);
	f->told_by = FARE_TOLD_BY_HOLD;
	fare_decider_story(&b->d, h, &f->story);
	f->state = decided ? "posting" : fare_meter_word(read ? r.state : FARE_METER_IDLE);
	f->hold = fare_nano(h->hold_nano);
	f->received = read ? r.received : 0;
}

static void look(struct fare_bank *b, struct fare_id id, struct fare_call_facts *f)
{
	const struct fare_hold *h = fare_decider_hold(&b->d, id);
	const struct fare_story *refusal = h ? NULL : fare_decider_refusal(&b->d, id);
	*f = (struct fare_call_facts){.call_id = id};
	if (h)
		look_at_hold(b, h, f);
	if (!refusal)
		return;
	f->told_by = FARE_TOLD_BY_MEMORY;
	f->story = *refusal;
}

/* ---- To workers */

enum { STORY_READS_MAX = 256 };

struct story_read {
	struct fare_reading reading;
	struct fare_call_facts facts;
	struct fare_id question, incarnation; /* who asked: it may be gone when this comes back */
	uint64_t key;
	struct fare_buf text;
	bool failed;
};

/* A call of another key is as one that never was. */
static void story_read(struct fare_reading *reading)
{
	struct story_read *r = (struct story_read *)(void *)reading; /* its first member */
	fare_buf_init(&r->text, FARE_CALL_FACTS_MAX);
	r->failed = fare_call_facts_read(reading->bank->books, &r->facts) != 0;
	if (!r->failed && r->facts.told_by && fare_call_facts_key(&r->facts) == r->key)
		fare_call_facts_json(&r->facts, &r->text);
	if (r->text.failed)
		fare_log(FARE_ALARM, "a call's story is longer than a message");
	r->failed |= r->text.failed;
}

static void story_back(struct fare_reading *reading)
{
	struct story_read *r = (struct story_read *)(void *)reading;
	struct fare_worker *w = fare_decider_worker(&reading->bank->d, r->incarnation);
	reading->bank->story_reads--;
	if (w && !r->failed) /* else nobody is answered: the log says what failed */
		fare_call_say_story(w, r->question, fare_buf_span(&r->text));
	fare_buf_release(&r->text);
	free(r);
}

void fare_story_ask(struct fare_bank *b, struct fare_worker *w, const struct fare_admit *ask)
{
	struct fare_admit_answer answer = {0};
	struct fare_acct *a;
	struct fare_key *k;
	struct fare_id id;
	bool good = fare_decider_look(&b->d, ask, &a, &k, &answer);
	if (good && b->story_reads == STORY_READS_MAX) {
		good = false;
		answer.refused = FARE_OVERLOADED;
	}
	if (!good) {
		fare_call_tell(b, w, FARE_MSG_CHECKED, 0, ask->call_id, &answer);
		return;
	}
	if (!fare_id_parse(fare_span_of(ask->model), &id)) {
		fare_call_say_story(w, ask->call_id, fare_span_of(""));
		return;
	}
	struct story_read *r = fare_alloc(sizeof *r);
	*r = (struct story_read){.reading = {.read = story_read, .back = story_back, .quick = true}, .question = ask->call_id, .incarnation = w->incarnation, .key = k->id};
	look(b, id, &r->facts);
	b->story_reads++;
	fare_read(b, &r->reading);
}

/* ---- To operators */

static void read_why(struct fare_admin *c)
{
	struct fare_call_facts *f = c->facts;
	c->facts = NULL;
	c->read_failed = fare_call_facts_read(c->bank->books, f) != 0;
	if (!c->read_failed) {
		fare_call_facts_json(f, &c->out);
		fare_admin_end_record(c);
	}
	free(f);
}

static void why(struct fare_admin *c)
{
	char text[FARE_ID_TEXT_N];
	struct fare_id id;
	if (fare_arg_text(c, "call_id", text, sizeof text, true) && !fare_id_parse(fare_span_of(text), &id))
		fare_arg_wrong(c, "call_id is not a call's id");
	if (c->bad) {
		fare_admin_fail(c, "%s", c->error);
		return;
	}
	c->facts = fare_alloc(sizeof *c->facts);
	look(c->bank, id, c->facts);
	fare_admin_read(c, read_why);
}

const struct fare_admin_op fare_story_ops[] = {
	{"why", why, "call_id", false},
	{NULL, NULL, NULL, false},
};
