/*
 * One call, between the steps of its life: accept > identify > scan > ask (on a doorman's thread), admit > translate > relay > settle > record (on the relay's). Each step is in
 * the file of its name. A step that returns false has filled in `refusal`; once a hold exists, every way out settles or voids it.
 */
#ifndef FARE_FLOW_CALL_H
#define FARE_FLOW_CALL_H

#include "base/id.h"
#include "base/loop.h"
#include "flow/gate.h"
#include "flow/io.h"
#include "flow/secrets.h"
#include "net/net.h"
#include "wire/http.h"
#include "wire/openai.h"
#include "wire/refusal.h"

enum {
	FARE_OUT_HIGH = 256 * 1024, /* unsent bytes of an answer above which the upstream is paused */
	FARE_OUT_LOW = 64 * 1024,   /* and below which it goes on */
	FARE_OUT_MAX = 8 * 1024 * 1024,
	FARE_BODY_LARGE = 256 * 1024, /* a stranger's body above it is not taken into memory */
	FARE_HEAD_TOTAL_MAX = 64 * 1024, /* of a request's parameters, beside one value's limit */
	FARE_HEAD_PASS_MAX = 16 * 1024, /* of the upstream's header lines: web servers take 32 KiB */
	FARE_ERROR_PASS_MAX = 1024 * 1024 /* of an upstream's error answer */
};

/* What becomes of the upstream's body. */
enum fare_pass {
	FARE_PASS_NONE = 0, /* no headers yet */
	FARE_PASS_TAP,      /* through the dialect's tap */
	FARE_PASS_ERROR,    /* as it is: a 4xx or 5xx that is the caller's to see */
	FARE_PASS_DROP      /* read and forgotten: the answer is ours */
};

/* An answer as the caller gets it, kept for its Idempotency-Key while it fits (FARE_ANSWER_MAX). */
struct fare_keep {
	bool on;               /* there is a key, and all of the answer so far is in here */
	struct fare_buf head, body;
	size_t taken;          /* from the budget of bodies */
	size_t noted;          /* bytes of the call's out that are in here, or are not to be */
};

struct fare_replaying;
struct fare_call {
	struct fare_asking asking; /* first: the relay's way from the bank's answers to the call */
	struct fare_call *next, *before; /* the relay's list */
	struct fare_relay *relay;
	struct fare_gate *gate;
	const struct fare_io_ops *ops;
	void *io;
	struct fare_id id;
	char id_text[FARE_ID_TEXT_N];
	uint64_t started_ms; /* boot clock */
	struct fare_refusal refusal;

	/* accept, identify */
	enum fare_route route;
	char ip[FARE_IP_N];
	struct fare_hash key;
	char model[FARE_NAME_N];     /* as the caller says it */
	struct fare_body body;       /* the caller's; from translate on what is sent upstream */
	struct fare_hash idem;       /* of endpoint and Idempotency-Key; zero: none */

	/* scan, admit, translate */
	struct fare_openai_request request;
	bool streaming, usage_asked; /* by the caller */
	bool bound_lowered;
	int slot; /* -1: none, or the link's again */
	uint64_t text_bytes;
	uint32_t choices;
	struct fare_grant grant;
	char url[FARE_URL_N + 64];
	char *bearer; /* "Bearer KEY", owned, wiped when it is handed on; NULL: none */

	/* relay */
	struct fare_transfer *transfer; /* NULL: not begun, or over */
	struct fare_tap *tap;
	enum fare_pass pass;
	int status; /* upstream's */
	int answered; /* the status of our answer's head, as last made; 0: none */
	uint64_t received, gone_from; /* body bytes from upstream; where the caller left */
	struct fare_buf head;         /* the answer's, until it is out */
	struct fare_buf out;
	size_t out_at;
	struct fare_watch *watch;
	struct fare_timer *timer; /* silence, a caller who left, one who does not read */
	uint64_t moved_ms;        /* bytes last went out, or the caller left */
	bool event_stream;        /* the answer is one */
	bool head_out;            /* the head is in out, or gone from there */
	bool paused;              /* the upstream, because the caller does not read as fast */
	bool waiting;             /* for the caller to read */
	bool gone;                /* the caller */
	bool gone_late;           /* but not before the answer's end had come */
	bool over;                /* the upstream is */
	bool cut;                 /* by us: the worker ends */
	bool broken;              /* the answer cannot be ended as it should: the connection is just closed */
	bool reported, clamped;   /* the provider's usage is known */
	struct fare_usage usage, charged;
	enum fare_ending ending;
	struct fare_amount cost;

	/* grow */
	uint64_t held_output, grow_step; /* tokens per choice: held for so far, 0: all; what it grows by */
	bool asks;                /* for more, and has no answer yet */
	bool refused_more;        /* the last answer was less than it had asked for */
	bool held_up;             /* the upstream, because what comes next is not held for */
	bool drained;             /* the upstream has ended meanwhile */
	bool dry;                 /* ended by us: there is no more */

	struct fare_keep keep;
	struct fare_replaying *replaying; /* NULL: it is a call of its own */
};

static inline enum fare_endpoint fare_call_endpoint(const struct fare_call *c) { return c->route == FARE_ROUTE_CHAT ? FARE_CHAT : c->route == FARE_ROUTE_COMPLETIONS ? FARE_COMPLETIONS : FARE_EMBEDDINGS; }

