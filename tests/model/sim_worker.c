/* The workers' side of the protocol, and the upstream. */
#include "sim.h"

static void say_slot(struct sim *s, struct sim_life *l, unsigned slot)
{
	struct sim_slot *k = &l->slots[slot];
	uint8_t said = k->state == SIM_WAIT ? SIM_ADMIT : k->state == SIM_SETTLING ? SIM_SETTLE : k->state == SIM_VOIDING ? SIM_VOID : k->state == SIM_SENT && k->asks ? SIM_EXTEND : 0;
	if (!said || !l->conn)
		return;
	sim_push(s, &l->conn->up, &(struct sim_message){.said = said, .slot = (uint16_t)slot, .id = k->call->id, .account = k->call->account, .key = k->call->key, .grows = k->call->grows, .asked = k->asks});
	k->told = true;
}

static void become(struct sim *s, struct sim_life *l, unsigned slot, enum sim_slot_state state)
{
	l->slots[slot].state = (uint8_t)state;
	l->slots[slot].told = false;
	say_slot(s, l, slot);
}

void sim_worker_start(struct sim *s, uint32_t no)
{
	SIM_MUST(s, s->lives_n < SIM_LIVES);
	struct sim_life *before = s->now[no], *l = &s->lives[s->lives_n++];
	*l = (struct sim_life){.incarnation = sim_id(s), .no = no, .alive = true, .locked = true};
	if (before && sim_without(s, "r1")) { /* the dead one's meter is taken over */
		l->incarnation = before->incarnation;
		before->incarnation = sim_id(s);
	}
	s->now[no] = l;
	sim_say(s, "worker %u starts", no);
}

void sim_worker_hang_up(struct sim_life *l)
{
	if (l->conn)
		l->conn->worker_end = false;
	l->conn = NULL;
}

void sim_worker_kill(struct sim *s, struct sim_life *l)
{
	sim_say(s, "worker %u is killed", l->no);
	l->alive = false;
	sim_worker_hang_up(l);
}

/* R10: hello first, with every slot that is not free; then all that is unanswered. */
bool sim_worker_connect(struct sim *s, struct sim_life *l)
{
	struct sim_message hello = {.said = SIM_HELLO, .id = l->incarnation};
	if (!l->alive || l->conn || !s->up || s->conns_n == FARE_ARRAY_N(s->conns))
		return false;
	struct sim_conn *c = &s->conns[s->conns_n++];
	*c = (struct sim_conn){.life = l, .worker_end = true, .bank_end = true};
	l->conn = c;
	for (unsigned i = 0; i < SIM_SLOTS; i++)
		if (l->slots[i].state != SIM_FREE && !(l->slots[i].state == SIM_WAIT && sim_without(s, "r10")))
			hello.listed[hello.listed_n++] = (struct fare_listed){(uint16_t)i, l->slots[i].call->id};
	sim_push(s, &c->up, &hello);
	for (unsigned i = 0; i < SIM_SLOTS; i++)
		say_slot(s, l, i);
	sim_say(s, "worker %u connects, %u slots in use", l->no, hello.listed_n);
	return true;
}

bool sim_worker_call(struct sim *s, struct sim_life *l)
{
	unsigned slot = 0;
	while (slot < SIM_SLOTS && l->slots[slot].state != SIM_FREE)
		slot++;
	if (!l->alive || slot == SIM_SLOTS || s->calls_n == SIM_CALLS)
		return false;
	struct sim_call *c = &s->calls[s->calls_n++];
	*c = (struct sim_call){.id = sim_id(s), .account = 1 + sim_dice(s, SIM_ACCOUNTS), .grows = sim_dice(s, 2)};
	if (sim_dice(s, 2))
		c->key = 1 + sim_dice(s, SIM_KEYS);
	l->meter[slot] = (struct fare_meter_reading){.call_id = c->id, .state = FARE_METER_IDLE};
	l->slots[slot] = (struct sim_slot){.call = c};
	become(s, l, slot, SIM_WAIT);
	sim_say(s, "worker %u slot %u: call %u asks", l->no, slot, s->calls_n - 1);
	return true;
}

/* More may be asked for at any time, and must be when all that is held is used; unanswered for long, or refused, the stream ends. */
static bool ask_more(struct sim *s, struct sim_life *l, unsigned slot)
{
	struct sim_slot *k = &l->slots[slot];
	struct sim_call *c = k->call;
	bool used = c->tokens == k->held;
	if (!c->grows || k->asks || k->held == SIM_STREAM_BOUND || (used ? k->no_more : sim_dice(s, 4) != 0))
		return false;
	k->asks = k->held + 1 + sim_dice(s, (unsigned)(SIM_STREAM_BOUND - k->held));
	c->named = k->asks > c->named ? k->asks : c->named;
	k->told = false;
	say_slot(s, l, slot);
	sim_say(s, "worker %u slot %u asks for %u", l->no, slot, (unsigned)k->asks);
	return true;
}

