/* Bytes to the caller: as fast as they are read, the upstream paused when they are not; a caller who leaves is seen without a write. */
#include "base/first.h"

#include <poll.h>

#include "base/clock.h"
#include "base/log.h"
#include "flow/call.h"

enum { WATCH_ALWAYS = FARE_READ | FARE_CLOSED | FARE_EDGE, KEEP_CAP = 64 * 1024 };

bool fare_out_gone(struct fare_call *c)
{
	if (c->gone)
		return true;
	c->gone = true;
	c->gone_late = c->tap && fare_tap_end(c->tap) == FARE_TAP_COMPLETE;
	c->gone_from = c->received;
	c->moved_ms = fare_clock_boot_ms();
	fare_keep_note(c);
	fare_buf_release(&c->out);
	c->out_at = 0;
	fare_keep_skip(c);
	fare_watch_free(&c->watch);
	if (c->over) {
		fare_call_left(c);
		return false;
	}
	if (c->replaying)
		return fare_replay_gone(c);
	if (!fare_keep_reads_on(c))
		fare_timer_set(c->timer, (uint64_t)c->gate->conf->client_gone_ms);
	if (!c->paused)
		return true;
	c->paused = false;
	if (c->held_up || c->drained)
		return true;
	fare_transfer_resume(c->transfer); /* may deliver, and even end the call, from within */
	return false;
}

/* Writes what it can. False: the caller has left. */
static bool write_out(struct fare_call *c)
{
	while (c->out_at < c->out.n) {
		ssize_t n = c->ops->write(c->io, c->out.p + c->out_at, c->out.n - c->out_at, c->over && !c->broken);
		if (n < 0)
			return false;
		if (n == 0)
			break;
		c->out_at += (size_t)n;
		c->moved_ms = fare_clock_boot_ms();
	}
	if (c->out_at == c->out.n) {
		if (c->out.cap > KEEP_CAP)
			fare_buf_release(&c->out);
		else
			fare_buf_reset(&c->out);
		c->out_at = 0;
	} else if (c->out_at > FARE_OUT_LOW) {
		fare_buf_drop(&c->out, c->out_at);
		c->out_at = 0;
	}
	return true;
}

/* Begins or ends to wait for the caller to read; a stream that does not wait has its silence watched. */
static void set_waiting(struct fare_call *c, bool waiting)
{
	if (waiting == c->waiting)
		return;
	c->waiting = waiting;
	fare_watch_set(c->watch, waiting ? WATCH_ALWAYS | FARE_WRITE : WATCH_ALWAYS);
	if (waiting)
		fare_timer_set(c->timer, (uint64_t)c->gate->conf->idle_timeout_ms);
	else if (c->event_stream)
		fare_timer_set(c->timer, (uint64_t)c->gate->conf->silence_ms);
}

/* All is written: the end of the request. */
static bool finish(struct fare_call *c)
{
	int done = c->broken ? 1 : c->ops->finish(c->io);
	if (done < 0)
		return fare_out_gone(c);
	if (done == 0) {
		set_waiting(c, true);
		return true;
	}
	fare_call_left(c);
	return false;
}

bool fare_out_flush(struct fare_call *c)
{
	fare_keep_note(c);
	if (c->gone) {
		fare_buf_reset(&c->out);
		c->out_at = 0;
		fare_keep_skip(c);
		return true;
	}
	if (!c->head_out && c->out.n)
		fare_head_seal(c);
	bool there = write_out(c);
	fare_keep_skip(c);
	if (!there)
		return fare_out_gone(c);
	size_t pending = fare_out_pending(c);
	if (pending == 0 && c->over)
		return finish(c);
	set_waiting(c, pending > 0);
	if (!c->paused || pending >= FARE_OUT_LOW)
		return true;
	c->paused = false;
	if (c->held_up || c->drained)
		return true;
	if (c->replaying)
		fare_replay_more(c);
	else
		fare_transfer_resume(c->transfer);
	return false; /* it may be over by now */
}

static void on_io(void *arg, int fd, unsigned events)
{
	struct fare_call *c = arg;
	(void)fd;
	/* The request was read to its end: all that can still come is the other side's leaving. */
	bool there = events & (FARE_READ | FARE_CLOSED) ? fare_out_gone(c) : fare_out_flush(c);
	(void)there;
}

/* The call's one timer: the end of reading on for a caller who left; a caller who does not read; silence. */
static void on_timer(void *arg)
{
	struct fare_call *c = arg;
	const struct fare_conf *conf = c->gate->conf;
	uint64_t still_ms = fare_clock_boot_ms() - c->moved_ms, limit_ms;
	if (c->gone)
		limit_ms = (uint64_t)conf->client_gone_ms;
	else if (fare_out_pending(c) || c->over)
		limit_ms = (uint64_t)conf->idle_timeout_ms;
	else
		limit_ms = (uint64_t)conf->silence_ms;
	if (still_ms < limit_ms) {
		fare_timer_set(c->timer, limit_ms - still_ms);
		return;
	}
	if (c->gone && fare_keep_reads_on(c)) {
		return; /* the transfer has its own end */
	} else if (c->gone) {
		fare_transfer_abort(&c->transfer);
		fare_call_end(c, FARE_NET_OK);
	} else if (fare_out_pending(c) || c->over) {
		bool there = fare_out_gone(c);
		(void)there;
	} else if (c->event_stream) {
		fare_timer_set(c->timer, (uint64_t)conf->silence_ms);
		fare_openai_silence(&c->out);
		fare_keep_skip(c);
		bool there = fare_out_flush(c);
		(void)there;
	}
}

bool fare_out_left(struct fare_call *c)
{
	struct pollfd w = {.fd = c->ops->fd(c->io), .events = POLLIN | POLLRDHUP};
	return poll(&w, 1, 0) > 0;
}

void fare_out_watch(struct fare_call *c, struct fare_loop *loop)
{
	c->moved_ms = fare_clock_boot_ms();
	c->timer = fare_timer_new(loop, on_timer, c);
	c->watch = fare_watch_new(loop, c->ops->fd(c->io), WATCH_ALWAYS, on_io, c);
}