/* Doorman's steps. */
bool fare_step_accept(struct fare_call *c) FARE_MUST;   /* route, parameters within limits */
bool fare_step_identify(struct fare_call *c) FARE_MUST; /* key -> hash */
bool fare_step_check(struct fare_call *c) FARE_MUST;    /* is the key good, at all; for healthz: does the bank answer */
bool fare_step_story(struct fare_call *c, struct fare_buf *facts) FARE_MUST; /* likewise, and what there is to tell of the call in c->model */
bool fare_body_is_large(struct fare_call *c);           /* or of unknown length */
bool fare_step_body(struct fare_call *c) FARE_MUST;
bool fare_step_scan(struct fare_call *c) FARE_MUST;
bool fare_step_slot(struct fare_call *c) FARE_MUST;
void fare_step_ask(struct fare_call *c); /* the call is the relay's from here on */
void fare_step_own(struct fare_call *c);                /* GETs that we answer */
bool fare_step_probe(struct fare_call *c) FARE_MUST;    /* true: it was doctor's, and is answered */
void fare_call_refuse(struct fare_call *c);             /* says c->refusal, blocking */
void fare_call_answer(struct fare_call *c, int status, struct fare_span body); /* JSON, blocking */
bool fare_call_say(struct fare_call *c, struct fare_span text) FARE_MUST; /* bytes of an answer, blocking; false: the caller is gone */
void fare_call_said(struct fare_call *c);                                 /* that was all of it */
void fare_call_body_free(struct fare_call *c);
void fare_call_bearer_free(struct fare_call *c);
void fare_call_free(struct fare_call *c);               /* closes io; gives back what it holds */

/* Heads of answers: status line and what every answer carries. */
void fare_head_begin(struct fare_call *c, int status, struct fare_buf *out);
void fare_head_refusal(struct fare_call *c, struct fare_buf *out); /* head and body of c->refusal */
void fare_head_upstream(struct fare_call *c);                      /* c->head, from the upstream's */
void fare_head_seal(struct fare_call *c);                          /* ends c->head and puts it before what is in c->out */

/* Relay's. */
bool fare_step_admit(struct fare_call *c) FARE_MUST;    /* what the bank has answered */
bool fare_step_translate(struct fare_call *c) FARE_MUST;
void fare_call_start(struct fare_call *c, struct fare_loop *loop, struct fare_net *net);
void fare_call_turn_away(struct fare_call *c, struct fare_loop *loop); /* c->refusal, of a call that was not started */
void fare_call_end(struct fare_call *c, enum fare_net_result result); /* upstream is over; may free the call */
void fare_call_say_dry(struct fare_call *c);                          /* the dialect's end of a stream that was ended by us, into out, once; c->charged and c->cost are known */
void fare_call_left(struct fare_call *c);                             /* the relay forgets it; recorded and freed */

/* Bytes of the upstream's body; none: what waited goes on. False: it may be over, and must not be touched any more. */
bool fare_call_data(struct fare_call *c, struct fare_span bytes) FARE_MUST;
void fare_grow_begin(struct fare_call *c); /* the answer's headers are there */
void fare_grow_look(struct fare_call *c);  /* more of it is: is it held for? */
bool fare_grow_ends(struct fare_call *c) FARE_MUST; /* the upstream has ended; true: but not all that is here is held for */
void fare_grow_heard(struct fare_asking *asking);

/* Bytes to the caller. Each of these may end and free the call: false, and it must not be touched any more. */
bool fare_out_flush(struct fare_call *c) FARE_MUST;
bool fare_out_gone(struct fare_call *c) FARE_MUST; /* the caller has left */
bool fare_out_left(struct fare_call *c); /* has the caller left already? */
void fare_out_watch(struct fare_call *c, struct fare_loop *loop);
static inline size_t fare_out_pending(const struct fare_call *c) { return c->out.n - c->out_at; }

/* Keep. */
void fare_keep_begin(struct fare_call *c); /* of a call that came with a key */
void fare_keep_note(struct fare_call *c);  /* what has come into out since the last time belongs to the answer */
void fare_keep_skip(struct fare_call *c);  /* what has come into out does not */
void fare_keep_head(struct fare_call *c);  /* c->head is about to be said */
bool fare_keep_reads_on(const struct fare_call *c); /* the caller is expected back: were he to leave, the upstream is read to its end all the same */
void fare_keep_end(struct fare_call *c);   /* c->ending and c->cost are known: an answer that is whole goes to the bank; before the meter's final */
void fare_keep_off(struct fare_call *c);   /* nothing is kept; a caller who has left is waited for no longer than others */
void fare_keep_free(struct fare_call *c);

/* Replay: a kept answer is said instead. */
bool fare_replay_is_due(const struct fare_call *c);              /* that is what the bank has answered */
void fare_replay_start(struct fare_call *c, struct fare_loop *loop);
void fare_replay_more(struct fare_call *c);                      /* the caller has read enough for the next part */
bool fare_replay_gone(struct fare_call *c) FARE_MUST;            /* as fare_out_gone */
void fare_replay_cut(struct fare_call *c);                       /* the worker ends */

/* What the meter says of the call so far. */
void fare_step_meter(struct fare_call *c);
/* The last word: c->ending into the meter, the bell to the bank, c->charged and c->cost. The slot is the link's then. */
void fare_step_settle(struct fare_call *c);
bool fare_price_usage(void *call, const struct fare_usage *u, struct fare_amount *cost); /* a fare_cost_fn */
void fare_step_record(struct fare_call *c);

#endif