/* The upstream speaks first, the meter follows: killed in between, the caller is charged less than was served, never more. */
static void run_on(struct sim *s, struct sim_life *l, unsigned slot)
{
	struct sim_slot *k = &l->slots[slot];
	struct sim_call *c = k->call;
	struct fare_meter_reading *m = &l->meter[slot];
	uint64_t text = c->tokens ? 4 * c->tokens - c->tokens % 4 : 0; /* a count by its bytes, rounded down, may be one less */
	if (m->state == FARE_METER_IDLE) {
		m->state = FARE_METER_SENT;
	} else if (m->relayed_text < text) {
		m->received += 10;
		m->relayed_text = text;
		m->state = FARE_METER_STREAMING;
	} else if (ask_more(s, l, slot)) {
		return; /* it may go on meanwhile */
	} else if (c->tokens < k->held && sim_dice(s, 3)) {
		c->tokens += 1 + sim_dice(s, (unsigned)(k->held - c->tokens));
	} else if (k->asks && c->tokens == k->held && sim_dice(s, 8)) {
		return; /* held up */
	} else {
		m->usage = (struct fare_usage){.output = c->tokens};
		m->flags = FARE_METER_REPORTED;
		m->ending = c->grows && c->tokens == k->held ? FARE_BALANCE_END : FARE_COMPLETE;
		k->asks = 0;
		m->answer_n = c->key ? sim_dice(s, 2) : 0;
		m->state = FARE_METER_FINAL;
		c->final = true;
		become(s, l, slot, SIM_SETTLING);
	}
}

bool sim_worker_step(struct sim *s, struct sim_life *l, unsigned slot)
{
	struct sim_slot *k = &l->slots[slot];
	if (!l->alive)
		return false;
	if (k->state == SIM_GRANTED) {
		/* R13 */
		if (!sim_without(s, "r13"))
			l->meter[slot].state = FARE_METER_SENT;
		k->state = SIM_SENT;
		k->call->upstream = true;
	} else if (k->state == SIM_SENT) {
		run_on(s, l, slot);
	} else {
		return false;
	}
	sim_say(s, "worker %u slot %u runs: %u tokens", l->no, slot, (unsigned)k->call->tokens);
	return true;
}

/* Tired of waiting, or given up before anything went out. R12: the slot stays until it is answered. */
bool sim_worker_give_up(struct sim *s, struct sim_life *l, unsigned slot)
{
	if (!l->alive || (l->slots[slot].state != SIM_WAIT && l->slots[slot].state != SIM_GRANTED))
		return false;
	become(s, l, slot, SIM_VOIDING);
	if (sim_without(s, "r12"))
		l->slots[slot].state = SIM_FREE;
	sim_say(s, "worker %u slot %u gives up", l->no, slot);
	return true;
}

bool sim_worker_again(struct sim *s, struct sim_life *l, unsigned slot)
{
	if (!l->alive || !l->conn || !l->slots[slot].told)
		return false;
	say_slot(s, l, slot);
	sim_say(s, "worker %u slot %u says it twice", l->no, slot);
	return true;
}

/* R11: an answer counts by call id and state. */
static void hear(struct sim *s, struct sim_life *l, const struct sim_message *m)
{
	struct sim_slot *k = &l->slots[m->slot];
	bool ends = m->said == SIM_ACK || m->said == SIM_REFUSE;
	if (m->said == SIM_WELCOME || k->state == SIM_FREE || (!fare_id_eq(k->call->id, m->id) && !sim_without(s, "r11")))
		return;
	if (k->state == SIM_WAIT && m->said == SIM_GRANT) {
		k->state = SIM_GRANTED;
		k->held = m->held;
	} else if (m->said == SIM_EXTENDED && k->state == SIM_SENT && k->asks && m->asked == k->asks) {
		k->no_more = m->held < k->asks;
		k->held = m->held > k->held ? m->held : k->held;
		k->asks = 0;
	} else if ((k->state == SIM_WAIT && ends) || (k->state == SIM_VOIDING && ends) || (k->state == SIM_SETTLING && m->said == SIM_ACK)) {
		k->state = SIM_FREE;
	}
	sim_say(s, "worker %u slot %u hears %u", l->no, m->slot, m->said);
}

bool sim_worker_hear(struct sim *s, struct sim_life *l)
{
	struct sim_message m;
	if (!l->alive || !l->conn)
		return false;
	if (sim_pop(&l->conn->down, &m)) {
		hear(s, l, &m);
		return true;
	}
	if (l->conn->bank_end)
		return false;
	sim_worker_hang_up(l);
	return true;
}

bool sim_worker_is_idle(const struct sim_life *l)
{
	for (unsigned i = 0; i < SIM_SLOTS; i++)
		if (l->slots[i].state != SIM_FREE)
			return false;
	return true;
}
