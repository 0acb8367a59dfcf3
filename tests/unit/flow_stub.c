/* Stubs around the flow. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flow_stub.h"

enum { TRIES = 2000, TRY_MS = 5 };

struct stub_link_answer stub_link;
struct fare_loop *stub_link_loop;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char notes[4096], notes_copy[4096];
static struct fare_usage last_usage;
static unsigned generation = 1; /* of the notes */
static _Thread_local unsigned born; /* an upstream's: a late word of it is no note on the next call */

void stub_link_reset(const char *base_url)
{
	struct fare_grant *g = &stub_link.answer.grant;
	memset(&stub_link, 0, sizeof stub_link);
	pthread_mutex_lock(&lock);
	notes[0] = 0;
	generation++;
	last_usage = (struct fare_usage){0};
	pthread_mutex_unlock(&lock);
	stub_link.answer.granted = true;
	g->hold.nano = FARE_NANO;
	g->price = (struct fare_price){.input = 1000 * FARE_NANO, .output = 2000 * FARE_NANO, .cache_read = -1, .cache_write = -1};
	g->bound = 100;
	g->bound_ours = true;
	g->bound_field = FARE_BOUND_MAX_TOKENS;
	g->style = FARE_STYLE_OPENAI;
	strcpy(g->upstream_model, "up-model");
	strcpy(g->provider, "stub");
	snprintf(g->base_url, sizeof g->base_url, "%s", base_url);
}

void stub_link_note(const char *word)
{
	pthread_mutex_lock(&lock);
	size_t n = strlen(notes), w = strlen(word);
	bool again = strcmp(word, "progress") == 0 && n >= w && strcmp(notes + n - w, word) == 0;
	if (!again && (!born || born == generation))
		snprintf(notes + n, sizeof notes - n, "%s%s", n ? " " : "", word);
	pthread_mutex_unlock(&lock);
}

const char *stub_link_notes(void)
{
	pthread_mutex_lock(&lock);
	memcpy(notes_copy, notes, sizeof notes);
	pthread_mutex_unlock(&lock);
	return notes_copy;
}

bool stub_link_wait(const char *word)
{
	for (int i = 0; i < TRIES; i++) {
		if (strstr(stub_link_notes(), word))
			return true;
		poll(NULL, 0, TRY_MS);
	}
	return false;
}

struct fare_usage stub_link_usage(void)
{
	pthread_mutex_lock(&lock);
	struct fare_usage u = last_usage;
	pthread_mutex_unlock(&lock);
	return u;
}

bool fare_link_down(struct fare_link *l)
{
	(void)l;
	return stub_link.down;
}

int fare_link_slot(struct fare_link *l, struct fare_id call_id)
{
	(void)l, (void)call_id;
	stub_link_note(stub_link.no_slot ? "none" : "slot");
	return stub_link.no_slot ? -1 : 3;
}

static struct { struct fare_post_node nodes[8]; unsigned node; struct fare_asking *asking; uint64_t extend; } said; /* one call at a time; the answer to one that has ended may still be on its way */

static void on_said(struct fare_post_node *node)
{
	(void)node;
	pthread_mutex_lock(&lock);
	struct fare_asking *a = said.asking;
	uint64_t extend = said.extend;
	said.asking = NULL;
	pthread_mutex_unlock(&lock);
	if (!a) /* the call has ended meanwhile */
		return;
	if (extend) {
		uint64_t held = extend < stub_link.held_max ? extend : stub_link.held_max;
		a->answer.extended = (struct fare_extended){.asked = extend, .held_output = held, .hold = {(int64_t)held}, .available = {5}};
		a->asked = stub_link.no_more ? FARE_ASKED_TIMEOUT : FARE_ASKED_ANSWERED;
		a->heard(a);
		return;
	}
	a->answer = stub_link.answer;
	a->asked = stub_link.no_answer ? FARE_ASKED_TIMEOUT : FARE_ASKED_ANSWERED;
	a->heard(a);
}

static void say(struct fare_asking *a, uint64_t extend)
{
	pthread_mutex_lock(&lock);
	struct fare_post_node *node = &said.nodes[said.node++ % FARE_ARRAY_N(said.nodes)];
	node->fn = on_said;
	said.asking = a;
	said.extend = extend;
	pthread_mutex_unlock(&lock);
	fare_loop_post(stub_link_loop, node);
}

void fare_link_ask(struct fare_link *l, int slot, const struct fare_admit *ask, struct fare_asking *a, uint64_t timeout_ms)
{
	(void)l, (void)timeout_ms;
	assert_int_equal(slot, 3);
	stub_link.asked = *ask;
	stub_link_note("admit");
	say(a, 0);
}

