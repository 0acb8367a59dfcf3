/* call.sock: the workers' connections, and what becomes of incarnations that have none. */
#include "base/first.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "bank/answer.h"
#include "bank/server_inner.h"

enum { CONNS_MAX = 256, READS_AT_ONCE = 64, BACKLOG = 128, MADE_IN_S = 60 };

static void conn_close(struct fare_conn *c)
{
	struct fare_bank *b = c->bank;
	if (c->worker)
		c->worker->conn = NULL; /* asked for its lock from now on (R2) */
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	b->conn_count--;
	fare_watch_free(&c->watch);
	close(c->fd);
	for (struct fare_packet *p = c->first, *next; p; p = next) {
		next = p->next;
		free(p);
	}
	free(c);
	b->idle_since_ms = 0;
}

/* ---- Answers */

static bool send_packet(struct fare_conn *c, const uint8_t *p, size_t n) { return send(c->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)n; }

static void flush(struct fare_conn *c)
{
	while (c->first && send_packet(c, c->first->bytes, c->first->n)) {
		struct fare_packet *p = c->first;
		c->first = p->next;
		c->waiting--;
		free(p);
	}
	if (!c->first)
		c->last = &c->first;
	fare_watch_set(c->watch, FARE_READ | (c->first ? FARE_WRITE : 0u));
}

/* Slots bound what can be unanswered; the rest of the bound is for checks. A worker that does not read is cut off: it connects anew and asks again. */
static void queue(struct fare_conn *c, const uint8_t *bytes, size_t n)
{
	if (c->waiting >= 2 * FARE_SLOTS_MAX) {
		shutdown(c->fd, SHUT_RDWR); /* the loop sees its end and closes it */
		return;
	}
	struct fare_packet *p = fare_alloc(sizeof *p + n);
	p->n = n;
	memcpy(p->bytes, bytes, n);
	*c->last = p;
	c->last = &p->next;
	c->waiting++;
	fare_watch_set(c->watch, FARE_READ | FARE_WRITE);
}

void fare_call_send(struct fare_conn *c, const uint8_t *msg, size_t n)
{
	FARE_ASSERT(n > 0);
	if (c->first || !send_packet(c, msg, n))
		queue(c, msg, n);
}

void fare_call_tell(void *bank, struct fare_worker *w, enum fare_msg_type type, uint16_t slot, struct fare_id call_id, const struct fare_admit_answer *answer)
{
	struct fare_conn *c = w->conn;
	uint8_t msg[FARE_MSG_SMALL];
	size_t n;
	(void)bank;
	if (!c)
		return;
	if (type == FARE_MSG_GRANT || type == FARE_MSG_REFUSE)
		n = fare_proto_answer(msg, sizeof msg, c->version, slot, call_id, answer);
	else if (type == FARE_MSG_EXTENDED)
		n = fare_proto_extended(msg, sizeof msg, c->version, slot, call_id, &answer->extended);
	else if (type == FARE_MSG_CHECKED)
		n = fare_proto_checked(msg, sizeof msg, c->version, call_id, answer);
	else
		n = fare_proto_bare(msg, sizeof msg, c->version, type, slot, call_id);
	fare_call_send(c, msg, n);
}

void fare_call_say_story(struct fare_worker *w, struct fare_id call_id, struct fare_span text)
{
	struct fare_conn *c = w->conn;
	uint8_t msg[FARE_MSG_SMALL];
	if (c)
		fare_call_send(c, msg, fare_proto_story(msg, sizeof msg, c->version, call_id, text));
}

/* ---- Meters */

bool fare_call_read_meter(void *bank, struct fare_worker *w, unsigned slot, struct fare_id expected, struct fare_meter_reading *out)
{
	struct fare_bank *b = bank;
	struct fare_meter_head head;
	if (w->meter_fd < 0)
		w->meter_fd = fare_meter_open(b->conf.run, w->no, w->incarnation, &head);
	return fare_meter_read(w->meter_fd, slot, expected, out);
}

/* ---- Hello */

/* Only the process that made a meter speaks for its incarnation: another one's hello would end its calls. A worker that was heard is known by its process, not by what its file says now. */
static bool speaks_for(const struct fare_conn *c, const struct fare_worker *known, int meter_fd, struct fare_hello *h)
{
	struct fare_meter_head head;
	uid_t uid;
	pid_t pid;
	if (!fare_peer_uid(c->fd, &uid, &pid))
		return false;
	h->pid = (uint32_t)pid;
	if (known && known->pid)
		return known->pid == h->pid;
	return fare_meter_head(meter_fd, &head) && head.pid == h->pid;
}

static bool is_alive(const struct fare_conn *c, struct fare_hello *h, int *meter_fd)
{
	struct fare_bank *b = c->bank;
	struct fare_meter_head head;
	struct fare_worker *known = fare_decider_worker(&b->d, h->incarnation);
	if (known && ((known->dead && !fare_planted("r4")) || known->no != h->worker_no || known->conn_number > c->number))
		return false;
	*meter_fd = known && known->meter_fd >= 0 ? known->meter_fd : fare_meter_open(b->conf.run, h->worker_no, h->incarnation, &head);
	if (*meter_fd < 0)
		return false;
	/* R4: a hello that a dead worker left in the socket does not count. */
	if (speaks_for(c, known, *meter_fd, h) && (!fare_meter_is_dead(*meter_fd) || fare_planted("r4")))
		return true;
	if (!known || known->meter_fd != *meter_fd)
		close(*meter_fd);
	return false;
}

