/* admin.sock: requests in lines, answers in lines, one at a time for each connection. */
#include "base/first.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "bank/server_inner.h"

enum { BACKLOG = 512, OUT_MAX = 64 * 1024 * 1024, OUT_HIGH = 1024 * 1024, PUSH_AT = 64 * 1024, PUSH_WAIT_MS = 30000, PUSH_LOOK_MS = 200 };

static void serve_next(struct fare_admin *c);

static void admin_free(struct fare_admin *c)
{
	fare_rerating_end(c);
	fare_buf_release(&c->in);
	fare_buf_release(&c->out);
	fare_json_release(&c->json);
	fare_wipe(c->secret, sizeof c->secret);
	free(c);
}

/* What is under way for it goes on; its result finds nobody. */
static void admin_gone(struct fare_admin *c)
{
	struct fare_bank *b = c->bank;
	fare_watch_free(&c->watch);
	close(c->fd);
	c->fd = -1;
	*c->prev = c->next;
	if (c->next)
		c->next->prev = c->prev;
	b->admin_count--;
	b->idle_since_ms = 0;
	c->gone = true;
	if (!c->busy)
		admin_free(c);
}

/* False: the client is gone (and may be freed). */
static bool flush(struct fare_admin *c)
{
	if (c->out.failed) { /* more than it may have waiting */
		admin_gone(c);
		return false;
	}
	while (c->out.n > 0) {
		ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0) {
			admin_gone(c);
			return false;
		}
		fare_buf_drop(&c->out, (size_t)n);
	}
	/* While an answer is under way, or not taken, no more is read: what waits is bounded by the socket. */
	bool full = c->busy || c->waits || c->out.n > OUT_HIGH;
	fare_watch_set(c->watch, (full ? 0u : (unsigned)FARE_READ) | (c->out.n ? (unsigned)FARE_WRITE : 0u));
	return true;
}

/* ---- Answers */

void fare_admin_end_record(struct fare_admin *c) { fare_buf_add_char(&c->out, '\n'); }

static void line_done(struct fare_admin *c)
{
	fare_rerating_end(c);
	fare_buf_drop(&c->in, c->line_n);
	c->line_n = 0;
	c->busy = false;
	c->waits = 0;
	c->bad = false;
}

void fare_admin_ok(struct fare_admin *c, const char *more)
{
	fare_buf_addf(&c->out, "{\"ok\": true%s}\n", more);
	line_done(c);
}

void fare_admin_fail(struct fare_admin *c, const char *fmt, ...)
{
	char text[FARE_ERROR_N];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	fare_buf_add_str(&c->out, "{\"ok\": false, \"error\": ");
	fare_buf_add_json(&c->out, fare_span_of(text));
	fare_buf_add_str(&c->out, "}\n");
	line_done(c);
}

/* ---- Changes: one at a time, in the order they came */

static struct fare_admin *first_waiting(struct fare_bank *b)
{
	struct fare_admin *first = NULL;
	for (struct fare_admin *c = b->admins; c; c = c->next)
		if (c->waits && (!first || c->waits < first->waits))
			first = c;
	return first;
}

static void next_turn(struct fare_bank *b)
{
	struct fare_admin *c;
	while (!b->changing && (c = first_waiting(b)))
		serve_next(c);
}

struct change {
	struct fare_admin *client;
	void (*ok)(struct fare_admin *c, struct fare_job *job);
	bool changes;
};

static void change_done(void *arg, struct fare_job *job)
{
	struct change *change = arg;
	struct fare_admin *c = change->client;
	struct fare_bank *b = c->bank;
	if (change->changes)
		b->changing = false;
	if (c->gone) {
		admin_free(c);
	} else {
		if (job->op.applied == FARE_REFUSED_OP)
			fare_admin_fail(c, "%s", job->op.error);
		else
			change->ok(c, job);
		serve_next(c);
	}
	free(change);
	next_turn(b);
}

void fare_admin_submit(struct fare_admin *c, struct fare_job *job, void (*ok)(struct fare_admin *c, struct fare_job *job))
{
	struct change *change = fare_alloc(sizeof *change);
	*change = (struct change){.client = c, .ok = ok, .changes = job->op.type != FARE_OP_POST && job->op.type != FARE_OP_RERATE};
	job->what = FARE_JOB_OP;
	job->done = change_done;
	job->arg = change;
	c->busy = true;
	if (change->changes)
		c->bank->changing = true;
	fare_decider_submit(&c->bank->d, job);
}

