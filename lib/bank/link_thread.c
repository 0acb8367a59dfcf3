/* The link's own thread: connects for ever, says hello and what is unanswered, takes answers by call id and state. */
#include "base/first.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "bank/admin.h"
#include "bank/link_inner.h"

enum { RETRY_FIRST_MS = 10, RETRY_MOST_MS = 500 };

static bool send_now(struct fare_link *l, const uint8_t *p, size_t n)
{
	FARE_ASSERT(n > 0);
	if (l->fd < 0 || l->blocked)
		return false;
	if (send(l->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n)
		return true;
	/* Any other fault shows in poll: the thread closes and connects again. */
	l->blocked = true;
	fare_link_wake(l);
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
	else if (s->state == SLOT_SETTLE)
		n = fare_proto_bare(msg, sizeof msg, FARE_MSG_SETTLE, (uint16_t)i, s->call_id);
	else if (s->state == SLOT_VOID)
		n = fare_proto_bare(msg, sizeof msg, FARE_MSG_VOID, (uint16_t)i, s->call_id);
	else
		return;
	s->told = send_now(l, msg, n);
}

void fare_link_say_checks(struct fare_link *l)
{
	uint8_t msg[FARE_MSG_SMALL];
	for (struct link_check *c = l->checks; c; c = c->next)
		if (!c->told && !c->answered)
			c->told = send_now(l, msg, fare_proto_ask(msg, sizeof msg, FARE_MSG_CHECK, 0, &c->ask));
}

static void say_all(struct fare_link *l)
{
	fare_link_say_checks(l);
	for (unsigned i = 0; i < l->count && !l->blocked; i++)
		fare_link_say_slot(l, i);
}

static void say_again_everything(struct fare_link *l)
{
	for (unsigned i = 0; i < l->count; i++)
		l->slots[i].told = false;
	for (struct link_check *c = l->checks; c; c = c->next)
		c->told = false;
	say_all(l);
}

/* R10: hello is the first message and lists every slot that is not free. A slot that is taken and has said nothing is listed too: it will. */
static bool say_hello(struct fare_link *l, int fd)
{
	struct fare_hello h = {.incarnation = l->incarnation, .worker_no = l->worker_no, .pid = (uint32_t)getpid(), .slots = l->count};
	uint8_t *msg = fare_alloc(FARE_MSG_MAX);
	h.listed = fare_alloc(l->count * sizeof *h.listed);
	for (unsigned i = 0; i < l->count; i++)
		if (l->slots[i].state != SLOT_FREE)
			h.listed[h.count++] = (struct fare_listed){(uint16_t)i, l->slots[i].call_id};
	size_t n = fare_proto_hello(msg, FARE_MSG_MAX, &h);
	bool ok = send(fd, msg, n, MSG_NOSIGNAL) == (ssize_t)n;
	free(h.listed);
	free(msg);
	return ok;
}

static bool try_connect(struct fare_link *l)
{
	char path[FARE_PATH_N];
	if (!fare_path(path, sizeof path, l->run, FARE_CALL_SOCKET))
		return false;
	int fd = fare_unix_connect(path, SOCK_SEQPACKET), size = 1 << 20;
	if (fd < 0)
		return false;
	/* Room for a hello with every slot; the kernel's default is enough, more is better. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	pthread_mutex_lock(&l->lock);
	bool ok = say_hello(l, fd);
	if (ok) {
		l->fd = fd;
		l->blocked = false;
		say_again_everything(l);
	}
	pthread_mutex_unlock(&l->lock);
	if (!ok)
		close(fd);
	return ok;
}

/* R11: an answer counts only for the call id that the slot has now, in a state that waits for it. */
static void hear_slot(struct fare_link *l, const struct fare_msg_head *h, const struct fare_admit_answer *a, pthread_cond_t **wake)
{
	struct link_slot *s = &l->slots[h->slot];
	if (!fare_id_eq(s->call_id, h->call_id))
		return;
	bool ends = h->type == FARE_MSG_ACK || h->type == FARE_MSG_REFUSE;
	if (s->state == SLOT_WAIT) {
		s->answer = h->type == FARE_MSG_ACK ? (struct fare_admit_answer){.refused = FARE_CALL_ENDED} : *a;
		s->state = SLOT_ANSWERED;
		*wake = &s->heard;
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

/* wake: who is to be signalled once the lock is free, so as not to run into it. A slot stays, unlike a check. */
static bool hear(struct fare_link *l, const uint8_t *p, size_t n, pthread_cond_t **wake)
{
	struct fare_unpack k = {.p = p, .n = n};
	struct fare_msg_head h;
	struct fare_admit_answer a = {0};
	if (!fare_proto_head(&k, &h) || h.version != FARE_PROTO_VERSION)
		return false;
	if (h.type == FARE_MSG_WELCOME)
		return true;
	if (h.type != FARE_MSG_ACK && !fare_proto_read_answer(&k, &h, &a))
		return false;
	if (h.type == FARE_MSG_CHECKED)
		hear_check(l, &h, &a);
	else if (h.slot < l->count)
		hear_slot(l, &h, &a, wake);
	return true;
}

/* Reads what is there. False: the connection is over. */
static bool hear_all(struct fare_link *l)
{
	uint8_t msg[FARE_MSG_SMALL];
	for (;;) {
		ssize_t n = recv(l->fd, msg, sizeof msg, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return true;
		if (n <= 0)
			return false;
		pthread_cond_t *wake = NULL;
		pthread_mutex_lock(&l->lock);
		bool ok = hear(l, msg, (size_t)n, &wake);
		pthread_mutex_unlock(&l->lock);
		if (wake)
			pthread_cond_signal(wake);
		if (!ok) {
			fare_log(FARE_ALARM, "link: the bank says what this worker does not understand; it must be restarted as the same version");
			return false;
		}
	}
}

static bool is_stopping(struct fare_link *l)
{
	pthread_mutex_lock(&l->lock);
	bool stopping = l->stopping;
	pthread_mutex_unlock(&l->lock);
	return stopping;
}

/* Serves one connection to its end. True: the bank said something. */
static bool serve(struct fare_link *l)
{
	bool heard = false;
	while (!is_stopping(l)) {
		pthread_mutex_lock(&l->lock);
		bool blocked = l->blocked;
		pthread_mutex_unlock(&l->lock);
		struct pollfd p[2] = {{.fd = l->fd, .events = (short)(POLLIN | (blocked ? POLLOUT : 0))}, {.fd = l->wake_fd, .events = POLLIN}};
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		uint64_t count;
		if ((p[1].revents & POLLIN) && read(l->wake_fd, &count, sizeof count) < 0 && errno != EAGAIN)
			break;
		if ((p[0].revents & (POLLIN | POLLHUP | POLLERR)) && !hear_all(l))
			break;
		heard |= (p[0].revents & POLLIN) != 0;
		if (p[0].revents & POLLOUT) {
			pthread_mutex_lock(&l->lock);
			l->blocked = false;
			say_all(l);
			pthread_mutex_unlock(&l->lock);
		}
	}
	pthread_mutex_lock(&l->lock);
	close(l->fd);
	l->fd = -1;
	l->blocked = false;
	pthread_mutex_unlock(&l->lock);
	return heard;
}

void *fare_link_run(void *link)
{
	struct fare_link *l = link;
	int wait_ms = RETRY_FIRST_MS;
	while (!is_stopping(l)) {
		if (try_connect(l) && serve(l))
			wait_ms = RETRY_FIRST_MS;
		struct pollfd p = {.fd = l->wake_fd, .events = POLLIN};
		uint64_t count;
		if (poll(&p, 1, wait_ms) > 0 && read(l->wake_fd, &count, sizeof count) < 0)
			fare_log(FARE_WARN, "link: wake: %s", strerror(errno));
		wait_ms = wait_ms * 2 < RETRY_MOST_MS ? wait_ms * 2 : RETRY_MOST_MS;
	}
	return NULL;
}
