/*
 * Transfers upstream, on the loop: one fare_net per relay thread, its connections shared and kept alive. The only user of curl.
 * HTTP/1.1 over http and https, HTTP/2 over https where the server offers it; no redirects, no Expect, no Accept-Encoding. A request body is read once and can't be rewound:
 * once a byte of it was sent curl sends nothing twice, so a connection that dies under a request ends in FARE_NET_RESET, not in a second delivery. One case is sent again, by
 * us: an HTTP/2 server that goes away and says that it did not take this request. All calls and callbacks on the loop's thread.
 */
#ifndef FARE_NET_NET_H
#define FARE_NET_NET_H

#include "base/first.h"
#include "base/loop.h"
#include "base/span.h"

struct fare_net;
struct fare_transfer;

enum {
	FARE_NET_HEAD_MAX = 64 * 1024, /* bytes of an answer's header lines; more is FARE_NET_HEAD_TOO_LARGE */
	FARE_NET_HEADERS_MAX = 128,    /* header lines that are kept; further ones are counted and forgotten */
	FARE_NET_ERROR_N = 256
};

enum fare_net_result {
	FARE_NET_OK = 0,
	FARE_NET_RESOLVE,        /* name look-up failed */
	FARE_NET_CONNECT,        /* refused, unreachable, or the proxy said no */
	FARE_NET_TLS,            /* no trusted or no working TLS */
	FARE_NET_RESET,          /* closed or reset before the answer was whole */
	FARE_NET_GARBAGE,        /* not HTTP */
	FARE_NET_HEAD_TOO_LARGE,
	FARE_NET_BODY_TOO_LARGE, /* more than body_max */
	FARE_NET_UNREAD,         /* of all that waited for callers who pause, more than held_max: this one had most */
	FARE_NET_CONNECT_TIMEOUT,
	FARE_NET_FIRST_BYTE_TIMEOUT, /* request sent, no answer */
	FARE_NET_IDLE_TIMEOUT,
	FARE_NET_TOTAL_TIMEOUT,
	FARE_NET_INTERNAL        /* bad URL, no memory */
};
const char *fare_net_result_text(enum fare_net_result r); /* for people: "the connection was refused" */

struct fare_net_settings {
	unsigned connections_max; /* connections kept; at least the most transfers at a time */
	const char *proxy;        /* NULL or "": the environment's */
	const char *ca_file;      /* NULL or "": CURL_CA_BUNDLE, SSL_CERT_FILE, else the system's */
	uint64_t held_max;        /* bytes of answers that wait for callers who pause; 0: 256 MiB */
	bool tls_13;              /* at least; else TLS 1.2 */
	bool http1_only;
};

struct fare_net_timeouts {
	uint64_t connect_ms;    /* look-up, connection and TLS */
	uint64_t first_byte_ms; /* from the last byte of the request that was taken to the end of the answer's headers */
	uint64_t idle_ms;       /* between two pieces of the answer; a pause of ours does not count */
	uint64_t total_ms;
};

struct fare_net_header { const char *name, *value; };

/* All of it is copied, but for the body, which must live until `sent` or the end. */
struct fare_net_request {
	const char *url;
	bool post; /* else GET */
	const struct fare_net_header *headers;
	size_t header_count;
	const struct fare_span *body; /* pieces, one after the other */
	size_t body_count;
	struct fare_net_timeouts timeouts;
	uint64_t body_max; /* bytes of the answer's body; 0: no limit */
};

/* Any may be NULL but done. From within them: fare_transfer_pause and fare_transfer_abort, not resume. */
struct fare_net_events {
	void (*sent)(void *arg);    /* the request's body has been taken whole, will not be sent again, and may be freed */
	void (*head)(void *arg, int status); /* final status (never 1xx) and all headers are there */
	void (*data)(void *arg, const char *p, size_t n);
	void (*done)(void *arg, enum fare_net_result result); /* last; the transfer is gone when it returns */
};

struct fare_net *fare_net_new(struct fare_loop *loop, const struct fare_net_settings *s); /* NULL: no memory */
void fare_net_free(struct fare_net **n); /* aborts what runs */

/* Begins a transfer; failures come as done, never from within this call. */
struct fare_transfer *fare_net_start(struct fare_net *n, const struct fare_net_request *r, const struct fare_net_events *events, void *arg);
/* No event follows, done neither. */
void fare_transfer_abort(struct fare_transfer **t);
/* Back-pressure: the piece being delivered is the last before resume. Data, and even done, may come from within resume. */
void fare_transfer_pause(struct fare_transfer *t);
void fare_transfer_resume(struct fare_transfer *t);

/* Valid from head to done. Value of a header, name in any case; {NULL, 0}: absent. Of several, the last. */
struct fare_span fare_transfer_header(const struct fare_transfer *t, const char *name);
/* The i-th header line as it came; false: there are no more. */
bool fare_transfer_header_at(const struct fare_transfer *t, size_t i, struct fare_span *name, struct fare_span *value) FARE_MUST;
const char *fare_transfer_error(const struct fare_transfer *t); /* curl's own words, for the log; "" without an error */

#endif
