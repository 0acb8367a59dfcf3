/* Carrying one call: the request goes out, the answer comes in through the tap, and what its end means. */
#include "base/first.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "flow/call.h"

enum { DROP_MAX = 64 * 1024 };
#define ANSWER_MAX (1024ULL * 1024 * 1024)

static void on_sent(void *arg)
{
	fare_call_body_free(arg);
}

static void on_head(void *arg, int status)
{
	struct fare_call *c = arg;
	c->status = status;
	fare_meter_answered(c->gate->link, c->slot, status);
	c->moved_ms = fare_clock_boot_ms();
	if (status < 300) {
		struct fare_span type = fare_transfer_header(c->transfer, "content-type");
		struct fare_span kind = fare_span_at(type.p, type.n < 17 ? type.n : 17);
		c->event_stream = c->streaming && fare_span_is_nocase(kind, "text/event-stream");
		c->pass = FARE_PASS_TAP;
		c->tap = fare_tap_new(c->route == FARE_ROUTE_CHAT ? FARE_CHAT : c->route == FARE_ROUTE_COMPLETIONS ? FARE_COMPLETIONS : FARE_EMBEDDINGS,
			c->event_stream, c->usage_asked, c->model, fare_price_usage, c);
		fare_grow_begin(c);
		if (c->event_stream && !c->gone)
			fare_timer_set(c->timer, (uint64_t)c->gate->conf->silence_ms);
	} else if (status < 400 || status == 401 || status == 402 || status == 403) {
		c->pass = FARE_PASS_DROP;
	} else {
		c->pass = FARE_PASS_ERROR;
	}
	if (c->pass != FARE_PASS_TAP)
		fare_keep_off(c);
	fare_head_upstream(c);
}

/* The transfer ends here, from within its own callback or not. */
static void stop(struct fare_call *c)
{
	fare_transfer_abort(&c->transfer);
	fare_call_end(c, FARE_NET_OK);
}

bool fare_call_data(struct fare_call *c, struct fare_span bytes)
{
	bool more = true;
	c->received += bytes.n;
	switch (c->pass) {
	case FARE_PASS_TAP:
		more = fare_tap_push(c->tap, bytes, &c->out);
		fare_step_meter(c);
		fare_fault("worker_mid_stream");
		if (more)
			fare_grow_look(c);
		break;
	case FARE_PASS_ERROR:
		more = fare_buf_add_span(&c->out, bytes) && c->received <= FARE_ERROR_PASS_MAX;
		break;
	default:
		more = c->received <= DROP_MAX;
	}
	fare_keep_note(c);
	if (c->gone && !fare_keep_reads_on(c) && c->received - c->gone_from > (uint64_t)c->gate->conf->client_gone_bytes)
		more = false;
	if (!more || c->out.failed) {
		stop(c);
		return false;
	}
	if (c->pass == FARE_PASS_ERROR && !c->head_out)
		return true;
	if (!fare_out_flush(c))
		return false;
	if (fare_out_pending(c) > FARE_OUT_HIGH && !c->gone && c->transfer) {
		c->paused = true;
		fare_transfer_pause(c->transfer);
	}
	return true;
}

static void on_data(void *arg, const char *p, size_t n)
{
	bool there = fare_call_data(arg, fare_span_at(p, n));
	(void)there;
}

static void on_done(void *arg, enum fare_net_result result)
{
	struct fare_call *c = arg;
	if (result != FARE_NET_OK)
		fare_log(FARE_WARN, "call %s, provider %s: %s (%s)", c->id_text, c->grant.provider, fare_net_result_text(result), fare_transfer_error(c->transfer));
	c->transfer = NULL;
	if (result == FARE_NET_OK && fare_grow_ends(c)) {
		c->drained = true;
		return;
	}
	fare_call_end(c, result);
}

