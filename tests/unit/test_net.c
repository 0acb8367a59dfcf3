/* Transfers, against a server that behaves and misbehaves by path. */
#include "unit.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/loop.h"
#include "net/net.h"

enum { GUARD_MS = 30000, BIG = 4 * 1024 * 1024 };

/* ---- A name look-up that hangs until it is let go; libcurl finds this one before the C library's. */
static atomic_bool lookup_hangs, lookup_began;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (node && strcmp(node, "hangs.test") == 0) {
		atomic_store(&lookup_began, true);
		while (atomic_load(&lookup_hangs))
			poll(NULL, 0, 5);
		return EAI_NONAME;
	}
	return real(node, service, hints, res);
}

/* ---- The server */
static int server_fd;
static unsigned server_port;
static char server_saw[8192]; /* the last request with its body; read only when no request runs */
static pthread_mutex_t saw_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int server_requests;

static void put(int fd, const char *text)
{
	size_t n = strlen(text);
	assert_true(send(fd, text, n, MSG_NOSIGNAL) == (ssize_t)n || n > 0);
}

/* Until the end of headers and the body that Content-Length says. */
static bool take(int fd, char *to, size_t size)
{
	size_t n = 0;
	for (;;) {
		ssize_t k = recv(fd, to + n, size - 1 - n, 0);
		if (k <= 0)
			return false;
		n += (size_t)k;
		to[n] = 0;
		const char *end = strstr(to, "\r\n\r\n"), *length = strstr(to, "Content-Length: ");
		if (end && n >= (size_t)(end + 4 - to) + (length && length < end ? (size_t)atol(length + 16) : 0))
			return true;
	}
}

static void wait_for_close(int fd)
{
	char trash[4096];
	while (recv(fd, trash, sizeof trash, 0) > 0)
		;
}

static void answer_big(int fd)
{
	char block[4096];
	memset(block, 'b', sizeof block);
	char head[128];
	snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", BIG);
	put(fd, head);
	for (int i = 0; i < BIG / (int)sizeof block; i++)
		if (send(fd, block, sizeof block, MSG_NOSIGNAL) <= 0)
			return;
}

