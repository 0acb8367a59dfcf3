/*
 * test_link [--calls N] [--seed S]: the worker's link (lib/bank/link.c) with a scripted bank at the other end of its socket, which answers late, in any order, twice or
 * not at all, breaks the connection, and forgets what a bank forgets when it is killed; doormen who lose patience or give up. Judged at each message:
 *   hello comes first on a connection and lists every slot whose call the bank has not ended (R10); an answer reaches the call that it is for, or none (R11);
 *   a part of a kept answer reaches who asked for it, once, whatever was said twice or lost;
 *   the answer to an extend reaches the question that it is for, or none, also when the call has asked for more or ended since;
 *   a slot's next call is not asked for before the last one was answered, nor its meter written over (R12); ids in a slot rise; a settled call's meter is final.
 * At the end, in quiet, everything is answered. The seed is printed (it orders the faults, not the threads).
 */
#include "base/first.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bank.h"
#include "bank/admin.h"
#include "base/clock.h"
#include "base/fs.h"

enum { DOORMEN = 8, SLOTS = 10, CALLS_MAX = 100000, CONNS = 8, ANSWERS = 256, WORKER_NO = 5, SETTLE_MS = 20000, PATIENT_MS = 20000 };

/* What the bank did with a call; `lock` guards all of it. */
struct call {
	struct fare_id id;
	bool granted, refused, ended;
	bool settled;      /* its doorman has ended it well */
	bool lost;         /* its doorman has given it up, or was not answered in time */
	uint64_t output;   /* what its meter says when it is final */
	uint64_t asked;    /* the last that was to be held for it */
};

/* Of each slot what a bank remembers of it (R8): a killed one knows its live calls only. */
enum known { NONE, LIVE, REFUSED, ENDED };
struct slot { enum known known; struct fare_id last; struct call *call; };

