/* The link on its loop: connects for ever, says hello and what is unanswered, takes answers by call id and state, and gives up on those that do not come. */
#include "base/first.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "bank/admin.h"
#include "bank/link_inner.h"

enum { RETRY_FIRST_MS = 10, RETRY_MOST_MS = 500, LOOK_MS = 500 };

static bool send_now(struct fare_link *l, const uint8_t *p, size_t n)
{
	FARE_ASSERT(n > 0);
	if (l->fd < 0 || l->blocked)
		return false;
	if (send(l->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n)
		return true;
	/* Any other fault shows in the loop, which closes and connects again. */
	l->blocked = true;
	if (!l->unblock_posted) {
		l->unblock_posted = true;
		fare_loop_post(l->loop, &l->unblock);
	}
	return false;
}

void fare_link_say_slot(struct fare_link *l, unsigned i)
{
	struct link_slot *s = &l->slots[i];
	uint8_t msg[FARE_MSG_SMALL];
	size_t n = 0;
	if (s->told)
		return;
	if (s->state == SLOT_WAIT)
		n = fare_proto_ask(msg, sizeof msg, FARE_MSG_ADMIT, (uint16_t)i, &s->ask);
	else if (s->state == SLOT_GRANTED && s->asking)
		n = fare_proto_extend(msg, sizeof msg, (uint16_t)i, s->call_id, s->extend_to);
	else if (s->state == SLOT_SETTLE)
		n = fare_proto_bare(msg, sizeof msg, FARE_PROTO_VERSION, FARE_MSG_SETTLE, (uint16_t)i, s->call_id);
	else if (s->state == SLOT_VOID)
		n = fare_proto_bare(msg, sizeof msg, FARE_PROTO_VERSION, FARE_MSG_VOID, (uint16_t)i, s->call_id);
	else
		return;
	s->told = send_now(l, msg, n);
	s->heard_of |= s->told;
}

void fare_link_say_checks(struct fare_link *l)
{
	uint8_t msg[FARE_MSG_SMALL];
	for (struct link_check *c = l->checks; c; c = c->next)
		if (!c->told && !c->answered)
			c->told = send_now(l, msg, fare_proto_ask(msg, sizeof msg, (enum fare_msg_type)c->type, 0, &c->ask));
}

void fare_link_say_fetch(struct fare_link *l, struct fare_fetch *f)
{
	uint8_t msg[FARE_MSG_SMALL];
	if (!f->told)
		f->told = send_now(l, msg, fare_proto_read(msg, sizeof msg, &f->ask));
}

static void say_all(struct fare_link *l)
{
	fare_link_say_checks(l);
	for (struct fare_fetch *f = l->fetches; f && !l->blocked; f = f->next)
		fare_link_say_fetch(l, f);
	for (unsigned i = 0; i < l->count && !l->blocked; i++)
		fare_link_say_slot(l, i);
}

static void say_again_everything(struct fare_link *l)
{
	for (unsigned i = 0; i < l->count; i++)
		l->slots[i].told = false;
	for (struct link_check *c = l->checks; c; c = c->next)
		c->told = false;
	for (struct fare_fetch *f = l->fetches; f; f = f->next)
		f->told = false;
	say_all(l);
}

/* R10: hello is the first message and lists every slot that is not free. A slot that is taken and has said nothing is listed too: it will. */
static bool say_hello(struct fare_link *l, int fd)
{
	struct fare_hello h = {.incarnation = l->incarnation, .worker_no = l->worker_no, .pid = (uint32_t)getpid(), .slots = l->count};
	uint8_t *msg = fare_alloc(FARE_MSG_MAX);
	h.listed = fare_alloc(l->count * sizeof *h.listed);
	for (unsigned i = 0; i < l->count; i++)
		if (l->slots[i].state != SLOT_FREE && !(l->slots[i].state == SLOT_WAIT && fare_planted("r10")))
			h.listed[h.count++] = (struct fare_listed){(uint16_t)i, l->slots[i].call_id};
	size_t n = fare_proto_hello(msg, FARE_MSG_MAX, &h);
	bool ok = send(fd, msg, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n;
	free(h.listed);
	free(msg);
	return ok;
}

/* ---- Answers */

static void asking_end(struct fare_link *l, struct link_slot *s, enum fare_asked asked, struct fare_asking ***last)
{
	s->asking->asked = asked;
	s->asking->next = NULL;
	**last = s->asking;
	*last = &s->asking->next;
	s->asking = NULL;
	l->waiting--;
}

/* R11: an answer counts only for the call id that the slot has now, in a state that waits for it. */
static void hear_slot(struct fare_link *l, const struct fare_msg_head *h, const struct fare_admit_answer *a, struct fare_asking ***last)
{
	struct link_slot *s = &l->slots[h->slot];
	if (!fare_id_eq(s->call_id, h->call_id) && !fare_planted("r11"))
		return;
	bool ends = h->type == FARE_MSG_ACK || h->type == FARE_MSG_REFUSE;
	if (s->state == SLOT_WAIT && h->type != FARE_MSG_EXTENDED) {
		s->asking->answer = h->type == FARE_MSG_ACK ? (struct fare_admit_answer){.refused = FARE_CALL_ENDED} : *a;
		s->state = SLOT_GRANTED;
		if (!s->asking->answer.granted)
			fare_link_release(l, h->slot);
		asking_end(l, s, FARE_ASKED_ANSWERED, last);
	} else if (s->state == SLOT_GRANTED && s->asking && h->type == FARE_MSG_EXTENDED && a->extended.asked == s->extend_to) {
		s->asking->answer = *a;
		asking_end(l, s, FARE_ASKED_ANSWERED, last);
	} else if ((s->state == SLOT_VOID && ends) || (s->state == SLOT_SETTLE && h->type == FARE_MSG_ACK)) {
		fare_link_release(l, h->slot);
	}
}

static void hear_check(struct fare_link *l, const struct fare_msg_head *h, const struct fare_admit_answer *a)
{
	for (struct link_check *c = l->checks; c; c = c->next)
		if (fare_id_eq(c->ask.call_id, h->call_id) && !c->answered) {
			c->answer = *a;
			c->answered = true;
			pthread_cond_signal(&c->heard);
		}
}

/* Of a call that the key may know of: as if it were checked, and granted. */
static bool hear_story(struct fare_link *l, struct fare_unpack *k, const struct fare_msg_head *h)
{
	struct fare_admit_answer granted = {.granted = true};
	struct fare_span text;
	if (!fare_proto_read_story(k, &text))
		return false;
	for (struct link_check *c = l->checks; c; c = c->next)
		if (c->story && fare_id_eq(c->ask.call_id, h->call_id) && !c->answered)
			fare_buf_add_span(c->story, text);
	hear_check(l, h, &granted);
	return true;
}

static void fetch_end(struct fare_link *l, struct fare_fetch **at, enum fare_asked asked)
{
	struct fare_fetch *f = *at;
	*at = f->next;
	if (!f->next)
		l->fetches_last = at;
	f->asked = asked;
	f->next = NULL;
	*l->fetched_last = f;
	l->fetched_last = &f->next;
}

/* They are answered about in the order they were asked. */
static bool hear_part(struct fare_link *l, struct fare_unpack *k, struct fare_id call_id)
{
	static _Thread_local struct fare_part part;
	if (!fare_proto_read_part(k, &part))
		return false;
	for (struct fare_fetch **at = &l->fetches; *at; at = &(*at)->next)
		if ((*at)->ask.tag == part.tag && fare_id_eq((*at)->ask.call_id, call_id)) {
			(*at)->part = part;
			fetch_end(l, at, FARE_ASKED_ANSWERED);
			break;
		}
	return true;
}

static bool hear(struct fare_link *l, const uint8_t *p, size_t n, struct fare_asking ***last)
{
	struct fare_unpack k = {.p = p, .n = n};
	struct fare_msg_head h;
	struct fare_admit_answer a = {0};
	if (!fare_proto_head(&k, &h) || h.version != FARE_PROTO_VERSION)
		return false;
	if (h.type == FARE_MSG_WELCOME)
		return true;
	if (h.type == FARE_MSG_STORY_IS)
		return hear_story(l, &k, &h);
	if (h.type == FARE_MSG_PART)
		return hear_part(l, &k, h.call_id);
	if (h.type == FARE_MSG_EXTENDED ? !fare_proto_read_extended(&k, &a.extended) : h.type != FARE_MSG_ACK && !fare_proto_read_answer(&k, &h, &a))
		return false;
	if (h.type == FARE_MSG_CHECKED)
		hear_check(l, &h, &a);
	else if (h.slot < l->count)
		hear_slot(l, &h, &a, last);
	return true;
}

/* Told without the lock: what they do may ask again. */
static void tell(struct fare_asking *first)
{
	for (struct fare_asking *a = first, *next; a; a = next) {
		next = a->next;
		a->heard(a);
	}
}

static void tell_fetched(struct fare_link *l)
{
	pthread_mutex_lock(&l->lock);
	struct fare_fetch *first = l->fetched;
	l->fetched = NULL;
	l->fetched_last = &l->fetched;
	pthread_mutex_unlock(&l->lock);
	for (struct fare_fetch *f = first, *next; f; f = next) {
		next = f->next;
		f->heard(f);
	}
}

/* Reads what is there, many at a time. False: the connection is over. */
static bool hear_all(struct fare_link *l)
{
	struct iovec parts[LINK_HEAR_MAX];
	struct mmsghdr heads[LINK_HEAR_MAX] = {0};
	bool ok = true;
	int n;
	for (size_t i = 0; i < LINK_HEAR_MAX; i++) {
		parts[i] = (struct iovec){l->heard[i], sizeof l->heard[i]};
		heads[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	}
	do {
		struct fare_asking *first = NULL, **last = &first;
		n = recvmmsg(l->fd, heads, LINK_HEAR_MAX, MSG_DONTWAIT, NULL);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		l->retry_ms = RETRY_FIRST_MS;
		pthread_mutex_lock(&l->lock);
		for (int i = 0; ok && i < n; i++) {
			ok = heads[i].msg_len > 0 && hear(l, l->heard[i], heads[i].msg_len, &last);
			if (!ok && heads[i].msg_len > 0)
				fare_log(FARE_ALARM, "link: the bank says what this worker does not understand; it must be restarted as the same version");
		}
		pthread_mutex_unlock(&l->lock);
		tell(first);
		tell_fetched(l);
	} while (ok && n == LINK_HEAR_MAX);
	return ok;
}

/* ---- The connection */

static void retry_later(struct fare_link *l)
{
	fare_timer_set(l->retry, l->retry_ms);
	l->retry_ms = l->retry_ms * 2 < RETRY_MOST_MS ? l->retry_ms * 2 : RETRY_MOST_MS;
}

static void connection_close(struct fare_link *l)
{
	fare_watch_free(&l->watch);
	pthread_mutex_lock(&l->lock);
	close(l->fd);
	l->fd = -1;
	l->down_ms = fare_clock_boot_ms();
	l->blocked = false;
	pthread_mutex_unlock(&l->lock);
}

static void on_connection(void *arg, int fd, unsigned events)
{
	struct fare_link *l = arg;
	(void)fd;
	if (events & FARE_WRITE) {
		fare_watch_set(l->watch, FARE_READ);
		pthread_mutex_lock(&l->lock);
		l->blocked = false;
		say_all(l); /* full again: on_unblock */
		pthread_mutex_unlock(&l->lock);
	}
	if (events & FARE_READ && !hear_all(l)) {
		connection_close(l);
		retry_later(l);
	}
}

static void on_unblock(struct fare_post_node *node)
{
	struct fare_link *l = (struct fare_link *)((char *)node - offsetof(struct fare_link, unblock));
	pthread_mutex_lock(&l->lock);
	l->unblock_posted = false;
	bool blocked = l->blocked;
	pthread_mutex_unlock(&l->lock);
	if (blocked && l->watch)
		fare_watch_set(l->watch, FARE_READ | FARE_WRITE);
}

static bool try_connect(struct fare_link *l)
{
	char path[FARE_PATH_N];
	if (!fare_path(path, sizeof path, l->run, FARE_CALL_SOCKET))
		return false;
	int fd = fare_unix_connect(path, SOCK_SEQPACKET | SOCK_NONBLOCK), size = 1 << 20;
	if (fd < 0)
		return false;
	/* Room for a hello with every slot; the kernel's default is enough, more is better. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	l->watch = fare_watch_new(l->loop, fd, FARE_READ, on_connection, l);
	pthread_mutex_lock(&l->lock);
	if (fare_planted("r10_first")) {
		l->fd = fd;
		say_again_everything(l);
	}
	bool ok = say_hello(l, fd);
	l->fd = fd;
	if (ok)
		say_again_everything(l);
	pthread_mutex_unlock(&l->lock);
	if (!ok)
		connection_close(l);
	return ok;
}

static void on_retry(void *arg)
{
	struct fare_link *l = arg;
	if (!try_connect(l))
		retry_later(l);
}

/* Who has waited for too long, or for a bank that cannot be had: a slot that was not admitted says void from here on; one that no bank has heard of is free. */
static void on_look(void *arg)
{
	struct fare_link *l = arg;
	struct fare_asking *first = NULL, **last = &first;
	uint64_t now = fare_clock_boot_ms();
	pthread_mutex_lock(&l->lock);
	bool down = fare_link_is_down(l, now);
	for (unsigned i = 0; l->waiting && i < l->count; i++) {
		struct link_slot *s = &l->slots[i];
		bool extends = s->state == SLOT_GRANTED; /* its call ends as it is */
		if (!s->asking || (now < s->asking->until_ms && (extends || !down)))
			continue;
		asking_end(l, s, FARE_ASKED_TIMEOUT, &last);
		if (extends)
			continue;
		if (!s->heard_of) {
			fare_link_release(l, i);
			continue;
		}
		s->state = SLOT_VOID;
		s->told = false;
		fare_link_say_slot(l, i);
	}
	for (struct link_check *c = l->checks; down && c; c = c->next) {
		c->given_up = true;
		pthread_cond_signal(&c->heard);
	}
	for (struct fare_fetch **at = &l->fetches; *at;) {
		if (now >= (*at)->until_ms)
			fetch_end(l, at, FARE_ASKED_TIMEOUT);
		else
			at = &(*at)->next;
	}
	pthread_mutex_unlock(&l->lock);
	tell(first);
	tell_fetched(l);
	fare_timer_set(l->look, LOOK_MS);
}

/* ---- Begin and end, both posted */

static void on_start(struct fare_post_node *node)
{
	struct fare_link *l = (struct fare_link *)((char *)node - offsetof(struct fare_link, start));
	l->retry_ms = RETRY_FIRST_MS;
	l->retry = fare_timer_new(l->loop, on_retry, l);
	l->look = fare_timer_new(l->loop, on_look, l);
	fare_timer_set(l->look, LOOK_MS);
	on_retry(l);
}

static void on_stop(struct fare_post_node *node)
{
	struct fare_link *l = (struct fare_link *)((char *)node - offsetof(struct fare_link, stop));
	if (l->watch)
		connection_close(l);
	fare_timer_free(&l->retry);
	fare_timer_free(&l->look);
	pthread_mutex_lock(&l->lock);
	l->stopped = true;
	pthread_cond_broadcast(&l->freed);
	pthread_mutex_unlock(&l->lock);
}

static void *loop_run(void *loop)
{
	fare_loop_run(loop);
	return NULL;
}

void fare_link_loop_begin(struct fare_link *l)
{
	l->start.fn = on_start;
	l->stop.fn = on_stop;
	l->unblock.fn = on_unblock;
	if (l->loop_is_own && pthread_create(&l->thread, NULL, loop_run, l->loop) != 0)
		fare_fatal("no thread for the link to the bank");
	fare_loop_post(l->loop, &l->start);
}

void fare_link_loop_end(struct fare_link *l)
{
	fare_loop_post(l->loop, &l->stop);
	pthread_mutex_lock(&l->lock);
	while (!l->stopped)
		pthread_cond_wait(&l->freed, &l->lock);
	pthread_mutex_unlock(&l->lock);
	if (!l->loop_is_own)
		return;
	fare_loop_stop(l->loop);
	pthread_join(l->thread, NULL);
	fare_loop_free(&l->loop);
}
