/* farebox-sandbox: a simulated provider that speaks OpenAI's dialect on 127.0.0.1.
 *
 * It is the independent witness of the tests, so it shares no code with the gateway, on purpose: it has its own HTTP,
 * its own strict reading of requests and its own count of what it delivered. Only base/first.h (macros) is common.
 * One thread, one event loop, one timer per connection. All text it makes is ASCII that JSON need not escape.
 *
 * Order of the files: record (what was served), json and strict (what is asked), model (how to answer by name), text
 * and chat and embed (proper answers), stream (SSE), fault (improper answers), http (connections), sandbox (main). */
#ifndef FARE_FCGI_SANDBOX_H
#define FARE_FCGI_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct bufferevent;
struct event_base;
struct event;
struct evbuffer;
struct evconnlistener;
struct json_object;

enum {
	FARE_SB_NAME_MAX = 64,             /* call ids, model names and tool names, bytes */
	FARE_SB_HEAD_MAX = 64 * 1024,      /* request line and headers, bytes */
	FARE_SB_BODY_MAX = 64 * 1024 * 1024,
	FARE_SB_TEXT_MAX = 256 * 1024 * 1024, /* all text of one answer, bytes */
	FARE_SB_SEED_MAX = 256,            /* what an answer echoes of the question, bytes */
	FARE_SB_DEPTH_MAX = 128,           /* nesting of request JSON */
	FARE_SB_MEMBERS_MAX = 4096,        /* members of one object, because duplicates are searched pairwise */
	FARE_SB_TOKEN_BYTES = 4,
	FARE_SB_NATURAL_TOKENS = 20        /* length of an answer that nobody asked to be longer */
};

/* ---- record: one entry per call id, kept as long as the process lives ---- */

enum fare_sb_ending {
	FARE_SB_RUNNING, FARE_SB_COMPLETE, FARE_SB_CLIENT_GONE, FARE_SB_CUT, FARE_SB_RESET, FARE_SB_ERROR, FARE_SB_REJECTED
};

struct fare_sb_call {
	struct fare_sb_call *next_in_bucket;
	uint64_t number;           /* 1 for the first */
	uint64_t deliveries;       /* requests with this id whose body came in whole */
	uint64_t input_tokens;     /* of all deliveries that were answered */
	uint64_t output_tokens;    /* of the text handed to the socket so far */
	int64_t started_ms;        /* wall clock */
	enum fare_sb_ending ending; /* of the last delivery */
	char id[FARE_SB_NAME_MAX + 1];
	char model[FARE_SB_NAME_MAX + 1];
};

struct fare_sb_record;
/* out may be NULL; else each ended call is appended to it as a line. */
struct fare_sb_record *fare_sb_record_new(FILE *out);
void fare_sb_record_free(struct fare_sb_record **record);
/* The entry of this id, made if need be; id NULL: a new "local-N". NULL: no memory. Owned by the record. */
struct fare_sb_call *fare_sb_record_open(struct fare_sb_record *record, const char *id);
void fare_sb_record_end(struct fare_sb_record *record, struct fare_sb_call *call, enum fare_sb_ending ending);
/* Appends a line for each call whose number is above since. */
void fare_sb_record_list(const struct fare_sb_record *record, uint64_t since, struct evbuffer *out);

/* ---- what is asked ---- */

enum fare_sb_api { FARE_SB_CHAT = 1, FARE_SB_COMPLETION = 2, FARE_SB_EMBEDDING = 4 };

/* A refusal in OpenAI's shape. status 0: nothing wrong. code and param may be empty (null). */
struct fare_sb_error {
	int status;
	const char *code;
	char param[FARE_SB_NAME_MAX + 1];
	char message[256];
};

/* A named value at the top of the request body. */
struct fare_sb_member { size_t at, n; };

struct fare_sb_request {
	enum fare_sb_api api;
	char model[FARE_SB_NAME_MAX + 1];
	bool stream, include_usage, base64, has_tool_call;
	int64_t choices;           /* n, times the prompts of a completion */
	int64_t max_tokens;        /* per choice; 0: not bounded */
	int64_t words;             /* asked for with words=N in the last user message; 0: not asked */
	int64_t dimensions;
	size_t inputs;             /* texts to embed */
	uint64_t input_bytes;      /* of all text that counts as input */
	uint64_t extra_tokens;     /* of input given as token numbers */
	char seed[FARE_SB_SEED_MAX]; /* cleaned start of the last user text */
	size_t seed_n;             /* a multiple of FARE_SB_TOKEN_BYTES, never 0 */
	char tool_name[FARE_SB_NAME_MAX + 1];
	char *tool_arguments;      /* JSON text, ASCII; owned; NULL without has_tool_call */
	size_t tool_arguments_n;
};

