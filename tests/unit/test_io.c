/* The FastCGI side, spoken to over a socket pair. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../fcgi/io.h"
#include "base/buf.h"
#include "base/num.h"

enum { BEGIN = 1, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6 };

static int web, app; /* the two ends */

static int pair_open(void **state)
{
	int fds[2];
	(void)state;
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
		return -1;
	web = fds[0];
	app = fds[1];
	return 0;
}

static int pair_close(void **state)
{
	(void)state;
	close(web);
	return 0;
}

static void record(uint8_t type, const void *p, size_t n)
{
	uint8_t head[8] = {1, type, 0, 7};
	fare_put_u16(head + 4, (uint16_t)n);
	assert_int_equal(write(web, head, 8), 8);
	assert_int_equal(write(web, p, n), n);
}

static void param(const char *name, const char *value)
{
	uint8_t p[256];
	size_t a = strlen(name), b = strlen(value);
	p[0] = (uint8_t)a;
	p[1] = (uint8_t)b;
	memcpy(p + 2, name, a);
	memcpy(p + 2 + a, value, b);
	record(PARAMS, p, 2 + a + b);
}

static void request(const char *length)
{
	static const uint8_t responder[8] = {0, 1};
	record(BEGIN, responder, 8);
	param("REQUEST_METHOD", "POST");
	param("REQUEST_URI", "/v1/x");
	if (length)
		param("CONTENT_LENGTH", length);
	record(PARAMS, "", 0);
}

static struct fare_io *begin(void)
{
	struct fare_io *io = fare_io_begin(app);
	assert_non_null(io);
	return io;
}

/* At each record but the last, something is still to come. */
static void test_whole(void **state)
{
	static const uint8_t responder[8] = {0, 1}, filter[8] = {0, 3};
	(void)state;
	assert_false(fare_io_is_whole(app));
	record(BEGIN, responder, 8);
	assert_false(fare_io_is_whole(app));
	param("REQUEST_METHOD", "POST");
	assert_false(fare_io_is_whole(app));
	record(PARAMS, "", 0);
	assert_false(fare_io_is_whole(app));
	record(STDIN, "body", 4);
	assert_false(fare_io_is_whole(app));
	record(STDIN, "", 0);
	assert_true(fare_io_is_whole(app));
	struct fare_io *io = fare_io_begin(app);
	assert_non_null(io);
	fare_io_ops.discard(io);
	fare_io_ops.close(io);
	const struct { const uint8_t *begin; uint8_t first, second; } not_so[] = {{filter, PARAMS, STDIN}, {responder, STDIN, PARAMS}, {responder, STDIN, STDIN}};
	for (size_t i = 0; i < FARE_ARRAY_N(not_so); i++) {
		int pair[2];
		close(web);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		web = pair[1];
		record(BEGIN, not_so[i].begin, 8);
		record(not_so[i].first, "", 0);
		record(not_so[i].second, "", 0);
		assert_false(fare_io_is_whole(pair[0]));
		close(pair[0]);
	}
}

static struct fare_budget budget;
static enum fare_body_end read_body(struct fare_io *io, size_t max, struct fare_body *out)
{
	struct fare_body_limits l = {.max = max, .budget = &budget};
	return fare_io_ops.read(io, &l, out);
}

static void body_free(struct fare_body *b)
{
	fare_budget_give(&budget, b->taken);
	fare_buf_release(&b->bytes);
}

/* What the other side got, record by record: STDOUT's content; ended when the request was. */
static bool got(int fd, struct fare_buf *out)
{
	for (;;) {
		uint8_t head[8];
		char content[65536];
		ssize_t k = recv(fd, head, 8, MSG_WAITALL);
		if (k <= 0)
			return false;
		assert_int_equal(k, 8);
		assert_int_equal(fare_get_u16(head + 2), 7);
		size_t n = fare_get_u16(head + 4);
		if (n)
			assert_int_equal(recv(fd, content, n, MSG_WAITALL), n);
		if (head[1] == END)
			return true;
		assert_int_equal(head[1], STDOUT);
		assert_true(fare_buf_add(out, content, n));
	}
}