void fare_link_extend(struct fare_link *l, int slot, uint64_t held_output, struct fare_asking *a, uint64_t timeout_ms)
{
	char word[32];
	(void)l, (void)slot, (void)timeout_ms;
	snprintf(word, sizeof word, "extend=%llu", (unsigned long long)held_output);
	stub_link_note(word);
	say(a, held_output);
}

enum fare_asked fare_link_check(struct fare_link *l, const struct fare_admit *ask, struct fare_admit_answer *answer, uint64_t timeout_ms)
{
	(void)l, (void)ask, (void)timeout_ms;
	*answer = stub_link.answer;
	return stub_link.no_answer ? FARE_ASKED_TIMEOUT : FARE_ASKED_ANSWERED;
}

enum fare_asked fare_link_story(struct fare_link *l, const struct fare_admit *ask, struct fare_buf *story, struct fare_admit_answer *answer, uint64_t timeout_ms)
{
	stub_link_note(ask->model);
	fare_buf_add_str(story, stub_link.story ? stub_link.story : "");
	return fare_link_check(l, ask, answer, timeout_ms);
}

static struct { struct fare_post_node node; struct fare_fetch *fetch; } fetched; /* one at a time */

static void on_fetched(struct fare_post_node *node)
{
	struct fare_fetch *f = fetched.fetch;
	size_t n = strlen(stub_link.kept), at = (size_t)f->ask.part * FARE_ANSWER_PART_N;
	(void)node;
	f->asked = FARE_ASKED_ANSWERED;
	f->part = (struct fare_part){.result = FARE_PART_NONE, .total = (uint32_t)n};
	if (at < n && !(stub_link.kept_fails_at && at + FARE_ANSWER_PART_N > stub_link.kept_fails_at)) {
		f->part.result = FARE_PART_HERE;
		f->part.bytes.n = (uint32_t)(n - at < FARE_ANSWER_PART_N ? n - at : FARE_ANSWER_PART_N);
		memcpy(f->part.bytes.bytes, stub_link.kept + at, f->part.bytes.n);
	}
	f->heard(f);
}

void fare_link_fetch(struct fare_link *l, struct fare_fetch *f, uint64_t timeout_ms)
{
	(void)l, (void)timeout_ms;
	atomic_fetch_add(&stub_link.fetches, 1);
	if (f->ask.part == 0)
		stub_link_note("fetch");
	assert_true(fare_id_eq(f->ask.call_id, stub_link.answer.numbers.earlier));
	fetched.node.fn = on_fetched;
	fetched.fetch = f;
	fare_loop_post(stub_link_loop, &fetched.node);
}

char stub_kept[512 * 1024];

void fare_link_keep(struct fare_link *l, int slot, struct fare_span head, struct fare_span body)
{
	(void)l, (void)slot;
	assert_true(head.n + body.n < sizeof stub_kept);
	memcpy(stub_kept, head.p, head.n);
	if (body.n)
		memcpy(stub_kept + head.n, body.p, body.n);
	stub_kept[head.n + body.n] = 0;
	stub_link_note("keep");
}

void fare_link_void(struct fare_link *l, int slot) { (void)l, (void)slot, stub_link_note("void"); }

void fare_link_settle(struct fare_link *l, int slot)
{
	(void)l, (void)slot;
	pthread_mutex_lock(&lock);
	said.asking = NULL;
	pthread_mutex_unlock(&lock);
	stub_link_note("settle");
}

void fare_meter_sent(struct fare_link *l, int slot, uint64_t text) { (void)l, (void)slot, (void)text, stub_link_note("sent"); }
void fare_meter_progress(struct fare_link *l, int slot, uint64_t received, uint64_t text) { (void)l, (void)slot, (void)received, (void)text, stub_link_note("progress"); }

void fare_meter_answered(struct fare_link *l, int slot, int status) { (void)l, (void)slot, (void)status; }

void fare_meter_usage(struct fare_link *l, int slot, const struct fare_usage *u, bool clamped)
{
	(void)l, (void)slot, (void)clamped;
	pthread_mutex_lock(&lock);
	last_usage = *u;
	pthread_mutex_unlock(&lock);
}

void fare_meter_final(struct fare_link *l, int slot, enum fare_ending ending)
{
	char word[64];
	(void)l, (void)slot;
	snprintf(word, sizeof word, "final:%s", fare_ending_word(ending));
	stub_link_note(word);
}

/* ---- The request */

void stub_io_open(struct stub_io *io, const char *const *params, const char *body)
{
	int fds[2];
	*io = (struct stub_io){.params = params, .body = body, .end = FARE_BODY_WHOLE};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	io->app = fds[0];
	io->web = fds[1];
}