/* ---- Requests */

static const struct fare_admin_op *op_find(struct fare_span name)
{
	const struct fare_admin_op *tables[] = {fare_account_ops, fare_key_ops, fare_catalog_ops, fare_ledger_ops, fare_rerate_ops, fare_story_ops, fare_status_ops};
	for (size_t t = 0; t < FARE_ARRAY_N(tables); t++)
		for (const struct fare_admin_op *op = tables[t]; op->name; op++)
			if (fare_span_is(name, op->name))
				return op;
	return NULL;
}

static bool word_is_in(const char *words, struct fare_span word)
{
	while (*words) {
		size_t n = strcspn(words, " ");
		if (fare_span_eq(fare_span_at(words, n), word))
			return true;
		words += n + (words[n] == ' ');
	}
	return false;
}

/* A member that the op does not know is never ignored. */
static bool members_known(struct fare_admin *c, const struct fare_admin_op *op)
{
	for (const struct fare_json_node *n = fare_json_first(&c->json, fare_json_root(&c->json)); n; n = fare_json_next(&c->json, n)) {
		struct fare_span key = fare_json_key(&c->json, n);
		if (!fare_span_is(key, "op") && !word_is_in(op->members, key)) {
			fare_admin_fail(c, "%s: no member %.*s", op->name, (int)(key.n < 64 ? key.n : 64), key.p);
			return false;
		}
	}
	return true;
}

static const struct fare_admin_op *request_read(struct fare_admin *c)
{
	char name[64];
	if (!fare_json_parse(&c->json, fare_span_at(c->in.p, c->line_n - 1))) {
		fare_admin_fail(c, "not JSON: %s", c->json.error);
		return NULL;
	}
	if (fare_json_root(&c->json)->kind != FARE_JSON_OBJECT) {
		fare_admin_fail(c, "a request is a JSON object");
		return NULL;
	}
	c->bad = false;
	if (!fare_arg_text(c, "op", name, sizeof name, true)) {
		fare_admin_fail(c, "%s", c->error);
		return NULL;
	}
	const struct fare_admin_op *op = op_find(fare_span_of(name));
	if (!op)
		fare_admin_fail(c, "no op %s", name);
	return op && members_known(c, op) ? op : NULL;
}

/* What makes new records, and can wait until there is room; what takes rights away cannot. */
static bool has_room(struct fare_admin *c, const struct fare_admin_op *op)
{
	static const char adds[] = "account.create credit debit key.create key.import key.rotate provider.add model.add rerate";
	char text[FARE_ERROR_N];
	if (c->bank->d.room == FARE_ROOM_GOOD || !word_is_in(adds, fare_span_of(op->name)))
		return true;
	fare_space_say(c->bank, text, sizeof text);
	fare_admin_fail(c, "%s", text);
	return false;
}

/* True: served or answered; false: it waits for its turn. */
static bool serve_line(struct fare_admin *c)
{
	struct fare_bank *b = c->bank;
	const struct fare_admin_op *op = request_read(c);
	if (!op || !has_room(c, op))
		return true;
	if (op->changes && b->changing) {
		if (!c->waits)
			c->waits = ++b->turns;
		return false;
	}
	c->waits = 0;
	fare_bank_now(b);
	op->serve(c);
	return true;
}

/* Serves what has come in, as far as it can be now. */
static void serve_next(struct fare_admin *c)
{
	while (!c->busy) {
		const char *end = c->in.n ? memchr(c->in.p, '\n', c->in.n) : NULL;
		if (!end)
			break;
		c->line_n = (size_t)(end - c->in.p) + 1;
		if (!serve_line(c))
			break;
	}
	if (!c->reading) /* else its buffer is the reader's */
		flush(c);
}

static void on_admin(void *arg, int fd, unsigned events)
{
	struct fare_admin *c = arg;
	char part[8192];
	if ((events & FARE_WRITE) && !flush(c))
		return;
	if (!(events & (FARE_READ | FARE_CLOSED)))
		return;
	ssize_t n = recv(fd, part, sizeof part, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || !fare_buf_add(&c->in, part, (size_t)n)) {
		admin_gone(c);
		return;
	}
	serve_next(c);
}

static bool may_come_in(int fd)
{
	uid_t uid;
	pid_t pid;
	return fare_peer_uid(fd, &uid, &pid) && (uid == 0 || uid == geteuid());
}