static void test_request_and_answer(void **state)
{
	struct fare_body body;
	struct fare_buf out;
	(void)state;
	budget = (struct fare_budget){.max = 1000000};
	fare_buf_init(&out, 1000);
	request("11");
	record(STDIN, "hello ", 6);
	record(STDIN, "world", 5);
	record(STDIN, "", 0);
	struct fare_io *io = begin();
	assert_string_equal(fare_io_ops.param(io, "REQUEST_URI"), "/v1/x");
	assert_null(fare_io_ops.param(io, "HTTP_X"));
	size_t count = 0;
	while (fare_io_ops.param_at(io, count))
		count++;
	assert_int_equal(count, 4); /* with libfcgi's FCGI_ROLE */
	assert_int_equal(read_body(io, 100, &body), FARE_BODY_WHOLE);
	assert_string_equal(fare_buf_cstr(&body.bytes), "hello world");
	assert_true(body.taken >= 11);
	body_free(&body);
	assert_int_equal(atomic_load(&budget.used), 0);
	fare_io_ops.detach(io);
	assert_null(fare_io_ops.param(io, "REQUEST_URI"));
	assert_int_equal(fare_io_ops.write(io, "Status: 200 OK\r\n\r\n", 18, false), 18);
	assert_int_equal(fare_io_ops.write(io, "body", 4, false), 4);
	assert_int_equal(fare_io_ops.finish(io), 1);
	fare_io_ops.close(io);
	assert_true(got(web, &out));
	assert_string_equal(fare_buf_cstr(&out), "Status: 200 OK\r\n\r\nbody");
	fare_buf_release(&out);
}

static void test_body_without_length(void **state)
{
	struct fare_body body;
	(void)state;
	budget = (struct fare_budget){.max = 1000000};
	request(NULL);
	for (int i = 0; i < 3; i++)
		record(STDIN, "0123456789", 10);
	record(STDIN, "", 0);
	struct fare_io *io = begin();
	assert_int_equal(read_body(io, 30, &body), FARE_BODY_WHOLE);
	assert_int_equal(body.bytes.n, 30);
	body_free(&body);
	fare_io_ops.close(io);
}

/* An answer given after the input was discarded arrives whole. */
static void refused(struct fare_io *io)
{
	struct fare_buf out;
	fare_buf_init(&out, 1000);
	fare_io_ops.discard(io);
	assert_int_equal(fare_io_ops.write(io, "no", 2, false), 2);
	assert_int_equal(fare_io_ops.finish(io), 1);
	fare_io_ops.close(io);
	assert_true(got(web, &out));
	assert_string_equal(fare_buf_cstr(&out), "no");
	fare_buf_release(&out);
}

static void test_too_large(void **state)
{
	struct fare_body body;
	(void)state;
	budget = (struct fare_budget){.max = 1000000};
	request("31");
	record(STDIN, "0123456789012345678901234567890", 31);
	record(STDIN, "", 0);
	struct fare_io *io = begin();
	assert_int_equal(read_body(io, 30, &body), FARE_BODY_TOO_LARGE);
	body_free(&body);
	refused(io);
}

static void test_too_large_without_length(void **state)
{
	struct fare_body body;
	(void)state;
	budget = (struct fare_budget){.max = 1000000};
	request(NULL);
	record(STDIN, "0123456789012345678901234567890", 31);
	record(STDIN, "", 0);
	struct fare_io *io = begin();
	assert_int_equal(read_body(io, 30, &body), FARE_BODY_TOO_LARGE);
	body_free(&body);
	refused(io);
}

static void test_no_room(void **state)
{
	struct fare_body body;
	(void)state;
	budget = (struct fare_budget){.max = 20};
	request("30");
	record(STDIN, "012345678901234567890123456789", 30);
	record(STDIN, "", 0);
	struct fare_io *io = begin();
	assert_int_equal(read_body(io, 100, &body), FARE_BODY_NO_ROOM);
	body_free(&body);
	assert_int_equal(atomic_load(&budget.used), 0);
	refused(io);
}

/* A large body that was promised takes no more of the budget than what came calls for. */
static void *promise(void *arg)
{
	(void)arg;
	poll(NULL, 0, 100);
	assert_true(atomic_load(&budget.used) < 200000);
	shutdown(web, SHUT_WR);
	return NULL;
}

static void test_promised_length(void **state)
{
	struct fare_body body;
	pthread_t t;
	(void)state;
	budget = (struct fare_budget){.max = 1000000};
	request("900000");
	record(STDIN, "0123", 4);
	struct fare_io *io = begin();
	assert_int_equal(pthread_create(&t, NULL, promise, NULL), 0);
	assert_int_equal(read_body(io, 1000000, &body), FARE_BODY_GONE);
	assert_int_equal(pthread_join(t, NULL), 0);
	body_free(&body);
	fare_io_ops.close(io);
}

