/* A worker's link to the bank: its slots, what doormen and the relay ask of it, and the meter's writers. */
#include "base/first.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "bank/answer.h"
#include "bank/link_inner.h"

static void cond_init(pthread_cond_t *c)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

static struct timespec deadline_in(uint64_t ms)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += (time_t)(ms / 1000);
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

static void slots_init(struct fare_link *l)
{
	l->slots = fare_alloc(l->count * sizeof *l->slots);
	l->queue = fare_alloc(l->count * sizeof *l->queue);
	for (unsigned i = 0; i < l->count; i++)
		l->queue[i] = (uint16_t)i;
	l->free_count = l->count;
}

struct fare_link *fare_link_new(const char *run_dir, unsigned worker_no, unsigned slots, struct fare_loop *loop, char error[FARE_ERROR_N])
{
	if (slots == 0 || slots > FARE_SLOTS_MAX) {
		snprintf(error, FARE_ERROR_N, "a worker has 1 to %d slots, not %u", FARE_SLOTS_MAX, slots);
		return NULL;
	}
	struct fare_link *l = fare_alloc(sizeof *l);
	l->incarnation = fare_planted("r1") ? (struct fare_id){{1, (uint8_t)worker_no}} : fare_id_new();
	l->worker_no = worker_no;
	l->count = slots;
	l->fd = -1;
	l->down_ms = fare_clock_boot_ms();
	l->meter_fd = -1;
	if (fare_span_copy(fare_span_of(run_dir), l->run, sizeof l->run))
		l->meter = fare_meter_make(run_dir, l->incarnation, worker_no, slots, &l->meter_fd);
	l->loop_is_own = !loop;
	l->loop = !l->meter ? NULL : loop ? loop : fare_loop_new();
	if (!l->loop) {
		snprintf(error, FARE_ERROR_N, "the meter file cannot be made in %.150s: %s", run_dir, strerror(errno));
		fare_meter_unmap(l->meter, slots, &l->meter_fd);
		free(l);
		return NULL;
	}
	pthread_mutex_init(&l->lock, NULL);
	cond_init(&l->freed);
	l->fetches_last = &l->fetches;
	l->fetched_last = &l->fetched;
	slots_init(l);
	fare_link_loop_begin(l);
	return l;
}

bool fare_link_connected(struct fare_link *l)
{
	pthread_mutex_lock(&l->lock);
	bool connected = l->fd >= 0;
	pthread_mutex_unlock(&l->lock);
	return connected;
}

bool fare_link_is_down(const struct fare_link *l, uint64_t now_ms) { return l->fd < 0 && now_ms - l->down_ms >= LINK_DOWN_MS; }

bool fare_link_down(struct fare_link *l)
{
	pthread_mutex_lock(&l->lock);
	bool down = fare_link_is_down(l, fare_clock_boot_ms());
	pthread_mutex_unlock(&l->lock);
	return down;
}

unsigned fare_link_busy(struct fare_link *l)
{
	pthread_mutex_lock(&l->lock);
	unsigned busy = l->count - l->free_count;
	pthread_mutex_unlock(&l->lock);
	return busy;
}

bool fare_link_drain(struct fare_link *l, uint64_t timeout_ms)
{
	struct timespec until = deadline_in(timeout_ms);
	int e = 0;
	pthread_mutex_lock(&l->lock);
	l->draining = true;
	while (l->free_count < l->count && e == 0)
		e = pthread_cond_timedwait(&l->freed, &l->lock, &until);
	bool all = l->free_count == l->count;
	pthread_mutex_unlock(&l->lock);
	return all;
}

void fare_link_free(struct fare_link **link)
{
	struct fare_link *l = *link;
	*link = NULL;
	if (!l)
		return;
	fare_link_loop_end(l);
	fare_meter_unmap(l->meter, l->count, &l->meter_fd);
	pthread_cond_destroy(&l->freed);
	pthread_mutex_destroy(&l->lock);
	free(l->slots);
	free(l->queue);
	free(l);
}

/* Lock held. The bank refuses an id that is older than the last it knows of the slot, so such a slot is passed over. */
static int slot_take(struct fare_link *l, struct fare_id call_id)
{
	if (l->draining)
		return -1;
	for (unsigned i = 0; i < l->free_count; i++) {
		unsigned s = l->queue[l->first_free];
		l->first_free = (l->first_free + 1) % l->count;
		if (fare_id_cmp(l->slots[s].last, call_id) < 0) {
			l->free_count--;
			return (int)s;
		}
		l->queue[(l->first_free + l->free_count - 1) % l->count] = (uint16_t)s;
	}
	return -1;
}