void fare_call_start(struct fare_call *c, struct fare_loop *loop, struct fare_net *net)
{
	static const struct fare_net_events events = {.sent = on_sent, .head = on_head, .data = on_data, .done = on_done};
	const struct fare_conf *conf = c->gate->conf;
	const struct fare_net_header headers[] = {
		{"Content-Type", "application/json"}, {"User-Agent", "farebox/" PACKAGE_VERSION}, {"Farebox-Call-Id", c->id_text}, {"Authorization", c->bearer},
	};
	struct fare_span body = fare_buf_span(&c->body.bytes);
	struct fare_net_request request = {
		.url = c->url, .post = true, .headers = headers, .header_count = FARE_ARRAY_N(headers) - (c->bearer ? 0 : 1), .body = &body, .body_count = 1, .body_max = ANSWER_MAX,
		.timeouts = {.connect_ms = (uint64_t)conf->connect_timeout_ms, .first_byte_ms = (uint64_t)conf->first_byte_timeout_ms,
			.idle_ms = (uint64_t)conf->idle_timeout_ms, .total_ms = (uint64_t)conf->total_timeout_ms},
	};
	if (fare_out_left(c)) { /* while it waited for admission: the upstream need not begin */
		c->gone = true;
		c->ending = FARE_NOT_SENT;
		fare_link_void(c->gate->link, c->slot);
		c->slot = -1;
		fare_call_left(c);
		return;
	}
	fare_out_watch(c, loop);
	fare_fault("worker_before_sent");
	if (!fare_planted("r13"))
		fare_meter_sent(c->gate->link, c->slot, c->text_bytes); /* before the first byte (R13) */
	fare_fault("worker_after_sent");
	c->transfer = fare_net_start(net, &request, &events, c);
	fare_call_bearer_free(c);
}

/* ---- The end */

static const char cut_text[] = "It is being stopped, and the call did not end in the time it had.";

static bool is_timeout(enum fare_net_result r)
{
	return r == FARE_NET_CONNECT_TIMEOUT || r == FARE_NET_FIRST_BYTE_TIMEOUT || r == FARE_NET_IDLE_TIMEOUT || r == FARE_NET_TOTAL_TIMEOUT;
}

/* Nothing of the upstream's answer has reached the caller, and nothing will. */
static enum fare_ending ending_unrelayed(struct fare_call *c, enum fare_net_result result)
{
	struct fare_refusal *r = &c->refusal;
	const char *why = result == FARE_NET_OK ? "what it answered is not what the API promises" : fare_net_result_text(result);
	fare_buf_reset(&c->out);
	if (is_timeout(result)) {
		fare_refusal_set(r, FARE_CODE_UPSTREAM_TIMEOUT, NULL, "Provider %s: %s.", c->grant.provider, why);
		return c->received ? FARE_UPSTREAM_ERROR : FARE_TIMEOUT;
	}
	if (c->pass == FARE_PASS_DROP && c->status == 402) {
		fare_refusal_set(r, FARE_CODE_UPSTREAM_UNPAID, NULL, "%s", "");
	} else if (c->pass == FARE_PASS_DROP) {
		fare_refusal_set(r, FARE_CODE_UPSTREAM_FAILED, NULL, "Provider %s answered the gateway with status %d.", c->grant.provider, c->status);
	} else if (c->cut) {
		fare_refusal_set(r, FARE_CODE_OVERLOADED, NULL, "%s", cut_text);
	} else {
		fare_refusal_set(r, FARE_CODE_UPSTREAM_FAILED, NULL, "Provider %s: %s.", c->grant.provider, why);
	}
	if (c->pass == FARE_PASS_DROP && c->status >= 400) /* the bank learns of it from the meter, and raises the alarm */
		fare_log(FARE_WARN, "provider %s answers %d: its key or its bill needs care (call %s)", c->grant.provider, c->status, c->id_text);
	return FARE_UPSTREAM_ERROR;
}