/* RFC 8259 text, valid UTF-8, no duplicate members, bounded depth: 0, or -1 and why (a constant). */
int fare_sb_json_check(const char *text, size_t n, const char **why);
/* Bytes of the value of a top-level member in text that passed the check; 0: not there. */
size_t fare_sb_json_member_bytes(const char *text, size_t n, const char *name);

/* Reads a request as strictly as the provider might. error->status stays 0 if all is well. Release it in any case. */
void fare_sb_request_read(struct fare_sb_request *req, enum fare_sb_api api, const char *body, size_t n, struct fare_sb_error *error);
void fare_sb_request_release(struct fare_sb_request *req);
uint64_t fare_sb_request_input_tokens(const struct fare_sb_request *req);
void fare_sb_error_set(struct fare_sb_error *error, int status, const char *code, const char *param, const char *message);
/* The members allowed and their types and ranges (strict_fields). */
void fare_sb_fields_check(struct json_object *root, enum fare_sb_api api, struct fare_sb_error *error);
/* Messages, tools and the text in them (strict_chat). */
void fare_sb_chat_read(struct fare_sb_request *req, struct json_object *root, struct fare_sb_error *error);
/* Takes the echo and the words=N hint from a user's text. */
void fare_sb_request_hint(struct fare_sb_request *req, const char *text, size_t n);

/* ---- how to answer: the model's name says ---- */

enum fare_sb_kind {
	FARE_SB_UNKNOWN, FARE_SB_PLAIN, FARE_SB_EMBED, FARE_SB_STATUS, FARE_SB_SLOW, FARE_SB_GARBAGE, FARE_SB_BADJSON,
	FARE_SB_RST, FARE_SB_CUT_AFTER, FARE_SB_HEADERS, FARE_SB_ACCEL, FARE_SB_TICK, FARE_SB_FULL, FARE_SB_NOUSAGE,
	FARE_SB_NEGATIVE, FARE_SB_HUGE, FARE_SB_STREAMERROR, FARE_SB_BIG, FARE_SB_CLOSE_REUSE
};

struct fare_sb_model {
	enum fare_sb_kind kind;
	int64_t a, b;              /* the numbers in its name: status, milliseconds, chunks, bytes */
};

struct fare_sb_model fare_sb_model_parse(const char *name);
/* GET /v1/models, and one of them. */
void fare_sb_models_list(struct evbuffer *out);
void fare_sb_models_show(const char *name, struct evbuffer *out);

/* ---- one connection and the request it serves now ---- */

enum fare_sb_state { FARE_SB_HEAD, FARE_SB_BODY, FARE_SB_ANSWER, FARE_SB_LINGER };
enum fare_sb_chunk { FARE_SB_CHUNK_SIZE, FARE_SB_CHUNK_DATA, FARE_SB_CHUNK_END, FARE_SB_TRAILER };

struct fare_sb_head {
	char method[16];
	char target[512];
	char call_id[FARE_SB_NAME_MAX + 1];
	bool http10, close, chunked, has_length, has_host, has_bearer, key_right, is_json, has_expect, has_accept_encoding;
	uint64_t length;
};

struct fare_sb_stream {
	int64_t choice;            /* whose turn it is */
	uint64_t at;               /* bytes of text of the choices served in this round */
	int64_t chunks;            /* content chunks sent in all */
	int step;
};

struct fare_sb {
	struct event_base *base;
	struct evconnlistener *listener;
	struct fare_sb_record *record;
	char *key;                 /* NULL: any key will do */
	size_t key_n;
	uint64_t live;             /* requests being answered */
	uint64_t serial;           /* answers made, for their ids */
	int body_timeout_ms;       /* between two pieces of a request */
};

