/* The life of one transfer: its options, its request, its deadlines, its end. */
#include "base/first.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/secret.h"
#include "net/transfer.h"

enum {
	AGAIN_BYTES = 256 * 1024, /* of a body that is kept until the answer begins, because it may have to be sent again */
	AGAIN_MAX = 3             /* times */
};

void fare_transfer_sent(struct fare_transfer *t)
{
	if (t->sent || t->body_at < t->body_count)
		return;
	t->sent = true;
	if (t->events.sent)
		t->events.sent(t->arg);
}

static size_t on_read(char *out, size_t size, size_t count, void *arg)
{
	struct fare_transfer *t = arg;
	size_t room = size * count, n = 0;
	while (n < room && t->body_at < t->body_count) {
		struct fare_span piece = t->body[t->body_at];
		size_t part = piece.n - t->piece_at < room - n ? piece.n - t->piece_at : room - n;
		if (part)
			memcpy(out + n, piece.p + t->piece_at, part);
		n += part;
		t->piece_at += part;
		if (t->piece_at == piece.n) {
			t->body_at++;
			t->piece_at = 0;
		}
	}
	t->active_ms = fare_clock_boot_ms();
	if (!t->shares || t->body_n > AGAIN_BYTES) {
		t->in_callback = true;
		fare_transfer_sent(t);
		t->in_callback = false;
	}
	return t->aborted ? CURL_READFUNC_ABORT : n;
}

/* The connection stands and the request is about to go out. */
static int on_connected(void *arg, char *to, char *from, int to_port, int from_port)
{
	struct fare_transfer *t = arg;
	if (t->shares)
		fare_h2_connected(t, to, from, to_port, from_port);
	t->phase = FARE_NET_WAITING;
	t->active_ms = fare_clock_boot_ms();
	return CURL_PREREQFUNC_OK;
}

static void transfer_unlink(struct fare_transfer *t)
{
	*(t->before ? &t->before->next : &t->net->first) = t->next;
	if (t->next)
		t->next->before = t->before;
}

static void transfer_free(struct fare_transfer *t)
{
	transfer_unlink(t);
	fare_origin_leave(t);
	if (t->easy) {
		curl_multi_remove_handle(t->net->multi, t->easy);
		fare_net_easy_back(t->net, t->easy);
	}
	curl_slist_free_all(t->headers);
	fare_timer_free(&t->timer);
	fare_pause_release(t);
	fare_buf_release(&t->head);
	free(t->body);
	free(t);
}

enum fare_net_result fare_transfer_result(const struct fare_transfer *t, CURLcode code)
{
	if (t->failed)
		return t->failed;
	switch (code) {
	case CURLE_OK: return FARE_NET_OK;
	case CURLE_COULDNT_RESOLVE_HOST: case CURLE_COULDNT_RESOLVE_PROXY: return FARE_NET_RESOLVE;
	case CURLE_COULDNT_CONNECT: case CURLE_PROXY: case CURLE_INTERFACE_FAILED: return FARE_NET_CONNECT;
	case CURLE_OPERATION_TIMEDOUT: return t->phase == FARE_NET_CONNECTING ? FARE_NET_CONNECT_TIMEOUT : FARE_NET_TOTAL_TIMEOUT;
	case CURLE_SSL_CONNECT_ERROR: case CURLE_PEER_FAILED_VERIFICATION: case CURLE_SSL_CERTPROBLEM: case CURLE_SSL_CIPHER: case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ENGINE_INITFAILED: case CURLE_SSL_ISSUER_ERROR: case CURLE_USE_SSL_FAILED: case CURLE_SSL_INVALIDCERTSTATUS: return FARE_NET_TLS;
	case CURLE_URL_MALFORMAT: case CURLE_FAILED_INIT: return FARE_NET_INTERNAL;
	case CURLE_UNSUPPORTED_PROTOCOL: return t->phase == FARE_NET_CONNECTING ? FARE_NET_INTERNAL : FARE_NET_GARBAGE; /* an answer of HTTP/0.9 is refused with this, too */
	case CURLE_WEIRD_SERVER_REPLY: case CURLE_BAD_CONTENT_ENCODING: return FARE_NET_GARBAGE;
	case CURLE_OUT_OF_MEMORY: return t->phase == FARE_NET_WAITING ? FARE_NET_HEAD_TOO_LARGE : FARE_NET_INTERNAL; /* curl's own limit of a header line */
	default: return t->phase == FARE_NET_CONNECTING ? FARE_NET_CONNECT : FARE_NET_RESET;
	}
}

