/* farebox-load: many calls over many connections, each accounted for by a line of its own.
 *
 * A test client: it knows the gateway only by HTTP and shares no code with it. load.c has the options and the loop,
 * load_call.c one call: what is asked and what became of it. */
#ifndef FARE_TESTS_LOAD_H
#define FARE_TESTS_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <curl/curl.h>

enum { LOAD_ANSWER_MAX = 64 * 1024 * 1024, LOAD_WORD_MAX = 64 };

struct load_options {
	const char *url;               /* the origin, no path */
	const char *keys_path, *out_path, *model, *stream_model, *prompt;
	long calls;                    /* to make; 0: as many as run_s allows */
	long connections, stream_every, max_tokens, timeout_s, run_s;
};

struct load_totals { long made, ok, paid_out, other, broken, streams; };

struct load {
	struct load_options o;
	CURLM *multi;
	struct curl_slist **headers;   /* per key */
	size_t key_n;
	char *json_body, *stream_body; /* the same for all calls */
	char *target;
	FILE *out;
	struct load_totals totals;
};

/* One connection's worth of calls, one after the other. */
struct load_call {
	struct load *load;
	CURL *easy;
	long index;
	size_t key;
	bool is_stream, saw_done, has_usage, is_whole;
	long long input_tokens, output_tokens;
	char call_id[LOAD_WORD_MAX + 1], code[LOAD_WORD_MAX + 1];
	char *answer;                  /* the body; of a stream, the line that is not whole yet */
	size_t answer_n, answer_max;
	int64_t started_ms;
};

int64_t load_now_ms(void);
int load_bodies_make(struct load *load);
int load_call_init(struct load_call *call, struct load *load);
void load_call_release(struct load_call *call);
/* Prepares the call with this index and adds it to the multi handle: 0, or -1. */
int load_call_start(struct load_call *call, long index);
/* It ended with this curl result: counts it and writes its line. */
void load_call_end(struct load_call *call, CURLcode result);

#endif
