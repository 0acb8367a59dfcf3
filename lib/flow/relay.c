/* The relay: its thread, its loop and its list of calls. */
#include "base/first.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "base/log.h"
#include "flow/call.h"
#include "flow/relay.h"

struct fare_relay {
	struct fare_gate *gate;
	struct fare_loop *loop;
	struct fare_net *net;
	pthread_t thread;
	struct fare_call *first;
	atomic_uint running;
	struct fare_post_node cut;
	bool cutting; /* what is admitted now is not begun any more */
};

/* The bank has answered, or has not in time. */
static void on_heard(struct fare_asking *asking)
{
	struct fare_call *c = (struct fare_call *)asking;
	struct fare_relay *r = c->relay;
	c->next = r->first;
	if (c->next)
		c->next->before = c;
	r->first = c;
	bool good = fare_step_admit(c);
	if (fare_replay_is_due(c) && !r->cutting) {
		fare_replay_start(c, r->loop);
		return;
	}
	if ((good || fare_replay_is_due(c)) && r->cutting) {
		fare_refusal_set(&c->refusal, FARE_CODE_OVERLOADED, NULL, "It is being stopped.");
		good = false;
	}
	if (good && fare_step_translate(c)) {
		atomic_fetch_add(&r->gate->counts.relayed, 1);
		fare_call_start(c, r->loop, r->net);
		return;
	}
	if (c->slot >= 0)
		fare_link_void(r->gate->link, c->slot);
	c->slot = -1;
	atomic_fetch_add(&r->gate->counts.refused, 1);
	fare_call_turn_away(c, r->loop);
}

void fare_relay_take(struct fare_relay *r, struct fare_call *c)
{
	c->relay = r;
	c->asking.heard = on_heard;
	atomic_fetch_add(&r->running, 1);
	fare_step_ask(c);
}

void fare_call_left(struct fare_call *c)
{
	struct fare_relay *r = c->relay;
	*(c->before ? &c->before->next : &r->first) = c->next;
	if (c->next)
		c->next->before = c->before;
	fare_step_record(c);
	fare_call_free(c);
	atomic_fetch_sub(&r->running, 1);
}

unsigned fare_relay_running(struct fare_relay *r)
{
	return atomic_load(&r->running);
}

static void on_cut(struct fare_post_node *node)
{
	struct fare_relay *r = (struct fare_relay *)((char *)node - offsetof(struct fare_relay, cut));
	r->cutting = true;
	for (struct fare_call *c = r->first, *next; c; c = next) {
		next = c->next; /* ending one call ends no other */
		if (c->over)
			continue;
		c->cut = true;
		if (c->replaying) {
			fare_replay_cut(c);
			continue;
		}
		fare_transfer_abort(&c->transfer);
		fare_call_end(c, FARE_NET_RESET);
	}
}

void fare_relay_cut(struct fare_relay *r)
{
	r->cut.fn = on_cut;
	fare_loop_post(r->loop, &r->cut);
}

struct fare_loop *fare_relay_loop(struct fare_relay *r)
{
	return r->loop;
}

static void *relay_run(void *arg)
{
	struct fare_relay *r = arg;
	prctl(PR_SET_NAME, "farebox-relay");
	fare_loop_run(r->loop);
	return NULL;
}

struct fare_relay *fare_relay_new(struct fare_gate *g)
{
	struct fare_relay *r = fare_alloc(sizeof *r);
	struct fare_net_settings s = {.connections_max = (unsigned)g->conf->slots, .proxy = g->conf->proxy, .ca_file = g->conf->ca_file,
		.tls_13 = strcmp(g->conf->tls_min_version, "1.3") == 0, .http1_only = strcmp(g->conf->upstream_http, "1.1") == 0};
	r->gate = g;
	r->loop = fare_loop_new();
	r->net = r->loop ? fare_net_new(r->loop, &s) : NULL;
	if (!r->net || pthread_create(&r->thread, NULL, relay_run, r) != 0) {
		fare_net_free(&r->net);
		fare_loop_free(&r->loop);
		free(r);
		return NULL;
	}
	return r;
}

void fare_relay_free(struct fare_relay **at)
{
	struct fare_relay *r = *at;
	if (!r)
		return;
	*at = NULL;
	fare_loop_stop(r->loop);
	pthread_join(r->thread, NULL);
	fare_net_free(&r->net);
	fare_loop_free(&r->loop);
	free(r);
}