void stub_io_read(struct stub_io *io, char *out, size_t size, const char *until)
{
	size_t n = 0;
	out[0] = 0;
	while (!until || !strstr(out, until)) {
		struct pollfd w = {.fd = io->web, .events = POLLIN};
		if (poll(&w, 1, TRIES * TRY_MS) <= 0)
			fail_msg("nothing more came after: %s", out);
		ssize_t k = recv(io->web, out + n, size - 1 - n, 0);
		if (k <= 0)
			return;
		n += (size_t)k;
		out[n] = 0;
	}
}

bool stub_io_wait_closed(struct stub_io *io)
{
	for (int i = 0; i < TRIES && !atomic_load(&io->closed); i++)
		poll(NULL, 0, TRY_MS);
	return atomic_load(&io->closed);
}

static const char *io_param_at(void *p, size_t i)
{
	return ((struct stub_io *)p)->params[i];
}

static const char *io_param(void *p, const char *name)
{
	const char *v;
	for (size_t i = 0; (v = io_param_at(p, i)); i++)
		if (strncmp(v, name, strlen(name)) == 0 && v[strlen(name)] == '=')
			return v + strlen(name) + 1;
	return NULL;
}

static enum fare_body_end io_read(void *p, const struct fare_body_limits *l, struct fare_body *out)
{
	struct stub_io *io = p;
	fare_buf_init(&out->bytes, l->max);
	io->was_read = io->end == FARE_BODY_WHOLE;
	out->taken = strlen(io->body);
	assert_true(fare_budget_take(l->budget, out->taken));
	assert_true(fare_buf_add_str(&out->bytes, io->body));
	return io->end;
}

static void io_discard(void *p) { atomic_store(&((struct stub_io *)p)->discarded, true); }
static void io_detach(void *p) { ((struct stub_io *)p)->params = NULL; }
static int io_fd(void *p) { return ((struct stub_io *)p)->app; }

static ssize_t io_write(void *p, const char *bytes, size_t n, bool last)
{
	(void)last;
	ssize_t k = send(((struct stub_io *)p)->app, bytes, n < 16384 ? n : 16384, MSG_DONTWAIT | MSG_NOSIGNAL);
	return k >= 0 ? k : errno == EAGAIN ? 0 : -1;
}

static int io_finish(void *p)
{
	atomic_store(&((struct stub_io *)p)->finished, true);
	return 1;
}

static void io_close(void *p)
{
	struct stub_io *io = p;
	close(io->app);
	atomic_store(&io->closed, true);
}

const struct fare_io_ops stub_io_ops = {
	.param = io_param, .param_at = io_param_at, .read = io_read, .discard = io_discard, .detach = io_detach,
	.fd = io_fd, .write = io_write, .finish = io_finish, .close = io_close,
};

/* ---- The upstream */

static stub_script *upstream_script;
char stub_upstream_saw[65536];
static int server_fd;

void stub_upstream_does(stub_script *script)
{
	pthread_mutex_lock(&lock);
	upstream_script = script;
	pthread_mutex_unlock(&lock);
}

static bool request_take(int fd)
{
	size_t n = 0;
	char *to = stub_upstream_saw;
	for (;;) {
		ssize_t k = recv(fd, to + n, sizeof stub_upstream_saw - 1 - n, 0);
		if (k <= 0)
			return false;
		n += (size_t)k;
		to[n] = 0;
		const char *end = strstr(to, "\r\n\r\n"), *length = strstr(to, "Content-Length: ");
		if (end && length && n >= (size_t)(end + 4 - to) + (size_t)atol(length + 16))
			return true;
	}
}

static void *serve_one(void *arg)
{
	int fd = (int)(intptr_t)arg;
	if (request_take(fd)) {
		pthread_mutex_lock(&lock);
		born = generation;
		stub_script *script = upstream_script;
		pthread_mutex_unlock(&lock);
		stub_link_note("request");
		script(fd);
	}
	close(fd);
	return NULL;
}

static void *serve(void *arg)
{
	(void)arg;
	for (int fd; (fd = accept(server_fd, NULL, NULL)) >= 0;) {
		pthread_t t;
		assert_int_equal(pthread_create(&t, NULL, serve_one, (void *)(intptr_t)fd), 0);
		pthread_detach(t);
	}
	return NULL;
}

unsigned stub_upstream_start(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	pthread_t t;
	server_fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(server_fd, (struct sockaddr *)&a, sizeof a), 0);
	assert_int_equal(listen(server_fd, 16), 0);
	assert_int_equal(getsockname(server_fd, (struct sockaddr *)&a, &n), 0);
	assert_int_equal(pthread_create(&t, NULL, serve, NULL), 0);
	return ntohs(a.sin_port);
}