struct fare_sb_conn {
	struct fare_sb *sb;
	struct bufferevent *bev;
	struct event *timer;
	enum fare_sb_state state;
	enum fare_sb_chunk chunk;
	uint64_t chunk_left;
	uint64_t posts;            /* on this connection, this one included */
	uint64_t serial;           /* of the answer */
	struct evbuffer *body;
	struct fare_sb_head head;
	struct fare_sb_call *call; /* NULL while none is open */
	struct fare_sb_request req;
	struct fare_sb_model model;
	struct fare_sb_stream stream;
	void (*on_drained)(struct fare_sb_conn *conn); /* all is written: what next */
	void (*on_timer)(struct fare_sb_conn *conn);
	enum fare_sb_ending ending; /* once all is written */
	bool to_close;             /* after this answer */
};

void fare_sb_conn_accept(struct fare_sb *sb, int fd);
/* To be called after a write: once it is out, the call ends and the connection waits for the next or closes in order. */
void fare_sb_conn_finish(struct fare_sb_conn *conn, enum fare_sb_ending ending);
/* These free the connection: the caller returns at once. */
void fare_sb_conn_drop(struct fare_sb_conn *conn, enum fare_sb_ending ending);   /* close, as it stands */
void fare_sb_conn_reset(struct fare_sb_conn *conn, enum fare_sb_ending ending);  /* RST */
void fare_sb_conn_wait(struct fare_sb_conn *conn, int64_t wait_ms, void (*then)(struct fare_sb_conn *));
/* Appends bytes to what is being written; then is called once all of it is out (NULL: nothing happens then). */
void fare_sb_conn_write(struct fare_sb_conn *conn, struct evbuffer *bytes, void (*then)(struct fare_sb_conn *));
void fare_sb_conn_input_add(struct fare_sb_conn *conn);                          /* the call's input counts as served */

/* http_head: 0 needs more, 1 read, -1 error (with its text). */
int fare_sb_head_read(struct fare_sb_conn *conn, struct fare_sb_error *error);
/* http_body: likewise; appends to conn->body. */
int fare_sb_body_read(struct fare_sb_conn *conn, struct fare_sb_error *error);

/* Status line and headers; length < 0: chunked, or until close for HTTP/1.0. extra: whole header lines or "". */
void fare_sb_reply_head(struct fare_sb_conn *conn, int status, const char *type, int64_t length, const char *extra);
/* A whole answer; empties body. */
void fare_sb_reply(struct fare_sb_conn *conn, int status, const char *type, struct evbuffer *body, enum fare_sb_ending ending);
void fare_sb_reply_error(struct fare_sb_conn *conn, const struct fare_sb_error *error, enum fare_sb_ending ending);
void fare_sb_error_json(const struct fare_sb_error *error, struct evbuffer *out);
void fare_sb_error_provider(struct fare_sb_error *error, int status); /* what the provider says with this status */

/* route: a request came in whole. */
void fare_sb_request_serve(struct fare_sb_conn *conn);

/* ---- proper answers ---- */

struct fare_sb_text {
	uint64_t bytes;            /* of one choice */
	const char *finish_reason;
};

struct fare_sb_text fare_sb_text_plan(const struct fare_sb_conn *conn);
/* Appends n bytes of a choice's text from at on. */
void fare_sb_text_add(const struct fare_sb_request *req, int64_t choice, uint64_t at, uint64_t n, struct evbuffer *out);
/* Appends bytes of the tool's arguments as the inside of a JSON string. */
void fare_sb_arguments_add(const struct fare_sb_request *req, uint64_t at, uint64_t n, struct evbuffer *out);
uint64_t fare_sb_tokens(uint64_t bytes);
uint64_t fare_sb_tool_name_tokens(const struct fare_sb_request *req);
/* ,"usage":{...} as this model reports it; nothing if it reports none. */
void fare_sb_usage_add(const struct fare_sb_conn *conn, uint64_t output_tokens, struct evbuffer *out);
void fare_sb_id_add(const struct fare_sb_conn *conn, struct evbuffer *out); /* the answer's id */

void fare_sb_answer(struct fare_sb_conn *conn);       /* as the request asks: one of the next three */
void fare_sb_chat_answer(struct fare_sb_conn *conn);
void fare_sb_embed_answer(struct fare_sb_conn *conn);
void fare_sb_stream_answer(struct fare_sb_conn *conn);
void fare_sb_chat_body(const struct fare_sb_conn *conn, struct evbuffer *out);
uint64_t fare_sb_output_tokens(const struct fare_sb_conn *conn); /* of all choices, when served in full */

/* ---- improper ones ---- */
void fare_sb_fault_answer(struct fare_sb_conn *conn);

#endif