static bool on_hello(struct fare_conn *c, struct fare_unpack *k, const struct fare_msg_head *head)
{
	struct fare_bank *b = c->bank;
	struct fare_hello h = {.incarnation = head->call_id};
	int meter_fd;
	h.listed = fare_alloc(FARE_SLOTS_MAX * sizeof *h.listed);
	bool ok = fare_proto_read_hello(k, &h) && is_alive(c, &h, &meter_fd);
	struct fare_worker *w = ok ? fare_decider_hello(&b->d, &h) : NULL;
	free(h.listed);
	if (!w)
		return false;
	w->meter_fd = meter_fd;
	if (w->conn && !fare_planted("r3")) /* R3: what is unread there is thrown away */
		conn_close(w->conn);
	w->conn = c;
	w->conn_number = c->number;
	c->worker = w;
	c->version = head->version;
	fare_call_tell(b, w, FARE_MSG_WELCOME, 0, w->incarnation, NULL);
	return true;
}

static bool ask_is_sane(const struct fare_admit *a)
{
	if (fare_id_is_zero(a->call_id)) /* no ledger takes it: its hold would stay for ever */
		return false;
	bool endpoint = a->endpoint == FARE_CHAT || a->endpoint == FARE_COMPLETIONS || a->endpoint == FARE_EMBEDDINGS;
	return endpoint && a->choices >= 1 && a->choices <= FARE_CHOICES_MAX && (a->bound >= 0 || a->bound == FARE_NO_BOUND);
}

static bool on_message(struct fare_conn *c, const uint8_t *p, size_t n)
{
	struct fare_unpack k = {.p = p, .n = n};
	struct fare_msg_head h;
	struct fare_admit ask;
	uint64_t held_output;
	struct fare_decider *d = &c->bank->d;
	if (!fare_proto_head(&k, &h))
		return false;
	if (!c->worker) /* R10: hello comes first */
		return h.type == FARE_MSG_HELLO && on_hello(c, &k, &h);
	if (h.version != c->version || h.slot >= c->worker->slots)
		return false;
	switch (h.type) {
	case FARE_MSG_ADMIT:
		if (!fare_proto_read_ask(&k, &h, &ask) || !ask_is_sane(&ask))
			return false;
		fare_decider_admit(d, c->worker, h.slot, &ask);
		return true;
	case FARE_MSG_CHECK:
		if (!fare_proto_read_ask(&k, &h, &ask))
			return false;
		fare_decider_check(d, c->worker, &ask);
		return true;
	case FARE_MSG_STORY:
		if (h.version < 2 || !fare_proto_read_ask(&k, &h, &ask))
			return false;
		fare_story_ask(c->bank, c->worker, &ask);
		return true;
	case FARE_MSG_EXTEND:
		if (h.version < 2 || !fare_proto_read_extend(&k, &held_output))
			return false;
		fare_decider_extend(d, c->worker, h.slot, h.call_id, held_output);
		return true;
	case FARE_MSG_READ:
		return c->version >= 2 && fare_call_read(c, &k, &h);
	case FARE_MSG_SETTLE:
	case FARE_MSG_VOID:
		fare_decider_end(d, c->worker, h.slot, h.call_id, h.type == FARE_MSG_VOID);
		return true;
	default:
		return false;
	}
}

/* False: the connection is over. */
static bool read_some(struct fare_conn *c)
{
	static uint8_t msg[FARE_MSG_MAX]; /* one thread */
	for (int i = 0; i < READS_AT_ONCE; i++) {
		ssize_t n = recv(c->fd, msg, sizeof msg, MSG_DONTWAIT | MSG_TRUNC);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n <= 0)
			return false;
		if ((size_t)n > sizeof msg || !on_message(c, msg, (size_t)n)) {
			fare_log(FARE_WARN, "a message of worker %u is refused: its connection is closed", c->worker ? c->worker->no : 0);
			return false;
		}
	}
	return true;
}

static void on_conn(void *arg, int fd, unsigned events)
{
	struct fare_conn *c = arg;
	struct fare_bank *b = c->bank;
	(void)fd;
	fare_bank_now(b);
	if (events & FARE_WRITE)
		flush(c);
	if ((events & (FARE_READ | FARE_CLOSED)) && !read_some(c)) {
		conn_close(c);
		fare_call_bury(b);
	}
}

/* Whoever said no hello gives way, the oldest first: one process must not keep the others out with connections that say nothing. */
static bool make_room(struct fare_bank *b)
{
	struct fare_conn *oldest = NULL;
	for (struct fare_conn *c = b->conns; c; c = c->next) /* newest first */
		if (!c->worker)
			oldest = c;
	if (!oldest)
		return false;
	conn_close(oldest);
	return true;
}

