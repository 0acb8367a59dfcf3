/* For tests of the flow: a gate of their own, what upstreams may do, whole calls in one line each. */
#ifndef FARE_TESTS_FLOW_KIT_H
#define FARE_TESTS_FLOW_KIT_H

#include "unit.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "flow/gate.h"
#include "flow/relay.h"
#include "flow/secrets.h"
#include "flow_stub.h"

static struct fare_conf conf;
static struct fare_gate gate;
static char base_url[64], answer[1 << 20];

static const char *const params[] = {
	"REQUEST_METHOD=POST", "REQUEST_URI=/v1/chat/completions", "CONTENT_TYPE=application/json", "REMOTE_ADDR=192.0.2.7", "HTTP_AUTHORIZATION=Bearer key-of-a-caller", "CONTENT_LENGTH=80", NULL,
};
static const char plain[] = "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}";
static const char streamed[] = "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}";

#define SSE_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Accel-Redirect: /secret\r\nSet-Cookie: a=b\r\n\r\n"
#define CHUNK(text) "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"model\":\"up-model\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" text "\"},\"finish_reason\":null}]}\n\n"
#define STOP "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"model\":\"up-model\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"model\":\"up-model\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5,\"total_tokens\":12}}\n\n"
#define DONE "data: [DONE]\n\n"

static inline void put(int fd, const char *text)
{
	ssize_t n = send(fd, text, strlen(text), MSG_NOSIGNAL);
	(void)n;
}

static inline void wait_for_close(int fd)
{
	char trash[64];
	while (recv(fd, trash, sizeof trash, 0) > 0)
		;
	stub_link_note("closed");
}

static inline void up_json(int fd)
{
	static const char body[] = "{\"id\":\"1\",\"object\":\"chat.completion\",\"model\":\"up-model\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"hi\"},\"finish_reason\":\"stop\"}],"
				   "\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5,\"total_tokens\":12}}";
	char head[128];
	snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", sizeof body - 1);
	put(fd, head);
	put(fd, body);
}
static inline void up_stream(int fd) { put(fd, SSE_HEAD CHUNK("one") CHUNK("two") STOP USAGE DONE); }
static inline void up_cut(int fd) { put(fd, SSE_HEAD CHUNK("one") "data: {\"id\":\"1\",\"obj"); }
static inline void up_nothing(int fd) { (void)fd; }
static inline void up_stall(int fd) { wait_for_close(fd); }
static inline void up_hang(int fd) { put(fd, SSE_HEAD CHUNK("one")); wait_for_close(fd); }
static inline void up_401(int fd) { put(fd, "HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 8\r\n\r\nour-key!"); }
static inline void up_402(int fd) { put(fd, "HTTP/1.1 402 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"); }
static inline void up_429(int fd) { put(fd, "HTTP/1.1 429 Slow\r\nConnection: close\r\nContent-Type: application/json\r\nRetry-After: 9\r\nContent-Length: 12\r\n\r\n{\"error\": 1}"); }
static inline void up_302(int fd) { put(fd, "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"); }
static inline void up_not_json(int fd) { put(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"); }
static inline void after_caller_left(int fd, const char *answer_text)
{
	stub_link_note("asked");
	poll(NULL, 0, 300);
	put(fd, answer_text);
	stub_link_note("answered");
}
static inline void up_late_500(int fd) { after_caller_left(fd, "HTTP/1.1 500 Bad\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"error\": 1}"); }
static inline void up_late_401(int fd) { after_caller_left(fd, "HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 8\r\n\r\nour-key!"); }
static inline void up_late_not_json(int fd) { after_caller_left(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello"); }
static inline void up_late_error_event(int fd) { after_caller_left(fd, SSE_HEAD "event: error\ndata: {\"error\":{\"message\":\"no\"}}\n\n"); }
static inline void up_late(int fd)
{
	put(fd, SSE_HEAD);
	poll(NULL, 0, 400);
	put(fd, CHUNK("one") STOP USAGE DONE);
}
static inline void up_endless(int fd)
{
	put(fd, SSE_HEAD);
	while (send(fd, CHUNK("0123456789"), sizeof CHUNK("0123456789") - 1, MSG_NOSIGNAL) > 0)
		;
	stub_link_note("closed");
}

static inline int gate_open(void **state)
{
	(void)state;
	fare_conf_defaults(&conf);
	conf.slots = 16;
	conf.first_byte_timeout_ms = 15000;
	conf.client_gone_ms = 200;
	memset(&gate, 0, sizeof gate);
	gate.conf = &conf;
	gate.budget.max = 1000000;
	gate.secrets = fare_secrets_new();
	stub_link_reset(base_url);
	gate.relay = fare_relay_new(&gate);
	stub_link_loop = gate.relay ? fare_relay_loop(gate.relay) : NULL;
	return !gate.relay;
}

static inline int gate_close(void **state)
{
	(void)state;
	for (int i = 0; i < 2000 && fare_relay_running(gate.relay); i++)
		poll(NULL, 0, 5);
	assert_int_equal(fare_relay_running(gate.relay), 0);
	assert_int_equal(atomic_load(&gate.budget.used), 0);
	fare_relay_free(&gate.relay);
	fare_secrets_free(&gate.secrets);
	return 0;
}

/* A whole call; its answer is in `answer`. */
static inline void call_with(const char *const *with, stub_script *script, const char *body)
{
	struct stub_io io;
	stub_upstream_does(script);
	stub_io_open(&io, with, body);
	fare_gate_serve(&gate, &stub_io_ops, &io);
	stub_io_read(&io, answer, sizeof answer, NULL);
	assert_true(stub_io_wait_closed(&io));
	close(io.web);
}

static inline void call(stub_script *script, const char *body) { call_with(params, script, body); }

#define HAS(text) do { if (!strstr(answer, text)) fail_msg("no %s in: %s", text, answer); } while (0)
#define HAS_NOT(text) do { if (strstr(answer, text)) fail_msg("%s in: %s", text, answer); } while (0)

static inline void refused(const char *const *with, const char *body, const char *status, const char *code, const char *notes)
{
	struct stub_io io;
	stub_io_open(&io, with, body);
	fare_gate_serve(&gate, &stub_io_ops, &io);
	stub_io_read(&io, answer, sizeof answer, NULL);
	HAS(status);
	HAS(code);
	HAS("Farebox-Call-Id: ");
	assert_true(stub_io_wait_closed(&io) && atomic_load(&io.finished));
	assert_true(atomic_load(&io.discarded) || io.was_read); /* else the answer could be lost */
	assert_string_equal(stub_link_notes(), notes);
	close(io.web);
}

/* The upstream's own note may come between the two. */
static inline void settled_as(const char *final)
{
	assert_true(stub_link_wait("settle"));
	if (!strstr(stub_link_notes(), final))
		fail_msg("%s: %s", final, stub_link_notes());
}

#define T(f) cmocka_unit_test_setup_teardown(f, gate_open, gate_close)

static inline int flow_tests(const struct CMUnitTest *tests, size_t n)
{
	unsetenv("http_proxy");
	fare_log_level(FARE_ALARM);
	snprintf(base_url, sizeof base_url, "http://127.0.0.1:%u/v1/", stub_upstream_start());
	return _cmocka_run_group_tests("tests", tests, n, NULL, NULL);
}

#endif
