/* Connections: their life from accept to close, and answers on them. */
#include "base/first.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "sandbox.h"

enum { INPUT_MAX = 256 * 1024, LINGER_MS = 2000 };

static void conn_free(struct fare_sb_conn *conn)
{
	fare_sb_request_release(&conn->req);
	if (conn->timer)
		event_free(conn->timer);
	if (conn->body)
		evbuffer_free(conn->body);
	bufferevent_free(conn->bev);
	free(conn);
}

static void call_end(struct fare_sb_conn *conn, enum fare_sb_ending ending)
{
	if (!conn->call)
		return;
	fare_sb_record_end(conn->sb->record, conn->call, ending);
	conn->call = NULL;
	conn->sb->live--;
}

static void read_timeout_set(struct fare_sb_conn *conn, int timeout_ms)
{
	struct timeval t = {timeout_ms / 1000, timeout_ms % 1000 * 1000};

	bufferevent_set_timeouts(conn->bev, timeout_ms ? &t : NULL, NULL);
}

void fare_sb_conn_drop(struct fare_sb_conn *conn, enum fare_sb_ending ending)
{
	call_end(conn, ending);
	conn_free(conn);
}

void fare_sb_conn_reset(struct fare_sb_conn *conn, enum fare_sb_ending ending)
{
	struct linger now = {1, 0};

	setsockopt(bufferevent_getfd(conn->bev), SOL_SOCKET, SO_LINGER, &now, sizeof now);
	fare_sb_conn_drop(conn, ending);
}

void fare_sb_conn_wait(struct fare_sb_conn *conn, int64_t wait_ms, void (*then)(struct fare_sb_conn *))
{
	struct timeval t = {(time_t)(wait_ms / 1000), (suseconds_t)(wait_ms % 1000 * 1000)};

	conn->on_timer = then;
	event_add(conn->timer, &t);
}

void fare_sb_conn_write(struct fare_sb_conn *conn, struct evbuffer *bytes, void (*then)(struct fare_sb_conn *))
{
	conn->on_drained = then;
	bufferevent_write_buffer(conn->bev, bytes);
}

void fare_sb_conn_input_add(struct fare_sb_conn *conn)
{
	conn->call->input_tokens += fare_sb_request_input_tokens(&conn->req);
}

/* Closing with unread input would send RST and lose the answer: say FIN, and read until the peer's own. */
static void conn_linger(struct fare_sb_conn *conn)
{
	struct evbuffer *in = bufferevent_get_input(conn->bev);

	conn->state = FARE_SB_LINGER;
	evbuffer_drain(in, evbuffer_get_length(in));
	shutdown(bufferevent_getfd(conn->bev), SHUT_WR);
	read_timeout_set(conn, LINGER_MS);
	bufferevent_enable(conn->bev, EV_READ);
}

