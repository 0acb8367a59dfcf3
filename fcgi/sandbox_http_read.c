/* Reads HTTP/1.1 requests from a connection: strict about framing, and noting what the provider's policy looks at. */
#include "base/first.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "sandbox.h"

static int bad(struct fare_sb_error *error, const char *message)
{
	fare_sb_error_set(error, 400, "bad_http", "", message);
	return -1;
}

static bool is_token(const char *text)
{
	static const char letters[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~";

	return *text && !text[strspn(text, letters)];
}

static int request_line_read(struct fare_sb_head *head, char *line, struct fare_sb_error *error)
{
	char *target = strchr(line, ' '), *version = target ? strchr(target + 1, ' ') : NULL;

	if (!version)
		return bad(error, "The request line is malformed.");
	*target++ = 0;
	*version++ = 0;
	if (!is_token(line) || strlen(line) >= sizeof head->method || *target != '/' || strlen(target) >= sizeof head->target)
		return bad(error, "The request line is malformed.");
	if (strcmp(version, "HTTP/1.1") && strcmp(version, "HTTP/1.0"))
		return bad(error, "The version of HTTP is not known.");
	snprintf(head->method, sizeof head->method, "%s", line);
	snprintf(head->target, sizeof head->target, "%s", target);
	head->http10 = !strcmp(version, "HTTP/1.0");
	head->close = head->http10;
	return 0;
}

static int length_read(struct fare_sb_head *head, const char *value, struct fare_sb_error *error)
{
	if (head->has_length || !*value || value[strspn(value, "0123456789")] || strlen(value) > 18)
		return bad(error, "Content-Length is malformed or said twice.");
	head->has_length = true;
	head->length = strtoull(value, NULL, 10);
	return 0;
}

static void bearer_read(struct fare_sb_conn *conn, const char *value)
{
	const struct fare_sb *sb = conn->sb;

	if (strncasecmp(value, "Bearer ", 7) || !value[7])
		return;
	value += 7;
	conn->head.has_bearer = true;
	conn->head.key_right = !sb->key || (strlen(value) == sb->key_n && !memcmp(value, sb->key, sb->key_n));
}

static int call_id_read(struct fare_sb_head *head, const char *value, struct fare_sb_error *error)
{
	if (head->call_id[0] || !is_token(value) || strlen(value) > FARE_SB_NAME_MAX)
		return bad(error, "Farebox-Call-Id is malformed or said twice.");
	snprintf(head->call_id, sizeof head->call_id, "%s", value);
	return 0;
}

static int field_read(struct fare_sb_conn *conn, const char *name, const char *value, struct fare_sb_error *error)
{
	struct fare_sb_head *head = &conn->head;

	if (!strcasecmp(name, "content-length"))
		return length_read(head, value, error);
	if (!strcasecmp(name, "transfer-encoding")) {
		if (head->chunked || strcasecmp(value, "chunked"))
			return bad(error, "Transfer-Encoding is not known or said twice.");
		head->chunked = true;
	} else if (!strcasecmp(name, "host")) {
		if (head->has_host)
			return bad(error, "Host is said twice.");
		head->has_host = true;
	} else if (!strcasecmp(name, "connection")) {
		if (strcasestr(value, "close"))
			head->close = true;
	} else if (!strcasecmp(name, "content-type")) {
		size_t n = strlen("application/json");

		head->is_json = !strncasecmp(value, "application/json", n) && (!value[n] || value[n] == ';' || value[n] == ' ');
	} else if (!strcasecmp(name, "authorization")) {
		if (head->has_bearer)
			return bad(error, "Authorization is said twice.");
		bearer_read(conn, value);
	} else if (!strcasecmp(name, "expect")) {
		head->has_expect = true;
	} else if (!strcasecmp(name, "accept-encoding")) {
		head->has_accept_encoding = true;
	} else if (!strcasecmp(name, "farebox-call-id")) {
		return call_id_read(head, value, error);
	}
	return 0;
}

static int field_line_read(struct fare_sb_conn *conn, char *line, struct fare_sb_error *error)
{
	char *colon = strchr(line, ':'), *value, *end;

	if (!colon)
		return bad(error, "A header line has no colon.");
	*colon = 0;
	if (!is_token(line))
		return bad(error, "A header's name is malformed.");
	value = colon + 1 + strspn(colon + 1, " \t");
	for (end = value + strlen(value); end > value && (end[-1] == ' ' || end[-1] == '\t'); end--)
		;
	*end = 0;
	for (const char *p = value; *p; p++)
		if (((unsigned char)*p < ' ' && *p != '\t') || *p == 127)
			return bad(error, "Control character in a header.");
	return field_read(conn, line, value, error);
}

static int lines_read(struct fare_sb_conn *conn, char *text, size_t n, struct fare_sb_error *error)
{
	struct fare_sb_head *head = &conn->head;

	if (memchr(text, 0, n))
		return bad(error, "NUL in the request's head.");
	for (bool is_first = true; n; is_first = false) {
		char *end = memmem(text, n, "\r\n", 2);
		size_t used = (size_t)(end - text) + 2;

		*end = 0;
		if (is_first ? request_line_read(head, text, error) : field_line_read(conn, text, error))
			return -1;
		text += used;
		n -= used;
	}
	if (!head->http10 && !head->has_host)
		return bad(error, "Host is missing.");
	if (head->chunked && head->has_length)
		return bad(error, "Content-Length and Transfer-Encoding at once.");
	if (head->length > FARE_SB_BODY_MAX)
		return bad(error, "The body is too large.");
	return 0;
}

int fare_sb_head_read(struct fare_sb_conn *conn, struct fare_sb_error *error)
{
	struct evbuffer *in = bufferevent_get_input(conn->bev);
	struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
	char *text;
	size_t n;
	int rc;

	if (end.pos < 0 ? evbuffer_get_length(in) > FARE_SB_HEAD_MAX : end.pos > FARE_SB_HEAD_MAX)
		return bad(error, "The request's head is too large.");
	if (end.pos < 0)
		return 0;
	n = (size_t)end.pos + 2; /* all lines with their ends, without the empty one */
	text = malloc(n + 2);
	if (!text)
		return bad(error, "The sandbox has no memory left.");
	evbuffer_remove(in, text, n + 2);
	rc = lines_read(conn, text, n, error);
	free(text);
	return rc ? rc : 1;
}

/* A line of the chunked coding; NULL: not there yet. */
static char *chunk_line_read(struct evbuffer *in, size_t *n)
{
	return evbuffer_readln(in, n, EVBUFFER_EOL_CRLF_STRICT);
}

static int chunk_size_read(struct fare_sb_conn *conn, struct evbuffer *in, struct fare_sb_error *error)
{
	size_t n, digits;
	char *line = chunk_line_read(in, &n);

	if (!line)
		return evbuffer_get_length(in) > 1024 ? bad(error, "A chunk's size line is too long.") : 0;
	digits = strspn(line, "0123456789abcdefABCDEF");
	if (!digits || digits > 8 || (line[digits] && line[digits] != ';') || strlen(line) != n) {
		free(line);
		return bad(error, "A chunk's size is malformed.");
	}
	conn->chunk_left = strtoull(line, NULL, 16);
	free(line);
	if (conn->chunk_left + evbuffer_get_length(conn->body) > FARE_SB_BODY_MAX)
		return bad(error, "The body is too large.");
	conn->chunk = conn->chunk_left ? FARE_SB_CHUNK_DATA : FARE_SB_TRAILER;
	return 1;
}

/* The empty line after a chunk, or the trailers up to theirs. */
static int chunk_end_read(struct fare_sb_conn *conn, struct evbuffer *in, struct fare_sb_error *error)
{
	bool is_trailer = conn->chunk == FARE_SB_TRAILER;
	size_t n;
	char *line = chunk_line_read(in, &n);

	if (!line)
		return evbuffer_get_length(in) > 1024 ? bad(error, "The chunked body is malformed.") : 0;
	free(line);
	if (n && !is_trailer)
		return bad(error, "The chunked body is malformed.");
	if (is_trailer)
		return n ? 1 : 2;
	conn->chunk = FARE_SB_CHUNK_SIZE;
	return 1;
}

static int chunked_read(struct fare_sb_conn *conn, struct evbuffer *in, struct fare_sb_error *error)
{
	int rc = 1;

	while (rc == 1) {
		if (conn->chunk == FARE_SB_CHUNK_SIZE) {
			rc = chunk_size_read(conn, in, error);
		} else if (conn->chunk == FARE_SB_CHUNK_DATA) {
			int n = evbuffer_remove_buffer(in, conn->body, (size_t)conn->chunk_left);

			if (n <= 0)
				return 0;
			conn->chunk_left -= (uint64_t)n;
			if (!conn->chunk_left)
				conn->chunk = FARE_SB_CHUNK_END;
		} else {
			rc = chunk_end_read(conn, in, error);
		}
	}
	return rc > 1 ? 1 : rc;
}

int fare_sb_body_read(struct fare_sb_conn *conn, struct fare_sb_error *error)
{
	struct evbuffer *in = bufferevent_get_input(conn->bev);
	size_t have = evbuffer_get_length(conn->body);
	int rc = 1;

	if (conn->head.chunked)
		rc = chunked_read(conn, in, error);
	else if (have < conn->head.length) {
		evbuffer_remove_buffer(in, conn->body, (size_t)conn->head.length - have);
		rc = evbuffer_get_length(conn->body) == conn->head.length;
	}
	if (rc == 1 && !strcmp(conn->head.method, "POST") && evbuffer_get_length(in))
		return bad(error, "There is more than the body that was announced.");
	return rc;
}