/* An answer not yet said. */
struct answer { enum fare_msg_type type; uint16_t slot; struct call *call; uint64_t asked; struct fare_part_ask part; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct call calls[CALLS_MAX];
static size_t calls_n, calls_max = 3000;
static struct slot slots[SLOTS];
static struct answer answers[ANSWERS];
static unsigned answers_n, bank_seed;
static struct { uint64_t hellos, listed, twice, lost, breaks, kills, timeouts, voids, settles, extends, unheard, parts; } counts;
static _Atomic bool quiet, over;
static char run[FARE_PATH_N];
static struct fare_link *link_of_test;

static unsigned dice(unsigned *seed, unsigned sides) { return (unsigned)rand_r(seed) % sides; }
static void sleep_ms(unsigned ms) { poll(NULL, 0, (int)ms); }

static struct call *call_of(struct fare_id id)
{
	for (size_t i = calls_n; i-- > 0;)
		if (fare_id_eq(calls[i].id, id))
			return &calls[i];
	return NULL;
}

/* What a grant says is different for each call. */
static int64_t hold_of(struct fare_id id)
{
	int64_t v = 1;
	for (size_t i = 8; i < 14; i++)
		v = v * 256 + id.b[i];
	return v;
}

/* ---- The bank: one connection counts, the one that said hello last */

static int conn = -1, meter_fd = -1;
static struct fare_id incarnation;

static void answer_later(enum fare_msg_type type, uint16_t slot, struct call *c, uint64_t asked)
{
	if (answers_n < ANSWERS)
		answers[answers_n++] = (struct answer){.type = type, .slot = slot, .call = c, .asked = asked};
}

static size_t part_of(const struct fare_part_ask *ask, uint8_t msg[FARE_MSG_SMALL])
{
	struct fare_part part = {.tag = ask->tag, .result = FARE_PART_HERE, .total = ask->part, .bytes.n = 1, .bytes.bytes[0] = ask->call_id.b[0]};
	return fare_proto_part(msg, FARE_MSG_SMALL, FARE_PROTO_VERSION, ask->call_id, &part);
}

static void say(const struct answer *a)
{
	if (a->type == FARE_MSG_PART) {
		uint8_t part[FARE_MSG_SMALL];
		(void)!send(conn, part, part_of(&a->part, part), MSG_DONTWAIT | MSG_NOSIGNAL);
		return;
	}
	uint8_t msg[FARE_MSG_SMALL];
	struct fare_admit_answer body = {.granted = a->type == FARE_MSG_GRANT, .refused = a->type == FARE_MSG_GRANT ? 0 : FARE_BALANCE_TOO_LOW};
	size_t n;
	body.grant.hold = fare_nano(hold_of(a->call->id));
	const struct fare_extended extended = {.asked = a->asked, .held_output = a->asked, .hold = fare_nano(hold_of(a->call->id))};
	if (a->type == FARE_MSG_EXTENDED)
		n = fare_proto_extended(msg, sizeof msg, FARE_PROTO_VERSION, a->slot, a->call->id, &extended);
	else if (a->type == FARE_MSG_ACK)
		n = fare_proto_bare(msg, sizeof msg, FARE_PROTO_VERSION, FARE_MSG_ACK, a->slot, a->call->id);
	else
		n = fare_proto_answer(msg, sizeof msg, FARE_PROTO_VERSION, a->slot, a->call->id, &body);
	TEST_MUST(n > 0);
	(void)!send(conn, msg, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Any of those that wait: said, kept to be said again, or lost (what is lost is asked for again on the next connection, which comes). */
static void say_some(void)
{
	while (conn >= 0 && answers_n && (atomic_load(&quiet) || dice(&bank_seed, 3))) {
		unsigned at = dice(&bank_seed, answers_n);
		struct answer a = answers[at];
		bool lose = !atomic_load(&quiet) && dice(&bank_seed, 25) == 0, again = !atomic_load(&quiet) && dice(&bank_seed, 4) == 0;
		if (!lose)
			say(&a);
		if (!again || lose)
			answers[at] = answers[--answers_n];
		counts.lost += lose;
		counts.twice += again && !lose;
	}
}

static bool meter_reads(unsigned slot, struct fare_id id, struct fare_meter_reading *m) { return fare_meter_read(meter_fd, slot, id, m); }

/* R12: nobody writes over the meter of a call that has not ended. */
static void judge_meters(void)
{
	struct fare_meter_reading m;
	for (unsigned i = 0; i < SLOTS; i++)
		TEST_MUST(slots[i].known != LIVE || meter_reads(i, slots[i].last, &m));
}

static void on_hello(struct fare_unpack *k, const struct fare_msg_head *head)
{
	struct fare_listed listed[FARE_SLOTS_MAX];
	struct fare_hello h = {.listed = listed};
	struct fare_meter_head meter;
	struct fare_id by_slot[SLOTS] = {{{0}}};
	TEST_MUST(fare_proto_read_hello(k, &h) && h.slots == SLOTS && h.worker_no == WORKER_NO);
	TEST_MUST(meter_fd < 0 || fare_id_eq(incarnation, head->call_id));
	incarnation = head->call_id;
	if (meter_fd < 0)
		meter_fd = fare_meter_open(run, WORKER_NO, incarnation, &meter);
	TEST_MUST(meter_fd >= 0);
	for (uint32_t i = 0; i < h.count; i++)
		by_slot[listed[i].slot] = listed[i].call_id;
	for (unsigned i = 0; i < SLOTS; i++)
		TEST_MUST(slots[i].known != LIVE || fare_id_eq(by_slot[i], slots[i].last)); /* R10 */
	counts.hellos++;
	counts.listed += h.count;
}

static void on_admit(const struct fare_msg_head *h)
{
	struct slot *s = &slots[h->slot];
	struct call *c = call_of(h->call_id);
	struct fare_meter_reading m;
	TEST_MUST(c != NULL);
	if (s->known == NONE || !fare_id_eq(s->last, c->id)) {
		TEST_MUST(s->known != LIVE); /* R11, R12: the slot's last call is not over */
		TEST_MUST(fare_id_cmp(s->last, c->id) < 0);
		if (!c->granted && !c->refused) { /* else a killed bank's answer is said again */
			TEST_MUST(meter_reads(h->slot, c->id, &m) && m.state == FARE_METER_IDLE);
			c->granted = dice(&bank_seed, 6) != 0;
			c->refused = !c->granted;
		}
		*s = (struct slot){c->ended ? ENDED : c->granted ? LIVE : REFUSED, c->id, c};
	}
	answer_later(s->known == LIVE ? FARE_MSG_GRANT : s->known == REFUSED ? FARE_MSG_REFUSE : FARE_MSG_ACK, h->slot, c, 0);
}

static void on_end(const struct fare_msg_head *h)
{
	struct slot *s = &slots[h->slot];
	struct call *c = call_of(h->call_id);
	struct fare_meter_reading m;
	TEST_MUST(c != NULL);
	if (s->known == LIVE) {
		TEST_MUST(fare_id_eq(s->last, c->id)); /* R11, R12 */
		TEST_MUST(meter_reads(h->slot, c->id, &m));
		if (h->type == FARE_MSG_SETTLE)
			TEST_MUST(c->settled && m.state == FARE_METER_FINAL && m.usage.output == c->output);
		else
			TEST_MUST(c->lost && m.state == FARE_METER_IDLE);
		c->ended = true;
	}
	TEST_MUST(h->type == FARE_MSG_VOID || c->ended);
	/* R8: a void of an id that is not known makes it ended. */
	c->ended = true;
	*s = (struct slot){ENDED, c->id, c};
	if (h->type == FARE_MSG_VOID)
		counts.voids++;
	else
		counts.settles++;
	answer_later(FARE_MSG_ACK, h->slot, c, 0);
}

/* R9: a size, which only rises; of a call that runs. */
static void on_extend(struct fare_unpack *k, const struct fare_msg_head *h)
{
	const struct slot *s = &slots[h->slot];
	uint64_t to;
	TEST_MUST(s->known == LIVE && fare_id_eq(s->last, h->call_id));
	TEST_MUST(fare_proto_read_extend(k, &to) && to == s->call->asked);
	counts.extends++;
	answer_later(FARE_MSG_EXTENDED, h->slot, s->call, to);
}

static void on_read(struct fare_unpack *k, const struct fare_msg_head *h)
{
	struct answer a = {.type = FARE_MSG_PART};
	TEST_MUST(fare_proto_read_read(k, h, &a.part) && a.part.key.b[0] == h->call_id.b[0]);
	if (answers_n < ANSWERS)
		answers[answers_n++] = a;
}

static void on_message(bool first, const uint8_t *p, size_t n)
{
	struct fare_unpack k = {.p = p, .n = n};
	struct fare_msg_head h;
	TEST_MUST(fare_proto_head(&k, &h));
	TEST_MUST(first == (h.type == FARE_MSG_HELLO)); /* R10 */
	if (first) {
		on_hello(&k, &h);
	} else if (h.type == FARE_MSG_READ) {
		on_read(&k, &h);
	} else {
		TEST_MUST(h.slot < SLOTS && (h.type == FARE_MSG_ADMIT || h.type == FARE_MSG_EXTEND || h.type == FARE_MSG_SETTLE || h.type == FARE_MSG_VOID));
		if (h.type == FARE_MSG_ADMIT)
			on_admit(&h);
		else if (h.type == FARE_MSG_EXTEND)
			on_extend(&k, &h);
		else
			on_end(&h);
	}
	judge_meters();
}

static void conn_close(void)
{
	close(conn);
	conn = -1;
}

/* What it had to say may still come, on the next connection; a killed bank says nothing more, and has forgotten which calls have ended. */
static void break_or_die(void)
{
	if (atomic_load(&quiet) || dice(&bank_seed, 250))
		return;
	conn_close();
	counts.breaks++;
	if (dice(&bank_seed, 3))
		return;
	counts.kills++;
	answers_n = 0;
	for (unsigned i = 0; i < SLOTS; i++)
		if (slots[i].known != LIVE)
			slots[i] = (struct slot){0};
}

static bool read_one(bool first)
{
	static uint8_t msg[FARE_MSG_MAX];
	ssize_t n = recv(conn, msg, sizeof msg, MSG_DONTWAIT);
	if (n <= 0)
		return false;
	pthread_mutex_lock(&lock);
	on_message(first, msg, (size_t)n);
	pthread_mutex_unlock(&lock);
	return true;
}

static void accept_next(int listen_fd)
{
	struct pollfd p = {.events = POLLIN};
	conn = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	p.fd = conn;
	if (conn >= 0 && (poll(&p, 1, SETTLE_MS) != 1 || !read_one(true)))
		conn_close();
}

static void *bank_main(void *arg)
{
	int listen_fd = *(int *)arg;
	bool was_quiet = false;
	while (!atomic_load(&over)) {
		struct pollfd p = {.fd = conn < 0 ? listen_fd : conn, .events = POLLIN};
		poll(&p, 1, 1);
		if (conn < 0 && p.revents)
			accept_next(listen_fd);
		if (!was_quiet && atomic_load(&quiet) && conn >= 0) {
			conn_close();
			was_quiet = true;
		}
		for (unsigned i = 1 + dice(&bank_seed, 8); conn >= 0 && i > 0 && read_one(false); i--)
			;
		say_some();
		if (conn >= 0)
			break_or_die();
	}
	return NULL;
}

/* ---- The doormen */

static struct call *call_new(struct fare_id id)
{
	pthread_mutex_lock(&lock);
	struct call *c = calls_n < calls_max ? &calls[calls_n++] : NULL;
	if (c)
		*c = (struct call){.id = id};
	pthread_mutex_unlock(&lock);
	return c;
}

static void mark(bool *what)
{
	pthread_mutex_lock(&lock);
	*what = true;
	pthread_mutex_unlock(&lock);
}

/* R11: what a doorman hears is what the bank said of this call. */
static void judge_answer(const struct call *c, const struct fare_admit_answer *a)
{
	pthread_mutex_lock(&lock);
	TEST_MUST(a->granted ? c->granted && a->grant.hold.nano == hold_of(c->id) : c->refused && a->refused == FARE_BALANCE_TOO_LOW);
	pthread_mutex_unlock(&lock);
}

/* Some ask for more, and some of these do not wait for the answer; one that comes after the next question is not its answer. */
static void ask_more(struct call *c, int slot, unsigned *seed)
{
	struct fare_extended e;
	bool patient = dice(seed, 4) != 0;
	pthread_mutex_lock(&lock);
	uint64_t to = c->asked += 1 + dice(seed, 9);
	pthread_mutex_unlock(&lock);
	if (test_extend(link_of_test, slot, to, &e, patient ? PATIENT_MS : 0) == FARE_ASKED_ANSWERED) {
		TEST_MUST(e.asked == to && e.held_output == to && e.hold.nano == hold_of(c->id));
		return;
	}
	TEST_MUST(!patient);
	pthread_mutex_lock(&lock);
	counts.unheard++;
	pthread_mutex_unlock(&lock);
}

static void run_well(struct call *c, int slot, unsigned *seed)
{
	c->output = dice(seed, 1000);
	fare_meter_sent(link_of_test, slot, 0);
	for (unsigned n = dice(seed, 3); n > 0; n--) {
		sleep_ms(dice(seed, 4));
		if (dice(seed, 3) == 0)
			ask_more(c, slot, seed);
	}
	fare_meter_progress(link_of_test, slot, 100, 4 * c->output);
	fare_meter_usage(link_of_test, slot, &(struct fare_usage){.output = c->output}, false);
	fare_meter_final(link_of_test, slot, FARE_COMPLETE);
	mark(&c->settled);
	fare_link_settle(link_of_test, slot);
}

struct fetching { struct fare_fetch fetch; _Atomic unsigned heard; };

static void on_part(struct fare_fetch *f) { atomic_fetch_add(&((struct fetching *)(void *)f)->heard, 1); }

/* Half of a kept answer's parts are not waited for as long as it takes. */
static void read_part(unsigned *seed)
{
	struct fetching *f = calloc(1, sizeof *f);
	bool patient = dice(seed, 2);
	uint8_t id = (uint8_t)dice(seed, 256);
	uint16_t n = (uint16_t)dice(seed, 60);
	f->fetch = (struct fare_fetch){.heard = on_part, .ask = {.call_id = {{id}}, .key = {{id}}, .part = n}};
	fare_link_fetch(link_of_test, &f->fetch, patient ? PATIENT_MS : dice(seed, 20));
	while (!atomic_load(&f->heard))
		sleep_ms(1);
	sleep_ms(dice(seed, 5));
	TEST_MUST(atomic_load(&f->heard) == 1);
	TEST_MUST(f->fetch.asked == FARE_ASKED_ANSWERED ? f->fetch.part.total == n && f->fetch.part.bytes.n == 1 && f->fetch.part.bytes.bytes[0] == id : !patient);
	pthread_mutex_lock(&lock);
	counts.parts += f->fetch.asked == FARE_ASKED_ANSWERED;
	pthread_mutex_unlock(&lock);
	free(f);
}

static bool one_call(unsigned *seed)
{
	if (dice(seed, 8) == 0)
		read_part(seed);
	struct fare_admit ask = {.call_id = fare_id_new(), .endpoint = FARE_CHAT, .model = "m", .choices = 1, .bound = 100};
	struct fare_admit_answer answer;
	int slot = fare_link_slot(link_of_test, ask.call_id);
	if (slot < 0) {
		sleep_ms(1);
		return true;
	}
	struct call *c = call_new(ask.call_id);
	if (!c) {
		fare_link_void(link_of_test, slot);
		return false;
	}
	bool patient = dice(seed, 8) != 0;
	if (!patient)
		mark(&c->lost); /* it may be answered all the same */
	if (test_admit(link_of_test, slot, &ask, &answer, patient ? PATIENT_MS : dice(seed, 20)) != FARE_ASKED_ANSWERED) {
		TEST_MUST(!patient);
		pthread_mutex_lock(&lock);
		counts.timeouts++;
		pthread_mutex_unlock(&lock);
		return true;
	}
	judge_answer(c, &answer);
	if (answer.granted && dice(seed, 5) == 0) {
		mark(&c->lost);
		fare_link_void(link_of_test, slot);
	} else if (answer.granted) {
		run_well(c, slot, seed);
	}
	return true;
}

static void *doorman_main(void *seed)
{
	while (one_call(seed))
		;
	return NULL;
}

/* ---- */

static void judge_end(void)
{
	for (unsigned i = 0; i < SLOTS; i++)
		TEST_MUST(slots[i].known != LIVE);
	for (size_t i = 0; i < calls_n; i++)
		TEST_MUST(!calls[i].granted || (calls[i].ended && (calls[i].settled || calls[i].lost)));
	TEST_MUST(counts.hellos > 1 && counts.voids && counts.settles && counts.twice && counts.lost && counts.kills && counts.extends && counts.parts);
}

static int listen_at_run(void)
{
	const char *dir = getenv("TMPDIR");
	char path[FARE_PATH_N];
	snprintf(run, sizeof run, "%s/farebox-link.XXXXXX", dir ? dir : "/tmp");
	TEST_MUST(mkdtemp(run) && fare_path(path, sizeof path, run, FARE_CALL_SOCKET));
	int fd = fare_unix_listen(path, SOCK_SEQPACKET, 0600, 16);
	TEST_MUST(fd >= 0);
	return fd;
}

static void remove_run(void)
{
	char path[FARE_PATH_N], name[FARE_METER_NAME_N];
	fare_meter_name(name, WORKER_NO, incarnation);
	TEST_MUST(fare_path(path, sizeof path, run, name) && unlink(path) == 0);
	TEST_MUST(fare_path(path, sizeof path, run, FARE_CALL_SOCKET) && unlink(path) == 0 && rmdir(run) == 0);
}

int main(int argc, char **argv)
{
	char error[FARE_ERROR_N];
	pthread_t bank_thread, doormen[DOORMEN];
	unsigned seeds[DOORMEN];
	unsigned seed = (unsigned)(fare_clock_wall_ms() & 0xFFFFFF);
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--seed"))
			seed = (unsigned)strtoul(argv[i + 1], NULL, 10);
		else if (!strcmp(argv[i], "--calls"))
			calls_max = strtoul(argv[i + 1], NULL, 10);
		else
			return 2;
	}
	TEST_MUST(calls_max <= CALLS_MAX);
	printf("# seed %u\n", seed);
	fflush(stdout);
	bank_seed = seed;
	int listen_fd = listen_at_run();
	link_of_test = fare_link_new(run, WORKER_NO, SLOTS, NULL, error);
	TEST_MUST(link_of_test && pthread_create(&bank_thread, NULL, bank_main, &listen_fd) == 0);
	for (unsigned i = 0; i < DOORMEN; i++) {
		seeds[i] = seed * 100 + i;
		TEST_MUST(pthread_create(&doormen[i], NULL, doorman_main, &seeds[i]) == 0);
	}
	for (unsigned i = 0; i < DOORMEN; i++)
		pthread_join(doormen[i], NULL);
	/* Quiet: what was lost is asked for again on a last new connection. */
	atomic_store(&quiet, true);
	TEST_MUST(fare_link_drain(link_of_test, SETTLE_MS));
	atomic_store(&over, true);
	pthread_join(bank_thread, NULL);
	judge_end();
	fare_link_free(&link_of_test);
	remove_run();
	printf("ok - %zu calls: %llu hellos, %llu answers twice, %llu lost, %llu banks killed, %llu calls timed out, %llu voids, %llu settles, %llu extends, %llu of them not waited for, %llu parts\n", calls_n, (unsigned long long)counts.hellos,
		(unsigned long long)counts.twice, (unsigned long long)counts.lost, (unsigned long long)counts.kills, (unsigned long long)counts.timeouts, (unsigned long long)counts.voids,
		(unsigned long long)counts.settles, (unsigned long long)counts.extends, (unsigned long long)counts.unheard, (unsigned long long)counts.parts);
	return 0;
}