/* From the loop, outside of curl's callbacks. */
void fare_transfer_tell(struct fare_transfer *t, enum fare_net_result result)
{
	fare_timer_clear(t->timer);
	if (!t->aborted) {
		t->in_callback = true; /* an abort from done is no double free */
		t->events.done(t->arg, result);
	}
	transfer_free(t);
}

/* Only what certainly was not processed: the server said so, or nothing of the body went out, because the server had gone away by then. All else that breaks is told. */
static bool send_again(struct fare_transfer *t)
{
	bool unread = t->stream && t->body_n && t->body_at == 0 && t->piece_at == 0;
	if (!(t->refused || unread) || t->head_bytes || t->sent || t->aborted || t->failed || t->again == AGAIN_MAX)
		return false;
	t->again++;
	t->refused = false;
	t->connection = 0;
	t->stream = 0;
	t->body_at = t->piece_at = 0;
	t->phase = FARE_NET_CONNECTING;
	t->active_ms = fare_clock_boot_ms();
	t->error[0] = 0;
	fare_timer_set(t->timer, 1); /* looks at the deadlines of this phase */
	curl_multi_remove_handle(t->net->multi, t->easy);
	if (t->again == AGAIN_MAX) /* another kept connection may be no better */
		curl_easy_setopt(t->easy, CURLOPT_FRESH_CONNECT, 1L);
	return fare_origin_enter(t);
}

void fare_transfer_end(struct fare_transfer *t, CURLcode code)
{
	if (code != CURLE_OK && send_again(t))
		return;
	t->result = fare_transfer_result(t, code);
	t->ended = true;
	if (t->kept.n == 0) /* else resume tells it */
		fare_transfer_tell(t, t->result);
}

static uint64_t phase_limit_ms(const struct fare_transfer *t)
{
	switch (t->phase) {
	case FARE_NET_CONNECTING: return t->timeouts.connect_ms;
	case FARE_NET_WAITING: return t->timeouts.first_byte_ms;
	default: return t->paused ? UINT64_MAX : t->timeouts.idle_ms;
	}
}

static enum fare_net_result phase_result(const struct fare_transfer *t)
{
	switch (t->phase) {
	case FARE_NET_CONNECTING: return FARE_NET_CONNECT_TIMEOUT;
	case FARE_NET_WAITING: return FARE_NET_FIRST_BYTE_TIMEOUT;
	default: return FARE_NET_IDLE_TIMEOUT;
	}
}

/* One timer; activity only notes the time, and the deadline is looked at when the timer rings. */
static void on_deadline(void *arg)
{
	struct fare_transfer *t = arg;
	if (!t->easy || t->failed) {
		fare_transfer_tell(t, t->easy ? t->failed : FARE_NET_INTERNAL);
		return;
	}
	uint64_t now = fare_clock_boot_ms(), limit = phase_limit_ms(t), idle = now - t->active_ms, age = now - t->started_ms;
	if (age >= t->timeouts.total_ms || idle >= limit) {
		fare_transfer_tell(t, age >= t->timeouts.total_ms ? FARE_NET_TOTAL_TIMEOUT : phase_result(t));
		return;
	}
	uint64_t next = t->timeouts.total_ms - age;
	if (limit != UINT64_MAX && limit - idle < next)
		next = limit - idle;
	/* A phase that begins meanwhile may have the shorter limit. */
	uint64_t least = t->timeouts.first_byte_ms < t->timeouts.idle_ms ? t->timeouts.first_byte_ms : t->timeouts.idle_ms;
	if (t->phase != FARE_NET_ANSWERING || t->paused)
		next = least < next ? least : next;
	fare_timer_set(t->timer, next ? next : 1);
}

static bool set_headers(struct fare_transfer *t, const struct fare_net_request *r)
{
	struct fare_buf line = {0};
	bool good = true;
	fare_buf_init(&line, 64 * 1024);
	for (size_t i = 0; good && i <= r->header_count; i++) {
		fare_buf_reset(&line);
		if (i < r->header_count)
			fare_buf_addf(&line, "%s: %s", r->headers[i].name, r->headers[i].value);
		else
			fare_buf_add_str(&line, "Expect:"); /* without a value: never sent */
		struct curl_slist *more = line.failed ? NULL : curl_slist_append(t->headers, fare_buf_cstr(&line));
		good = more != NULL;
		if (good)
			t->headers = more;
	}
	fare_wipe(line.p, line.n);
	fare_buf_release(&line);
	return good;
}