static void answer_end(struct fare_sb_conn *conn)
{
	struct evbuffer *in = bufferevent_get_input(conn->bev);

	call_end(conn, conn->ending);
	if (conn->to_close) {
		conn_linger(conn);
		return;
	}
	fare_sb_request_release(&conn->req);
	conn->state = FARE_SB_HEAD;
	if (evbuffer_get_length(in))
		bufferevent_trigger(conn->bev, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
}

void fare_sb_conn_finish(struct fare_sb_conn *conn, enum fare_sb_ending ending)
{
	conn->ending = ending;
	conn->on_drained = answer_end;
}

static const char *status_text(int status)
{
	static const struct { int status; const char *text; } list[] = {
		{200, "OK"}, {400, "Bad Request"}, {401, "Unauthorized"}, {402, "Payment Required"}, {403, "Forbidden"},
		{404, "Not Found"}, {405, "Method Not Allowed"}, {408, "Request Timeout"}, {409, "Conflict"},
		{413, "Content Too Large"}, {415, "Unsupported Media Type"}, {422, "Unprocessable Content"},
		{429, "Too Many Requests"}, {500, "Internal Server Error"}, {502, "Bad Gateway"},
		{503, "Service Unavailable"}, {504, "Gateway Timeout"},
	};

	for (size_t i = 0; i < FARE_ARRAY_N(list); i++)
		if (list[i].status == status)
			return list[i].text;
	return "Sandbox";
}

/* Fields that a web server would obey if they got through to it. */
static const char accel_fields[] =
	"X-Accel-Redirect: /sandbox-secret\r\nX-Accel-Buffering: yes\r\nX-Sendfile: /etc/passwd\r\nX-Lighttpd-Send-File: /etc/passwd\r\n"
	"Set-Cookie: sandbox=1; Path=/\r\nLocation: http://127.0.0.1:1/sandbox-elsewhere\r\nStatus: 299 Sandbox\r\n";

void fare_sb_reply_head(struct fare_sb_conn *conn, int status, const char *type, int64_t length, const char *extra)
{
	struct evbuffer *out = bufferevent_get_output(conn->bev);
	time_t now = time(NULL);
	struct tm tm;
	char date[64];

	gmtime_r(&now, &tm);
	strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (length < 0 && conn->head.http10)
		conn->to_close = true;
	evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\n", status, status_text(status), date, type);
	if (length >= 0)
		evbuffer_add_printf(out, "Content-Length: %lld\r\n", (long long)length);
	else if (!conn->head.http10)
		evbuffer_add_printf(out, "Transfer-Encoding: chunked\r\n");
	evbuffer_add_printf(out,
		"Connection: %s\r\nx-request-id: req_sandbox%016llx\r\nopenai-organization: sandbox\r\n"
		"openai-version: 2020-10-01\r\nopenai-processing-ms: 1\r\n%s%s\r\n",
		conn->to_close ? "close" : "keep-alive", (unsigned long long)conn->serial, extra,
		status == 200 && conn->model.kind == FARE_SB_ACCEL ? accel_fields : "");
}

void fare_sb_reply(struct fare_sb_conn *conn, int status, const char *type, struct evbuffer *body, enum fare_sb_ending ending)
{
	/* As an HTTP library would, the provider tells an overloaded client when to come back. */
	fare_sb_reply_head(conn, status, type, (int64_t)evbuffer_get_length(body), status == 429 ? "Retry-After: 1\r\n" : "");
	bufferevent_write_buffer(conn->bev, body);
	fare_sb_conn_finish(conn, ending);
}

void fare_sb_reply_error(struct fare_sb_conn *conn, const struct fare_sb_error *error, enum fare_sb_ending ending)
{
	struct evbuffer *body = evbuffer_new();

	if (!body) {
		fare_sb_conn_drop(conn, ending);
		return;
	}
	fare_sb_error_json(error, body);
	fare_sb_reply(conn, error->status, "application/json", body, ending);
	evbuffer_free(body);
}

/* Framing that can't be trusted: answer, and take nothing more from this connection. */
static void conn_refuse(struct fare_sb_conn *conn, const struct fare_sb_error *error)
{
	bool is_delivered = conn->state == FARE_SB_BODY && !conn->head.chunked &&
		evbuffer_get_length(conn->body) == conn->head.length;

	conn->state = FARE_SB_ANSWER;
	conn->to_close = true;
	conn->call = fare_sb_record_open(conn->sb->record, conn->head.call_id[0] ? conn->head.call_id : NULL);
	if (conn->call) {
		conn->sb->live++;
		conn->call->deliveries += is_delivered;
	}
	fare_sb_reply_error(conn, error, FARE_SB_REJECTED);
}

static void request_begin(struct fare_sb_conn *conn, struct fare_sb_error *error)
{
	if (conn->head.has_expect)
		fare_sb_error_set(error, 400, "expect", "", "The provider's front end does not answer Expect.");
	conn->state = FARE_SB_BODY;
	conn->chunk = FARE_SB_CHUNK_SIZE;
	conn->to_close = conn->head.close;
	conn->serial = ++conn->sb->serial;
	evbuffer_drain(conn->body, evbuffer_get_length(conn->body));
	memset(&conn->stream, 0, sizeof conn->stream);
	memset(&conn->model, 0, sizeof conn->model);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct fare_sb_conn *conn = arg;
	struct evbuffer *in = bufferevent_get_input(bev);
	struct fare_sb_error error = {0};
	int rc = 1;

	if (conn->state == FARE_SB_LINGER)
		evbuffer_drain(in, evbuffer_get_length(in));
	if (conn->state == FARE_SB_HEAD) {
		memset(&conn->head, 0, sizeof conn->head);
		rc = fare_sb_head_read(conn, &error);
		if (rc == 1)
			request_begin(conn, &error);
	}
	if (conn->state == FARE_SB_BODY && rc == 1 && !error.status)
		rc = fare_sb_body_read(conn, &error);
	if (error.status) {
		read_timeout_set(conn, 0);
		conn_refuse(conn, &error);
	} else if (conn->state == FARE_SB_HEAD || (conn->state == FARE_SB_BODY && rc == 0)) {
		read_timeout_set(conn, evbuffer_get_length(in) || conn->state == FARE_SB_BODY ? conn->sb->body_timeout_ms : 0);
	} else if (conn->state == FARE_SB_BODY) {
		read_timeout_set(conn, 0);
		conn->state = FARE_SB_ANSWER;
		fare_sb_request_serve(conn);
	}
}

static void on_write(struct bufferevent *bev, void *arg)
{
	struct fare_sb_conn *conn = arg;
	void (*then)(struct fare_sb_conn *) = conn->on_drained;

	(void)bev;
	conn->on_drained = NULL;
	if (then)
		then(conn);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct fare_sb_conn *conn = arg;
	struct fare_sb_error error = {0};

	(void)bev;
	if ((what & BEV_EVENT_TIMEOUT) && (conn->state == FARE_SB_HEAD || conn->state == FARE_SB_BODY)) {
		fare_sb_error_set(&error, 408, "request_timeout", "", "The request stopped before its end.");
		read_timeout_set(conn, 0);
		bufferevent_enable(conn->bev, EV_READ);
		conn_refuse(conn, &error);
		return;
	}
	if (conn->state == FARE_SB_BODY && conn->head.call_id[0]) {
		conn->call = fare_sb_record_open(conn->sb->record, conn->head.call_id);
		conn->sb->live += conn->call != NULL;
	}
	fare_sb_conn_drop(conn, FARE_SB_CLIENT_GONE);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct fare_sb_conn *conn = arg;

	(void)fd;
	(void)what;
	conn->on_timer(conn);
}

void fare_sb_conn_accept(struct fare_sb *sb, int fd)
{
	struct fare_sb_conn *conn = calloc(1, sizeof *conn);
	int one = 1;

	if (conn)
		conn->bev = bufferevent_socket_new(sb->base, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!conn || !conn->bev) {
		evutil_closesocket(fd);
		free(conn);
		return;
	}
	conn->sb = sb;
	conn->timer = event_new(sb->base, -1, 0, on_timer, conn);
	conn->body = evbuffer_new();
	if (!conn->timer || !conn->body) {
		conn_free(conn);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	bufferevent_setcb(conn->bev, on_read, on_write, on_event, conn);
	bufferevent_setwatermark(conn->bev, EV_READ, 0, INPUT_MAX);
	bufferevent_enable(conn->bev, EV_READ | EV_WRITE);
}
