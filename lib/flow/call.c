/* A call's beginning and its end; the doorman's order of steps. */
#include "base/first.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "flow/call.h"
#include "flow/relay.h"

void fare_call_body_free(struct fare_call *c)
{
	fare_buf_release(&c->body.bytes);
	fare_budget_give(&c->gate->budget, c->body.taken);
	c->body.taken = 0;
}

void fare_call_bearer_free(struct fare_call *c)
{
	if (c->bearer)
		fare_wipe(c->bearer, strlen(c->bearer));
	free(c->bearer);
	c->bearer = NULL;
}

void fare_call_free(struct fare_call *c)
{
	FARE_ASSERT(c->slot < 0);
	fare_transfer_abort(&c->transfer);
	fare_watch_free(&c->watch);
	fare_timer_free(&c->timer);
	fare_tap_free(&c->tap);
	fare_openai_request_release(&c->request);
	fare_call_body_free(c);
	fare_buf_release(&c->head);
	fare_buf_release(&c->out);
	fare_call_bearer_free(c);
	fare_keep_free(c);
	free(c->replaying);
	c->ops->close(c->io);
	free(c);
}

static struct fare_call *call_new(struct fare_gate *g, const struct fare_io_ops *ops, void *io)
{
	struct fare_call *c = fare_alloc(sizeof *c);
	c->gate = g;
	c->ops = ops;
	c->io = io;
	c->id = fare_id_new();
	fare_id_text(c->id, c->id_text);
	c->started_ms = fare_clock_boot_ms();
	c->slot = -1;
	fare_buf_init(&c->head, FARE_OUT_MAX);
	fare_buf_init(&c->out, FARE_OUT_MAX);
	atomic_fetch_add(&g->counts.requests, 1);
	return c;
}

/* True: the relay has it. */
static bool call_admit(struct fare_call *c)
{
	if (fare_body_is_large(c) && !fare_step_check(c))
		return false;
	if (!fare_step_body(c) || !fare_step_scan(c) || !fare_step_slot(c))
		return false;
	c->ops->detach(c->io);
	fare_relay_take(c->gate->relay, c);
	return true;
}

void fare_gate_serve(struct fare_gate *g, const struct fare_io_ops *ops, void *io)
{
	struct fare_call *c = call_new(g, ops, io);
	if (fare_step_accept(c) && !fare_step_probe(c) && fare_step_identify(c)) {
		if (c->route == FARE_ROUTE_CHAT || c->route == FARE_ROUTE_COMPLETIONS || c->route == FARE_ROUTE_EMBEDDINGS) {
			if (call_admit(c))
				return;
		} else {
			fare_step_own(c);
		}
	}
	if (c->refusal.code)
		fare_call_refuse(c);
	fare_step_record(c);
	fare_call_free(c);
}
