/* Answers that a doorman gives himself; they block, within bounds. */
#include "base/first.h"

#include <errno.h>
#include <poll.h>

#include "flow/call.h"

enum { SAY_WAIT_MS = 10000 };

static bool wait_writable(struct fare_call *c)
{
	struct pollfd w = {.fd = c->ops->fd(c->io), .events = POLLOUT};
	int n;
	fare_gate_waits(c->gate);
	do
		n = poll(&w, 1, SAY_WAIT_MS);
	while (n < 0 && errno == EINTR);
	return n > 0 && w.revents & POLLOUT;
}

bool fare_call_say(struct fare_call *c, struct fare_span text)
{
	while (text.n) {
		ssize_t n = c->ops->write(c->io, text.p, text.n, false);
		if (n < 0 || (n == 0 && !wait_writable(c)))
			return false;
		text.p += n;
		text.n -= (size_t)n;
	}
	return true;
}

void fare_call_said(struct fare_call *c)
{
	int done = 0;
	while (done == 0) {
		done = c->ops->finish(c->io);
		if (done == 0 && !wait_writable(c))
			return;
	}
}

static void say_all(struct fare_call *c, struct fare_span text)
{
	if (fare_call_say(c, text))
		fare_call_said(c);
}

void fare_call_refuse(struct fare_call *c)
{
	struct fare_buf text;
	c->ops->discard(c->io);
	fare_buf_init(&text, FARE_OUT_MAX);
	fare_head_refusal(c, &text);
	say_all(c, fare_buf_span(&text));
	fare_buf_release(&text);
	atomic_fetch_add(&c->gate->counts.refused, 1);
}

void fare_call_answer(struct fare_call *c, int status, struct fare_span body)
{
	struct fare_buf text;
	c->ops->discard(c->io);
	fare_buf_init(&text, FARE_OUT_MAX);
	fare_head_begin(c, status, &text);
	fare_buf_addf(&text, "Content-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: %zu\r\n\r\n", body.n);
	fare_buf_add_span(&text, body);
	if (!text.failed)
		say_all(c, fare_buf_span(&text));
	fare_buf_release(&text);
}