/* Step 1 of the protocol: state and id are in the meter before admit is said. */
static void meter_begin(struct fare_meter_slot *m, struct fare_id call_id)
{
	atomic_store_explicit(&m->state, FARE_METER_IDLE, memory_order_release);
	_Atomic uint64_t *zero[] = {&m->ending, &m->flags, &m->input, &m->output, &m->cached, &m->cache_write, &m->reasoning, &m->received, &m->relayed_text, &m->prompt_text, &m->upstream_status, &m->answer};
	for (size_t i = 0; i < FARE_ARRAY_N(zero); i++)
		atomic_store_explicit(zero[i], 0, memory_order_release);
	memcpy(m->call_id, call_id.b, sizeof m->call_id);
}

int fare_link_slot(struct fare_link *l, struct fare_id call_id)
{
	pthread_mutex_lock(&l->lock);
	int slot = slot_take(l, call_id);
	if (slot >= 0) {
		struct link_slot *s = &l->slots[slot];
		s->state = SLOT_TAKEN;
		s->call_id = s->last = call_id;
		meter_begin(&l->meter[slot], call_id);
	}
	pthread_mutex_unlock(&l->lock);
	return slot;
}

void fare_link_release(struct fare_link *l, unsigned slot)
{
	struct link_slot *s = &l->slots[slot];
	s->state = SLOT_FREE;
	s->told = s->heard_of = false;
	s->call_id = (struct fare_id){{0}};
	l->kept -= s->kept;
	s->kept = 0;
	l->queue[(l->first_free + l->free_count) % l->count] = (uint16_t)slot;
	l->free_count++;
	if (l->free_count == l->count)
		pthread_cond_broadcast(&l->freed);
}

void fare_link_ask(struct fare_link *l, int slot, const struct fare_admit *ask, struct fare_asking *a, uint64_t timeout_ms)
{
	struct link_slot *s = &l->slots[slot];
	a->until_ms = fare_clock_boot_ms() + timeout_ms;
	pthread_mutex_lock(&l->lock);
	FARE_ASSERT(s->state == SLOT_TAKEN && fare_id_eq(s->call_id, ask->call_id));
	s->ask = *ask;
	s->asking = a;
	s->state = SLOT_WAIT;
	s->told = false;
	l->waiting++;
	fare_link_say_slot(l, (unsigned)slot);
	pthread_mutex_unlock(&l->lock);
}

void fare_link_extend(struct fare_link *l, int slot, uint64_t held_output, struct fare_asking *a, uint64_t timeout_ms)
{
	struct link_slot *s = &l->slots[slot];
	a->until_ms = fare_clock_boot_ms() + timeout_ms;
	pthread_mutex_lock(&l->lock);
	FARE_ASSERT(s->state == SLOT_GRANTED && !s->asking);
	s->asking = a;
	s->extend_to = held_output;
	s->told = false;
	l->waiting++;
	fare_link_say_slot(l, (unsigned)slot);
	pthread_mutex_unlock(&l->lock);
}

/* What ends a call: the slot is the link's from here on. */
static void end(struct fare_link *l, int slot, enum slot_state state)
{
	struct link_slot *s = &l->slots[slot];
	pthread_mutex_lock(&l->lock);
	FARE_ASSERT(s->state == SLOT_GRANTED || (state == SLOT_VOID && s->state == SLOT_TAKEN));
	l->waiting -= s->asking != NULL; /* it had asked for more: an answer counts no more (R11) */
	s->asking = NULL;
	if (s->state == SLOT_TAKEN) {
		fare_link_release(l, (unsigned)slot);
	} else {
		s->state = (uint8_t)state;
		s->told = false;
		fare_link_say_slot(l, (unsigned)slot);
		if (state == SLOT_VOID && fare_planted("r12"))
			fare_link_release(l, (unsigned)slot);
	}
	pthread_mutex_unlock(&l->lock);
}

void fare_link_void(struct fare_link *l, int slot) { end(l, slot, SLOT_VOID); }

void fare_link_settle(struct fare_link *l, int slot)
{
	if (fare_fault("worker_before_settle"))
		return;
	end(l, slot, SLOT_SETTLE);
}

static void check_remove(struct fare_link *l, const struct link_check *c)
{
	for (struct link_check **p = &l->checks; *p; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			return;
		}
}