static void test_large_body(void **state)
{
	enum { N = 150000 };
	struct fare_body body;
	char *text = malloc(N);
	(void)state;
	for (size_t i = 0; i < N; i++)
		text[i] = (char)('a' + i % 23);
	budget = (struct fare_budget){.max = N + 1};
	request("150000");
	for (size_t at = 0; at < N; at += 50000)
		record(STDIN, text + at, 50000);
	record(STDIN, "", 0);
	struct fare_io *io = begin();
	assert_int_equal(read_body(io, N, &body), FARE_BODY_WHOLE);
	assert_int_equal(body.bytes.n, N);
	assert_memory_equal(body.bytes.p, text, N);
	body_free(&body);
	assert_int_equal(atomic_load(&budget.used), 0);
	fare_io_ops.close(io);
	free(text);
}

static void test_left_while_reading(void **state)
{
	struct fare_body body;
	(void)state;
	budget = (struct fare_budget){.max = 1000};
	request("30");
	record(STDIN, "0123", 4);
	shutdown(web, SHUT_WR);
	struct fare_io *io = begin();
	assert_int_equal(read_body(io, 100, &body), FARE_BODY_GONE);
	body_free(&body);
	fare_io_ops.close(io);
}

static void test_no_request(void **state)
{
	(void)state;
	assert_int_equal(write(web, "GET / HTTP/1.0\r\n\r\n", 18), 18);
	shutdown(web, SHUT_WR);
	assert_null(fare_io_begin(app));
}

/* A reader that does not read: writes take part of what is offered, never block, and nothing is lost or doubled. */
static void *slow_reader(void *arg)
{
	struct fare_buf *out = arg;
	poll(NULL, 0, 100);
	return (void *)(intptr_t)got(web, out);
}

static void test_full(void **state)
{
	enum { N = 3000000 };
	char *text = malloc(N);
	struct fare_body body;
	struct fare_buf out;
	pthread_t t;
	void *ended;
	(void)state;
	for (size_t i = 0; i < N; i++)
		text[i] = (char)('a' + i % 23);
	budget = (struct fare_budget){.max = 1000};
	fare_buf_init(&out, N);
	request("0");
	record(STDIN, "", 0);
	struct fare_io *io = begin();
	assert_int_equal(read_body(io, 100, &body), FARE_BODY_WHOLE);
	body_free(&body);
	fare_io_ops.detach(io);
	size_t at = 0;
	bool was_full = false;
	assert_int_equal(pthread_create(&t, NULL, slow_reader, &out), 0);
	while (at < N) {
		/* Offered in ever other sizes, as a relay does. */
		size_t offer = at % 7 ? 100000 : 5000;
		ssize_t n = fare_io_ops.write(io, text + at, N - at < offer ? N - at : offer, N - at <= offer);
		assert_true(n >= 0);
		at += (size_t)n;
		if (n == 0) {
			struct pollfd w = {.fd = fare_io_ops.fd(io), .events = POLLOUT};
			was_full = true;
			poll(&w, 1, 1000);
		}
	}
	int done;
	while ((done = fare_io_ops.finish(io)) == 0)
		poll(NULL, 0, 5);
	assert_int_equal(done, 1);
	fare_io_ops.close(io);
	assert_int_equal(pthread_join(t, &ended), 0);
	assert_true(was_full && ended);
	assert_int_equal(out.n, N);
	assert_memory_equal(out.p, text, N);
	fare_buf_release(&out);
	free(text);
}

static void test_gone_while_writing(void **state)
{
	struct fare_body body;
	(void)state;
	budget = (struct fare_budget){.max = 1000};
	request("0");
	record(STDIN, "", 0);
	struct fare_io *io = begin();
	assert_int_equal(read_body(io, 100, &body), FARE_BODY_WHOLE);
	body_free(&body);
	shutdown(web, SHUT_RDWR);
	assert_int_equal(fare_io_ops.write(io, "x", 1, false), -1);
	assert_int_equal(fare_io_ops.finish(io), -1);
	fare_io_ops.close(io);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, pair_open, pair_close)
	const struct CMUnitTest tests[] = {
		T(test_whole), T(test_request_and_answer), T(test_body_without_length), T(test_too_large), T(test_too_large_without_length), T(test_no_room),
		T(test_left_while_reading), T(test_promised_length), T(test_large_body), T(test_no_request), T(test_full), T(test_gone_while_writing),
	};
	if (!fare_io_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
