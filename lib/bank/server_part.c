/* Kept answers, read for workers a part at a time: on a reader's thread, and said through the loop. */
#include "base/first.h"

#include <stdlib.h>

#include "base/log.h"
#include "bank/server_inner.h"

enum { PARTS_MAX = 16384 /* being read at a time; more are refused */ };

struct part_read {
	struct fare_reading reading; /* first */
	struct fare_id incarnation;  /* whose connection may be another one by the time it is read */
	struct fare_part_ask ask;
	struct fare_part answer;
	uint64_t account;
};

static void say(struct fare_conn *c, const struct fare_part_ask *ask, const struct fare_part *answer)
{
	uint8_t msg[FARE_MSG_SMALL];
	fare_call_send(c, msg, fare_proto_part(msg, sizeof msg, c->version, ask->call_id, answer));
}

static void read_part(struct fare_reading *r)
{
	struct part_read *p = (struct part_read *)(void *)r;
	struct fare_part *a = &p->answer;
	int got = fare_books_answer_part(r->bank->books, p->account, p->ask.call_id, p->ask.part, &a->bytes, &a->total);
	a->result = got > 0 ? FARE_PART_HERE : got == 0 ? FARE_PART_NONE : FARE_PART_FAILED;
	if (got <= 0)
		a->bytes.n = 0;
}

static void part_back(struct fare_reading *r)
{
	struct part_read *p = (struct part_read *)(void *)r;
	const struct fare_worker *w = fare_decider_worker(&r->bank->d, p->incarnation);
	struct fare_conn *c = w ? w->conn : NULL;
	r->bank->parts--;
	if (c && c->version >= 2) /* else it asks again when it is back */
		say(c, &p->ask, &p->answer);
	free(p);
}

bool fare_call_read(struct fare_conn *c, struct fare_unpack *k, const struct fare_msg_head *h)
{
	struct fare_bank *b = c->bank;
	struct fare_part_ask ask;
	if (!fare_proto_read_read(k, h, &ask))
		return false;
	uint64_t account = fare_decider_account_of(&b->d, &ask.key);
	if (account == 0 || b->parts >= PARTS_MAX) {
		say(c, &ask, &(struct fare_part){.tag = ask.tag, .result = account ? FARE_PART_FAILED : FARE_PART_NONE});
		return true;
	}
	struct part_read *p = fare_alloc(sizeof *p);
	*p = (struct part_read){.reading = {.read = read_part, .back = part_back, .quick = true}, .incarnation = c->worker->incarnation, .ask = ask, .answer.tag = ask.tag, .account = account};
	b->parts++;
	fare_read(b, &p->reading);
	return true;
}