static enum fare_asked question(struct fare_link *l, struct link_check *c, struct fare_admit_answer *answer, uint64_t timeout_ms)
{
	struct timespec until = deadline_in(timeout_ms);
	int e = 0;
	cond_init(&c->heard);
	pthread_mutex_lock(&l->lock);
	c->next = l->checks;
	l->checks = c;
	fare_link_say_checks(l);
	c->given_up = fare_link_is_down(l, fare_clock_boot_ms());
	while (!c->answered && !c->given_up && e == 0)
		e = pthread_cond_timedwait(&c->heard, &l->lock, &until);
	check_remove(l, c);
	pthread_mutex_unlock(&l->lock);
	pthread_cond_destroy(&c->heard);
	if (c->answered)
		*answer = c->answer;
	return c->answered ? FARE_ASKED_ANSWERED : FARE_ASKED_TIMEOUT;
}

enum fare_asked fare_link_check(struct fare_link *l, const struct fare_admit *ask, struct fare_admit_answer *answer, uint64_t timeout_ms)
{
	struct link_check c = {.ask = *ask, .type = FARE_MSG_CHECK};
	return question(l, &c, answer, timeout_ms);
}

enum fare_asked fare_link_story(struct fare_link *l, const struct fare_admit *ask, struct fare_buf *story, struct fare_admit_answer *answer, uint64_t timeout_ms)
{
	struct link_check c = {.ask = *ask, .type = FARE_MSG_STORY, .story = story};
	return question(l, &c, answer, timeout_ms);
}

void fare_link_fetch(struct fare_link *l, struct fare_fetch *f, uint64_t timeout_ms)
{
	f->until_ms = fare_clock_boot_ms() + timeout_ms;
	f->next = NULL;
	f->told = false;
	pthread_mutex_lock(&l->lock);
	f->ask.tag = ++l->tags;
	*l->fetches_last = f;
	l->fetches_last = &f->next;
	fare_link_say_fetch(l, f);
	pthread_mutex_unlock(&l->lock);
}

static void put(_Atomic uint64_t *to, uint64_t v) { atomic_store_explicit(to, v, memory_order_release); }

void fare_meter_sent(struct fare_link *l, int slot, uint64_t prompt_text_bytes)
{
	struct fare_meter_slot *m = &l->meter[slot];
	if (fare_fault("worker_before_sent"))
		return;
	put(&m->prompt_text, prompt_text_bytes);
	atomic_store(&m->state, FARE_METER_SENT); /* R13: sequentially consistent, so before whatever is written upstream */
	if (fare_fault("worker_after_sent"))
		fare_log(FARE_WARN, "fault worker_after_sent");
}

void fare_meter_progress(struct fare_link *l, int slot, uint64_t received_bytes, uint64_t relayed_text_bytes)
{
	struct fare_meter_slot *m = &l->meter[slot];
	put(&m->received, received_bytes);
	put(&m->relayed_text, relayed_text_bytes);
	put(&m->state, FARE_METER_STREAMING);
	if (fare_fault("worker_mid_stream"))
		fare_log(FARE_WARN, "fault worker_mid_stream");
}

void fare_meter_usage(struct fare_link *l, int slot, const struct fare_usage *u, bool clamped)
{
	struct fare_meter_slot *m = &l->meter[slot];
	put(&m->input, u->input);
	put(&m->output, u->output);
	put(&m->cached, u->cached);
	put(&m->cache_write, u->cache_write);
	put(&m->reasoning, u->reasoning);
	put(&m->flags, FARE_METER_REPORTED | (clamped ? FARE_METER_CLAMPED : 0u));
}

void fare_meter_answered(struct fare_link *l, int slot, int status)
{
	put(&l->meter[slot].upstream_status, (uint64_t)status);
}

void fare_meter_final(struct fare_link *l, int slot, enum fare_ending ending)
{
	struct fare_meter_slot *m = &l->meter[slot];
	put(&m->ending, (uint64_t)ending);
	atomic_store(&m->state, FARE_METER_FINAL);
}

/* False: the bank is too far behind. */
static bool keep_room(struct fare_link *l, struct link_slot *s, size_t n)
{
	pthread_mutex_lock(&l->lock);
	bool room = n <= LINK_KEPT_MAX - l->kept;
	if (room) {
		s->kept = (uint32_t)n;
		l->kept += n;
	}
	pthread_mutex_unlock(&l->lock);
	return room;
}

void fare_link_keep(struct fare_link *l, int slot, struct fare_span head, struct fare_span body)
{
	struct link_slot *s = &l->slots[slot];
	char text[FARE_ID_TEXT_N];
	bool room = keep_room(l, s, head.n + body.n);
	if (room && fare_answer_write(l->run, s->call_id, l->incarnation, head, body)) {
		put(&l->meter[slot].answer, head.n + body.n);
		return;
	}
	fare_id_text(s->call_id, text);
	fare_log(FARE_WARN, "the answer of call %s cannot be kept: %s", text, room ? strerror(errno) : "too many wait for the bank");
}