static void set_fixed_options(CURL *e)
{
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(e, CURLOPT_CAPATH, NULL); /* with it curl reads all certificates anew for each connection */
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, 16384L); /* the least: each transfer has one */
	curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 16384L);
	curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(e, CURLOPT_PREREQFUNCTION, on_connected);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, fare_transfer_on_header);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, fare_transfer_on_data);
}

static bool set_options(struct fare_transfer *t, const struct fare_net_request *r)
{
	CURL *e = t->easy;
	set_fixed_options(e);
	curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	curl_easy_setopt(e, CURLOPT_READDATA, t);
	curl_easy_setopt(e, CURLOPT_PREREQDATA, t);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(t->timeouts.connect_ms * 2)); /* a net below our own timer */
	if (t->net->proxy)
		curl_easy_setopt(e, CURLOPT_PROXY, t->net->proxy);
	if (t->net->ca_file)
		curl_easy_setopt(e, CURLOPT_CAINFO, t->net->ca_file);
	if (strncasecmp(r->url, "https:", 6) == 0)
		fare_h2_set(t, r->url);
	if (r->post) {
		curl_easy_setopt(e, CURLOPT_POST, 1L);
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)t->body_n);
	}
	return curl_easy_setopt(e, CURLOPT_URL, r->url) == CURLE_OK;
}

struct fare_transfer *fare_net_start(struct fare_net *n, const struct fare_net_request *r, const struct fare_net_events *events, void *arg)
{
	struct fare_transfer *t = fare_alloc(sizeof *t);
	t->net = n;
	t->events = *events;
	t->arg = arg;
	t->timeouts = r->timeouts;
	t->body_max = r->body_max;
	t->started_ms = t->active_ms = fare_clock_boot_ms();
	fare_buf_init(&t->head, FARE_NET_HEAD_MAX);
	if (r->body_count) {
		t->body = fare_alloc(r->body_count * sizeof *t->body);
		memcpy(t->body, r->body, r->body_count * sizeof *t->body);
		t->body_count = r->body_count;
		for (size_t i = 0; i < t->body_count; i++)
			t->body_n += t->body[i].n;
	}
	t->next = n->first;
	if (t->next)
		t->next->before = t;
	n->first = t;
	t->timer = fare_timer_new(n->loop, on_deadline, t);
	t->easy = fare_net_easy(n);
	bool good = t->easy && set_headers(t, r) && set_options(t, r) && fare_origin_enter(t);
	if (!good && t->easy) {
		curl_easy_cleanup(t->easy);
		t->easy = NULL; /* the deadline tells it, from the loop */
	}
	uint64_t first = t->timeouts.connect_ms < t->timeouts.first_byte_ms ? t->timeouts.connect_ms : t->timeouts.first_byte_ms;
	first = t->timeouts.idle_ms < first ? t->timeouts.idle_ms : first;
	first = t->timeouts.total_ms < first ? t->timeouts.total_ms : first;
	fare_timer_set(t->timer, good ? first : 0);
	return t;
}

void fare_transfer_abort(struct fare_transfer **at)
{
	struct fare_transfer *t = *at;
	if (!t)
		return;
	*at = NULL;
	t->aborted = true;
	if (!t->in_callback) /* else curl is told by the callback's result, and the end comes from the loop */
		transfer_free(t);
}

const char *fare_transfer_error(const struct fare_transfer *t)
{
	return t->error;
}

const char *fare_net_result_text(enum fare_net_result r)
{
	static const char *const texts[] = {
		[FARE_NET_OK] = "the answer is whole",
		[FARE_NET_RESOLVE] = "its name was not found",
		[FARE_NET_CONNECT] = "it could not be reached",
		[FARE_NET_TLS] = "no trusted TLS connection could be made",
		[FARE_NET_RESET] = "it closed the connection before its answer was whole",
		[FARE_NET_GARBAGE] = "what it answered is not HTTP",
		[FARE_NET_HEAD_TOO_LARGE] = "its headers have no end",
		[FARE_NET_BODY_TOO_LARGE] = "its answer is too large",
		[FARE_NET_UNREAD] = "too much of its answer waited to be read",
		[FARE_NET_CONNECT_TIMEOUT] = "no connection could be made in time",
		[FARE_NET_FIRST_BYTE_TIMEOUT] = "it did not begin to answer in time",
		[FARE_NET_IDLE_TIMEOUT] = "it fell silent",
		[FARE_NET_TOTAL_TIMEOUT] = "it did not end in time",
		[FARE_NET_INTERNAL] = "the request could not be made",
	};
	return (size_t)r < FARE_ARRAY_N(texts) && texts[r] ? texts[r] : "";
}