/* The tap's verdict on an answer of which the caller has seen something, or may. */
static enum fare_ending ending_tapped(struct fare_call *c, enum fare_net_result result)
{
	bool shown = c->head_out || c->out.n;
	enum fare_tap_end end = fare_tap_end(c->tap);
	if (end == FARE_TAP_OPEN && !c->out.failed)
		end = fare_tap_finish(c->tap, &c->out);
	if (end == FARE_TAP_COMPLETE && !c->out.failed)
		return FARE_COMPLETE;
	if (end == FARE_TAP_ERROR && c->event_stream)
		return fare_tap_text_bytes(c->tap) ? FARE_STREAM_ERROR : FARE_UPSTREAM_ERROR;
	if (!shown)
		return ending_unrelayed(c, result);
	if (is_timeout(result)) {
		fare_refusal_set(&c->refusal, FARE_CODE_UPSTREAM_TIMEOUT, NULL, "Provider %s: %s.", c->grant.provider, fare_net_result_text(result));
		return FARE_TIMEOUT;
	}
	if (c->cut)
		fare_refusal_set(&c->refusal, FARE_CODE_OVERLOADED, NULL, "%s", cut_text);
	else
		fare_refusal_set(&c->refusal, FARE_CODE_UPSTREAM_FAILED, NULL, "Provider %s: its answer ended before it was whole.", c->grant.provider);
	return end == FARE_TAP_GARBAGE ? FARE_STREAM_ERROR : FARE_TRUNCATED;
}

/* The upstream gave nothing to charge for, and not because its answer was cut off when the caller left. */
static bool upstream_failed(const struct fare_call *c, enum fare_ending ending)
{
	if (ending != FARE_UPSTREAM_ERROR)
		return false;
	if (c->pass != FARE_PASS_TAP)
		return c->pass != FARE_PASS_NONE;
	enum fare_tap_end end = fare_tap_end(c->tap);
	bool nothing = !c->event_stream || fare_tap_text_bytes(c->tap) == 0;
	return c->received && nothing && (end == FARE_TAP_ERROR || end == FARE_TAP_GARBAGE);
}

static enum fare_ending ending_of(struct fare_call *c, enum fare_net_result result)
{
	enum fare_ending ending;
	if (c->dry)
		ending = FARE_BALANCE_END;
	else if (c->pass == FARE_PASS_TAP)
		ending = ending_tapped(c, result);
	else if (c->pass == FARE_PASS_ERROR)
		ending = FARE_UPSTREAM_ERROR; /* the caller sees what came of it */
	else
		ending = ending_unrelayed(c, result);
	return c->gone && !c->gone_late && !upstream_failed(c, ending) ? FARE_CLIENT_GONE : ending;
}

void fare_call_say_dry(struct fare_call *c)
{
	const struct fare_tap_dry end = {.choices = c->choices, .notice = &c->refusal, .call_id = c->id, .usage = c->charged, .cost = c->cost};
	if (c->dry && c->event_stream && fare_tap_end(c->tap) != FARE_TAP_DRY)
		fare_tap_dry(c->tap, &end, &c->out);
}

/* What is still to be said goes into out. */
static void last_words(struct fare_call *c)
{
	if (c->dry && c->event_stream) {
		fare_call_say_dry(c);
	} else if (!c->refusal.code) {
		if (!c->head_out)
			fare_head_seal(c);
	} else if (!c->head_out && c->out.n == 0) {
		fare_buf_reset(&c->head);
		fare_head_refusal(c, &c->out);
		c->head_out = true;
	} else if (c->event_stream) {
		fare_openai_error_event(&c->refusal, c->id, &c->out);
	} else {
		c->broken = true;
	}
}

static void answer_end(struct fare_call *c)
{
	last_words(c);
	c->moved_ms = fare_clock_boot_ms();
	fare_timer_set(c->timer, (uint64_t)c->gate->conf->idle_timeout_ms);
	bool there = fare_out_flush(c);
	(void)there;
}

void fare_call_end(struct fare_call *c, enum fare_net_result result)
{
	c->over = true;
	c->paused = false;
	c->ending = ending_of(c, result);
	fare_step_settle(c);
	fare_call_body_free(c);
	if (c->ending == FARE_UPSTREAM_ERROR || c->ending == FARE_TIMEOUT)
		atomic_fetch_add(&c->gate->counts.upstream_failed, 1);
	else if (c->ending == FARE_CLIENT_GONE)
		atomic_fetch_add(&c->gate->counts.client_gone, 1);
	if (c->gone) {
		fare_call_left(c);
		return;
	}
	answer_end(c);
}

void fare_call_turn_away(struct fare_call *c, struct fare_loop *loop)
{
	if (!c->watch)
		fare_out_watch(c, loop);
	c->over = true;
	fare_call_body_free(c);
	answer_end(c);
}