static void on_call_listen(void *arg, int listen_fd, unsigned events)
{
	struct fare_bank *b = arg;
	(void)events;
	for (;;) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		if (b->stopping || (b->conn_count >= CONNS_MAX && !make_room(b))) {
			fare_log(FARE_WARN, "more than %d workers are connected", CONNS_MAX);
			close(fd);
			continue;
		}
		struct fare_conn *c = fare_alloc(sizeof *c);
		*c = (struct fare_conn){.bank = b, .fd = fd, .number = ++b->conn_number, .next = b->conns, .prev = &b->conns};
		c->last = &c->first;
		if (c->next)
			c->next->prev = &c->next;
		b->conns = c;
		b->conn_count++;
		c->watch = fare_watch_new(b->loop, fd, FARE_READ, on_conn, c);
	}
}

bool fare_call_open(struct fare_bank *b)
{
	char path[FARE_PATH_N];
	if (!fare_path(path, sizeof path, b->conf.run, FARE_CALL_SOCKET))
		return false;
	/* The run folder's group: workers with a user of their own. */
	b->call_fd = fare_unix_listen(path, SOCK_SEQPACKET, 0660, BACKLOG);
	if (b->call_fd < 0) {
		fare_log(FARE_ALARM, "%s: %s", path, strerror(errno));
		return false;
	}
	b->call_watch = fare_watch_new(b->loop, b->call_fd, FARE_READ, on_call_listen, b);
	return true;
}

void fare_call_close(struct fare_bank *b)
{
	while (b->conns)
		conn_close(b->conns);
	fare_watch_free(&b->call_watch);
	if (b->call_fd >= 0)
		close(b->call_fd);
	b->call_fd = -1;
}

/* ---- The dead */

static void remove_meter(struct fare_bank *b, struct fare_worker *w)
{
	char name[FARE_METER_NAME_N], path[FARE_PATH_N];
	fare_meter_name(name, w->no, w->incarnation);
	if (fare_path(path, sizeof path, b->conf.run, name) && unlink(path) != 0 && errno != ENOENT)
		fare_log(FARE_WARN, "%s cannot be removed: %s", path, strerror(errno));
	if (w->meter_fd >= 0)
		close(w->meter_fd);
	fare_decider_forget(&b->d, w);
}

/* A meter that is gone says nothing about its worker, but it can say nothing more to us either: without a meter no hello counts. */
static bool is_dead(struct fare_bank *b, struct fare_worker *w)
{
	struct fare_meter_head head;
	if (w->meter_fd < 0)
		w->meter_fd = fare_meter_open(b->conf.run, w->no, w->incarnation, &head);
	if (w->meter_fd < 0) /* for want of a descriptor or memory nobody is taken for dead: asked again */
		return errno != EMFILE && errno != ENFILE && errno != ENOMEM;
	return fare_meter_is_dead(w->meter_fd);
}

/* Answers that nobody will keep. The writer removes those of workers that are connected. */
static void sweep_answer(struct fare_bank *b, const char *name)
{
	struct fare_id call_id, incarnation;
	char path[FARE_PATH_N];
	if (!fare_answer_name_parse(name, &call_id, &incarnation))
		return;
	const struct fare_worker *w = fare_decider_worker(&b->d, incarnation);
	if (!(w && w->conn) && !fare_decider_hold(&b->d, call_id) && fare_path(path, sizeof path, b->conf.run, name))
		unlink(path);
}

void fare_call_bury(struct fare_bank *b)
{
	bool buried = false;
	for (struct fare_worker *w = b->d.workers, *next; w; w = next) {
		next = w->next;
		if (w->conn)
			continue;
		if (!w->dead && (is_dead(b, w) || fare_planted("closed_is_dead")))
			fare_decider_dead(&b->d, w);
		if (w->dead && w->holds == 0) {
			remove_meter(b, w);
			buried = true;
		}
	}
	if (buried)
		fare_call_sweep(b);
}

/* Got its lock: nobody writes it any more. One that is being made under another name may not be locked yet: it is left alone for a minute. */
static bool is_left_over(const char *path, bool being_made)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return false;
	bool old = !being_made || (fstat(fd, &st) == 0 && st.st_mtime + MADE_IN_S < time(NULL));
	bool got = old && flock(fd, LOCK_EX | LOCK_NB) == 0;
	close(fd);
	return got;
}

void fare_call_sweep(struct fare_bank *b)
{
	DIR *dir = opendir(b->conf.run);
	struct dirent *e;
	if (!dir)
		return;
	while ((e = readdir(dir))) {
		char path[FARE_PATH_N];
		struct fare_id incarnation;
		unsigned no;
		bool being_made = fare_span_starts(fare_span_of(e->d_name), "new.");
		sweep_answer(b, e->d_name);
		if (!fare_meter_name_parse(e->d_name + (being_made ? 4 : 0), &no, &incarnation) || fare_decider_worker(&b->d, incarnation))
			continue;
		if (fare_path(path, sizeof path, b->conf.run, e->d_name) && is_left_over(path, being_made))
			unlink(path);
	}
	closedir(dir);
}
