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
	size_t body_count, body_at, piece_at;
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
	bool sent, head_done, paused, curl_paused, in_callback, aborted;
	enum fare_net_result failed; /* ours; stands above what curl says */
	char error[FARE_NET_ERROR_N > CURL_ERROR_SIZE ? FARE_NET_ERROR_N : CURL_ERROR_SIZE];
};

/* Handles from the spare ones, and back to them. NULL: no memory. */
CURL *fare_net_easy(struct fare_net *n);
void fare_net_easy_back(struct fare_net *n, CURL *easy);
void fare_transfer_end(struct fare_transfer *t, CURLcode code);

/* Callbacks of curl that read the answer (answer.c). */
size_t fare_transfer_on_header(char *p, size_t size, size_t count, void *arg);
size_t fare_transfer_on_data(char *p, size_t size, size_t count, void *arg);

#endif
