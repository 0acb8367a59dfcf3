/* Between the files of lib/net: a transfer and its net. */
#ifndef FARE_NET_TRANSFER_H
#define FARE_NET_TRANSFER_H

#include <curl/curl.h>

#include "base/buf.h"
#include "net/net.h"

struct fare_net {
	struct fare_loop *loop;
	CURLM *multi;
	struct fare_timer *timer; /* curl's */
	CURL **spare;
	unsigned spare_n;
	char *proxy, *ca_file; /* owned; NULL: curl's own way */
	bool http1_only, tls_13;
	struct fare_origin *origins;
	struct fare_timer *gate; /* opens theirs */
	uint64_t held, held_max; /* bytes of answers that callers have not taken yet */
	struct fare_transfer *first; /* all that run */
};

enum fare_net_phase { FARE_NET_CONNECTING, FARE_NET_WAITING, FARE_NET_ANSWERING };

struct header_line { uint32_t name, name_n, value, value_n; }; /* places in head */

struct fare_transfer {
	struct fare_transfer *next, *before;
	struct fare_net *net;
	CURL *easy;
	struct curl_slist *headers;
	struct fare_span *body; /* owned array of pieces that are not */
	size_t body_count, body_at, piece_at, body_n;
	struct fare_net_events events;
	void *arg;
	struct fare_net_timeouts timeouts;
	struct fare_timer *timer;
	uint64_t started_ms, active_ms; /* boot clock; active: the last sign of life in this phase */
	uint64_t body_max, received;
	struct fare_buf head;
	struct header_line lines[FARE_NET_HEADERS_MAX];
	size_t line_count, head_bytes;
	enum fare_net_phase phase;
	bool shares;         /* its connection, if the server speaks HTTP/2 */
	struct fare_origin *origin; /* then */
	struct fare_transfer *wait_next;
	bool waits;          /* at the origin's gate */
	uint64_t connection; /* which; 0: none yet */
	long stream;         /* there; 0: none, or HTTP/1.1 */
	bool refused;        /* by the server, certainly unprocessed */
	unsigned again;      /* times it was sent again */
	struct fare_buf kept; /* what came while it was paused */
	size_t kept_at;
	uint64_t held;       /* that and what curl keeps: its part of the net's */
	bool sent, head_done, paused, curl_paused, resuming, in_callback, aborted;
	bool ended;                  /* for curl; kept is still to be given */
	enum fare_net_result result; /* then */
	enum fare_net_result failed; /* ours; stands above what curl says */
	char error[FARE_NET_ERROR_N > CURL_ERROR_SIZE ? FARE_NET_ERROR_N : CURL_ERROR_SIZE];
};

/* Handles from the spare ones, and back to them. NULL: no memory. */
CURL *fare_net_easy(struct fare_net *n);
void fare_net_easy_back(struct fare_net *n, CURL *easy);
void fare_transfer_end(struct fare_transfer *t, CURLcode code); /* curl is done with it */
enum fare_net_result fare_transfer_result(const struct fare_transfer *t, CURLcode code);
void fare_transfer_tell(struct fare_transfer *t, enum fare_net_result result); /* done, unless it was aborted; frees it */
void fare_transfer_sent(struct fare_transfer *t); /* the body is not needed any more, if it was read whole */

/* HTTP/2 (h2.c): a transfer's options over TLS; its connection stands, which is known by its two ends. */
void fare_h2_set(struct fare_transfer *t, const char *url);
void fare_h2_connected(struct fare_transfer *t, const char *to, const char *from, int to_port, int from_port);

/* Servers and their gates (origin.c). */
void fare_origin_set(struct fare_transfer *t, const char *url);
bool fare_origin_enter(struct fare_transfer *t) FARE_MUST; /* to curl, now or when it is its turn; also those without a gate */
void fare_origin_leave(struct fare_transfer *t);           /* it has a connection, or needs none any more */
void fare_origin_open(struct fare_net *n);                 /* for whose turn it is */
void fare_origin_http1(struct fare_transfer *t, bool http1);
void fare_origins_free(struct fare_net *n);

/* Back-pressure (pause.c): a piece that comes while it is paused, and what to say to curl. */
size_t fare_pause_take(struct fare_transfer *t, const char *p, size_t n);
void fare_pause_release(struct fare_transfer *t);

/* Callbacks of curl that read the answer (answer.c). */
size_t fare_transfer_on_header(char *p, size_t size, size_t count, void *arg);
size_t fare_transfer_on_data(char *p, size_t size, size_t count, void *arg);

#endif