static void on_admin_listen(void *arg, int listen_fd, unsigned events)
{
	struct fare_bank *b = arg;
	(void)events;
	for (;;) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		if (b->admin_count >= FARE_ADMIN_CLIENTS_MAX || b->stopping || !may_come_in(fd)) {
			close(fd);
			continue;
		}
		struct fare_admin *c = fare_alloc(sizeof *c);
		*c = (struct fare_admin){.bank = b, .fd = fd, .next = b->admins, .prev = &b->admins};
		fare_buf_init(&c->in, FARE_ADMIN_LINE_MAX + 8192);
		fare_buf_init(&c->out, OUT_MAX);
		if (c->next)
			c->next->prev = &c->next;
		b->admins = c;
		b->admin_count++;
		c->watch = fare_watch_new(b->loop, fd, FARE_READ, on_admin, c);
	}
}

bool fare_admin_open(struct fare_bank *b)
{
	char path[FARE_PATH_N];
	if (!fare_path(path, sizeof path, b->conf.run, FARE_ADMIN_SOCKET))
		return false;
	b->admin_fd = fare_unix_listen(path, SOCK_STREAM, 0600, BACKLOG);
	if (b->admin_fd < 0) {
		fare_log(FARE_ALARM, "%s: %s", path, strerror(errno));
		return false;
	}
	b->admin_watch = fare_watch_new(b->loop, b->admin_fd, FARE_READ, on_admin_listen, b);
	return true;
}

void fare_admin_close(struct fare_bank *b)
{
	fare_watch_free(&b->admin_watch);
	if (b->admin_fd >= 0)
		close(b->admin_fd);
	b->admin_fd = -1;
	/* Connections end with the process: who reads their end knows that the bank has left, lock and all. */
}

/* ---- Readers */

static struct fare_admin *admin_of(struct fare_reading *r) { return (struct fare_admin *)(void *)((char *)r - offsetof(struct fare_admin, scan)); }

static void read_it(struct fare_reading *r)
{
	struct fare_admin *c = admin_of(r);
	c->read(c);
}

static void read_back(struct fare_reading *r)
{
	struct fare_admin *c = admin_of(r);
	c->reading = false;
	if (c->out.failed) {
		line_done(c);
		admin_gone(c);
		return;
	}
	if (c->read_failed)
		fare_admin_fail(c, "the store cannot be read: see the bank's log");
	else if (c->bad)
		fare_admin_fail(c, "%s", c->error);
	else if (c->then)
		c->then(c);
	else
		fare_admin_ok(c, c->more);
	serve_next(c);
}

/* The connection is the reader's until it comes back. */
void fare_admin_read(struct fare_admin *c, void (*fn)(struct fare_admin *)) { fare_admin_read_then(c, fn, NULL); }

void fare_admin_read_then(struct fare_admin *c, void (*fn)(struct fare_admin *), void (*then)(struct fare_admin *))
{
	c->busy = c->reading = true;
	c->read = fn;
	c->then = then;
	c->read_failed = false;
	c->more = "";
	c->scan.read = read_it;
	c->scan.back = read_back;
	fare_watch_set(c->watch, 0);
	fare_read(c->bank, &c->scan);
}

/* Only its own reader waits for a client that does not read; not for long, and not when the bank leaves. */
static bool wait_writable(struct fare_admin *c)
{
	struct fare_readers *r = &c->bank->readers;
	struct pollfd p = {.fd = c->fd, .events = POLLOUT};
	for (int waited = 0; waited < PUSH_WAIT_MS; waited += PUSH_LOOK_MS) {
		if (poll(&p, 1, PUSH_LOOK_MS) > 0)
			return true;
		pthread_mutex_lock(&r->lock);
		bool stopping = r->stopping;
		pthread_mutex_unlock(&r->lock);
		if (stopping)
			return false;
	}
	return false;
}

bool fare_admin_push(struct fare_admin *c)
{
	size_t done = 0;
	if (c->out.failed)
		return false;
	if (c->out.n < PUSH_AT)
		return true;
	while (done < c->out.n) {
		ssize_t n = send(c->fd, c->out.p + done, c->out.n - done, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		bool again = n < 0 && (errno == EAGAIN || errno == EINTR) && wait_writable(c);
		if (!again) {
			c->out.failed = true;
			return false;
		}
	}
	fare_buf_reset(&c->out);
	return true;
}