/* True: the connection is kept. */
static bool answer(int fd, const char *req, int nth)
{
	char path[64] = "";
	sscanf(req, "%*s %63s", path);
	if (strcmp(path, "/ok") == 0) {
		put(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Two: a\r\nX-Two:  b \r\nContent-Length: 5\r\n\r\nhello");
		return true;
	}
	if (strcmp(path, "/early") == 0) {
		put(fd, "HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\nHTTP/1.1 429 Too Many\r\nRetry-After: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n");
		return true;
	}
	if (strcmp(path, "/once") == 0 && nth == 0) {
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
		return true;
	}
	if (strcmp(path, "/big") == 0)
		answer_big(fd);
	else if (strcmp(path, "/silent") == 0)
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
	else if (strcmp(path, "/cut") == 0)
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
	else if (strcmp(path, "/garbage") == 0)
		put(fd, "I am no web server\n");
	else if (strcmp(path, "/endless") == 0) {
		put(fd, "HTTP/1.1 200 OK\r\n");
		while (send(fd, "X-More: and more\r\n", 18, MSG_NOSIGNAL) == 18)
			;
	} else if (strcmp(path, "/longline") == 0) {
		put(fd, "HTTP/1.1 200 OK\r\nX-Long: ");
		while (send(fd, "0123456789", 10, MSG_NOSIGNAL) == 10)
			;
	} else if (strcmp(path, "/drip") == 0) {
		put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n");
		for (int i = 0; i < 6; i++) {
			poll(NULL, 0, 100);
			put(fd, "d");
		}
	}
	if (strcmp(path, "/silent") == 0 || strcmp(path, "/stall") == 0)
		wait_for_close(fd);
	return false;
}

static void *serve_one(void *arg)
{
	int fd = (int)(intptr_t)arg, nth = 0;
	char req[8192];
	while (take(fd, req, sizeof req)) {
		pthread_mutex_lock(&saw_lock);
		memcpy(server_saw, req, sizeof req);
		pthread_mutex_unlock(&saw_lock);
		atomic_fetch_add(&server_requests, 1);
		if (strncmp(req, "POST /rst", 9) == 0 || strncmp(req, "GET /rst", 8) == 0) {
			struct linger now = {.l_onoff = 1};
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
			break;
		}
		if (!answer(fd, req, nth++))
			break;
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

static int start_server(void **state)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	pthread_t t;
	(void)state;
	unsetenv("http_proxy");
	server_fd = socket(AF_INET, SOCK_STREAM, 0);
	return bind(server_fd, (struct sockaddr *)&a, sizeof a) || listen(server_fd, 64) || getsockname(server_fd, (struct sockaddr *)&a, &n) ||
	       (server_port = ntohs(a.sin_port), 0) || pthread_create(&t, NULL, serve, NULL);
}

/* ---- The client */
static struct fare_loop *loop;
static struct fare_net *net;
static struct fare_timer *guard;
static int running;

struct seen {
	int status, dones;
	enum fare_net_result result;
	struct fare_buf body;
	struct fare_transfer *t;
	char type[64], two[16], retry[16];
	bool sent, aborts_at_data;
	int pauses; /* still to make */
	size_t at_pause;
	struct fare_timer *resume;
};

static void on_guard(void *arg)
{
	(void)arg;
	fail_msg("nothing came of it");
}

static void on_sent(void *arg) { ((struct seen *)arg)->sent = true; }

static void on_head(void *arg, int status)
{
	struct seen *s = arg;
	s->status = status;
	assert_true(fare_span_copy(fare_transfer_header(s->t, "content-type"), s->type, sizeof s->type));
	assert_true(fare_span_copy(fare_transfer_header(s->t, "x-two"), s->two, sizeof s->two));
	assert_true(fare_span_copy(fare_transfer_header(s->t, "Retry-After"), s->retry, sizeof s->retry));
	assert_null(fare_transfer_header(s->t, "x-early").p);
}

static void on_resume(void *arg)
{
	struct seen *s = arg;
	assert_int_equal(s->body.n, s->at_pause); /* nothing came while it was paused */
	fare_transfer_resume(s->t);
}

static void on_data(void *arg, const char *p, size_t n)
{
	struct seen *s = arg;
	assert_true(fare_buf_add(&s->body, p, n));
	if (s->aborts_at_data) {
		fare_transfer_abort(&s->t);
		if (--running == 0)
			fare_loop_stop(loop);
	} else if (s->pauses) {
		s->pauses--;
		s->at_pause = s->body.n;
		fare_transfer_pause(s->t);
		if (!s->resume)
			s->resume = fare_timer_new(loop, on_resume, s);
		fare_timer_set(s->resume, s->pauses ? 1 : 200);
	}
}

static void on_done(void *arg, enum fare_net_result result)
{
	struct seen *s = arg;
	s->result = result;
	s->dones++;
	s->t = NULL;
	if (s->resume)
		fare_timer_clear(s->resume);
	if (--running == 0)
		fare_loop_stop(loop);
}

static void begin(struct seen *s, const char *host, const char *path, const char *body, struct fare_net_timeouts t, uint64_t body_max)
{
	static const struct fare_net_events events = {.sent = on_sent, .head = on_head, .data = on_data, .done = on_done};
	const struct fare_net_header headers[] = {{"Content-Type", "application/json"}, {"X-Ours", "1"}};
	struct fare_span pieces[] = {fare_span_of(body), fare_span_of(body ? "+tail" : NULL)};
	char url[128];
	snprintf(url, sizeof url, "http://%s:%u%s", host, server_port, path);
	struct fare_net_request r = {.url = url, .post = body != NULL, .headers = headers, .header_count = 2, .body = pieces, .body_count = body ? 2 : 0, .timeouts = t, .body_max = body_max};
	fare_buf_init(&s->body, 2 * BIG);
	running++;
	s->t = fare_net_start(net, &r, &events, s);
	assert_int_equal(s->dones, 0);
}

#define LONG ((struct fare_net_timeouts){20000, 20000, 20000, 20000})

static void run(void)
{
	fare_timer_set(guard, GUARD_MS);
	fare_loop_run(loop);
	fare_timer_clear(guard);
}

static struct seen get(const char *path, struct fare_net_timeouts t, uint64_t body_max)
{
	struct seen s = {0};
	begin(&s, "127.0.0.1", path, "{}", t, body_max);
	run();
	return s;
}

static int client_new(void **state)
{
	struct fare_net_settings settings = {.connections_max = 16};
	(void)state;
	loop = fare_loop_new();
	net = fare_net_new(loop, &settings);
	guard = fare_timer_new(loop, on_guard, NULL);
	running = 0;
	return !loop || !net;
}

static int client_free(void **state)
{
	(void)state;
	fare_net_free(&net);
	fare_timer_free(&guard);
	fare_loop_free(&loop);
	return 0;
}

static void test_whole(void **state)
{
	(void)state;
	struct seen s = get("/ok", LONG, 0);
	assert_int_equal(s.result, FARE_NET_OK);
	assert_int_equal(s.dones, 1);
	assert_int_equal(s.status, 200);
	assert_true(s.sent);
	assert_string_equal(fare_buf_cstr(&s.body), "hello");
	assert_string_equal(s.type, "text/plain");
	assert_string_equal(s.two, "b"); /* the last one */
	assert_non_null(strstr(server_saw, "POST /ok HTTP/1.1\r\n"));
	assert_non_null(strstr(server_saw, "\r\nX-Ours: 1\r\n"));
	assert_non_null(strstr(server_saw, "\r\n\r\n{}+tail"));
	assert_null(strcasestr(server_saw, "\r\nExpect:"));
	assert_null(strcasestr(server_saw, "\r\nAccept-Encoding:"));
	fare_buf_release(&s.body);
}

static void test_early_hints_and_chunks(void **state)
{
	(void)state;
	struct seen s = get("/early", LONG, 0);
	assert_int_equal(s.result, FARE_NET_OK);
	assert_int_equal(s.status, 429);
	assert_string_equal(s.retry, "3");
	assert_string_equal(fare_buf_cstr(&s.body), "abc");
	fare_buf_release(&s.body);
}

static void test_misbehaviour(void **state)
{
	static const struct { const char *path; enum fare_net_result result; } cases[] = {
		{"/rst", FARE_NET_RESET}, {"/gone", FARE_NET_RESET}, {"/cut", FARE_NET_RESET}, {"/garbage", FARE_NET_GARBAGE},
		{"/endless", FARE_NET_HEAD_TOO_LARGE}, {"/longline", FARE_NET_HEAD_TOO_LARGE},
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(cases); i++) {
		struct seen s = get(cases[i].path, LONG, 0);
		if (s.result != cases[i].result)
			fail_msg("%s: %s", cases[i].path, fare_net_result_text(s.result));
		assert_int_equal(s.dones, 1);
		fare_buf_release(&s.body);
	}
}

static void test_refused_and_unknown(void **state)
{
	struct seen s = {0};
	unsigned port = server_port;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof a;
	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0); /* bound, never listening: refuses */
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	server_port = ntohs(a.sin_port);
	begin(&s, "127.0.0.1", "/ok", NULL, LONG, 0);
	run();
	server_port = port;
	close(fd);
	assert_int_equal(s.result, FARE_NET_CONNECT);
	fare_buf_release(&s.body);

	struct seen u = {0};
	begin(&u, "hangs.test", "/ok", NULL, LONG, 0);
	run();
	assert_int_equal(u.result, FARE_NET_RESOLVE);
	fare_buf_release(&u.body);

	struct seen m = {0};
	begin(&m, "bad host name", "/ok", NULL, LONG, 0);
	run();
	assert_int_equal(m.result, FARE_NET_INTERNAL);
	fare_buf_release(&m.body);
}

static void test_timeouts(void **state)
{
	(void)state;
	struct seen s = get("/stall", (struct fare_net_timeouts){20000, 300, 20000, 20000}, 0);
	assert_int_equal(s.result, FARE_NET_FIRST_BYTE_TIMEOUT);
	fare_buf_release(&s.body);
	s = get("/silent", (struct fare_net_timeouts){20000, 20000, 300, 20000}, 0);
	assert_int_equal(s.result, FARE_NET_IDLE_TIMEOUT);
	assert_string_equal(fare_buf_cstr(&s.body), "part");
	fare_buf_release(&s.body);
	s = get("/drip", (struct fare_net_timeouts){20000, 20000, 20000, 250}, 0);
	assert_int_equal(s.result, FARE_NET_TOTAL_TIMEOUT);
	fare_buf_release(&s.body);
	s = get("/drip", (struct fare_net_timeouts){20000, 20000, 5000, 20000}, 0); /* drops within the idle time */
	assert_int_equal(s.result, FARE_NET_OK);
	assert_string_equal(fare_buf_cstr(&s.body), "dddddd");
	fare_buf_release(&s.body);
}

static void test_body_max(void **state)
{
	(void)state;
	struct seen s = get("/big", LONG, 100000);
	assert_int_equal(s.result, FARE_NET_BODY_TOO_LARGE);
	assert_true(s.body.n <= 100000);
	fare_buf_release(&s.body);
}

static void test_pause(void **state)
{
	struct seen s = {.pauses = 100};
	(void)state;
	begin(&s, "127.0.0.1", "/big", "{}", (struct fare_net_timeouts){20000, 20000, 150, 20000}, 0); /* a pause is no silence */
	run();
	assert_int_equal(s.result, FARE_NET_OK);
	assert_int_equal(s.body.n, BIG);
	assert_int_equal(s.pauses, 0);
	fare_timer_free(&s.resume);
	fare_buf_release(&s.body);
}

/* Nothing may wait for a caller who pauses: the first piece that does ends it, and no other transfer. */
static void test_unread(void **state)
{
	struct fare_net_settings settings = {.connections_max = 16, .held_max = 1};
	struct seen s = {.pauses = 1}, other = {0};
	(void)state;
	fare_net_free(&net);
	net = fare_net_new(loop, &settings);
	begin(&s, "127.0.0.1", "/big", "{}", LONG, 0);
	begin(&other, "127.0.0.1", "/big", "{}", LONG, 0);
	run();
	assert_int_equal(s.result, FARE_NET_UNREAD);
	assert_int_equal(s.body.n, s.at_pause);
	assert_int_equal(other.result, FARE_NET_OK);
	assert_int_equal(other.body.n, BIG);
	fare_timer_free(&s.resume);
	fare_buf_release(&s.body);
	fare_buf_release(&other.body);
}

static void test_abort_within_data(void **state)
{
	struct seen s = {.aborts_at_data = true};
	(void)state;
	begin(&s, "127.0.0.1", "/big", "{}", LONG, 0);
	run();
	assert_int_equal(s.dones, 0);
	assert_null(s.t);
	fare_buf_release(&s.body);
	s = get("/ok", LONG, 0); /* the loop goes on */
	assert_int_equal(s.result, FARE_NET_OK);
	fare_buf_release(&s.body);
}

/* A kept connection that dies once it has the whole request: told, not sent again. */
static void test_no_second_delivery(void **state)
{
	(void)state;
	struct seen s = get("/once", LONG, 0);
	assert_int_equal(s.result, FARE_NET_OK);
	fare_buf_release(&s.body);
	int before = atomic_load(&server_requests);
	s = get("/once", LONG, 0);
	assert_int_equal(s.result, FARE_NET_RESET);
	assert_int_equal(atomic_load(&server_requests), before + 1);
	fare_buf_release(&s.body);
}

/* A name look-up that hangs: its own call times out, a running one is not delayed, and the loop does not wait for the resolver. */
static void test_slow_lookup(void **state)
{
	struct seen slow = {0}, stream = {0};
	(void)state;
	atomic_store(&lookup_hangs, true);
	begin(&slow, "hangs.test", "/ok", NULL, (struct fare_net_timeouts){200, 20000, 20000, 20000}, 0);
	begin(&stream, "127.0.0.1", "/drip", "{}", LONG, 0);
	run();
	assert_true(atomic_load(&lookup_began));
	assert_int_equal(slow.result, FARE_NET_CONNECT_TIMEOUT);
	assert_int_equal(stream.result, FARE_NET_OK);
	assert_string_equal(fare_buf_cstr(&stream.body), "dddddd");
	atomic_store(&lookup_hangs, false); /* only now: both ended while it hung */
	fare_buf_release(&slow.body);
	fare_buf_release(&stream.body);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, client_new, client_free)
	const struct CMUnitTest tests[] = {
		T(test_whole), T(test_early_hints_and_chunks), T(test_misbehaviour), T(test_refused_and_unknown), T(test_timeouts), T(test_body_max), T(test_pause), T(test_unread),
		T(test_abort_within_data), T(test_no_second_delivery), T(test_slow_lookup),
	};
	return cmocka_run_group_tests(tests, start_server, NULL);
}
