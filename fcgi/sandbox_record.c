/* What the sandbox served, per call id: a hash table that only grows, and a list in order of arrival. */
#include "base/first.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/buffer.h>

#include "sandbox.h"

struct fare_sb_record {
	struct fare_sb_call **bucket;
	size_t bucket_n;           /* a power of two */
	struct fare_sb_call **call; /* by number - 1 */
	size_t call_n, call_max;
	uint64_t local_n;
	FILE *out;
};

static const char *const ending_names[] = {"running", "complete", "client_gone", "cut", "reset", "error", "rejected"};

static size_t id_hash(const char *id)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a */

	for (; *id; id++)
		h = (h ^ (unsigned char)*id) * 1099511628211u;
	return (size_t)(h ^ (h >> 32));
}

static int64_t wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct fare_sb_record *fare_sb_record_new(FILE *out)
{
	struct fare_sb_record *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->bucket_n = r->call_max = 1024;
	r->bucket = calloc(r->bucket_n, sizeof *r->bucket);
	r->call = calloc(r->call_max, sizeof *r->call);
	r->out = out;
	if (!r->bucket || !r->call)
		fare_sb_record_free(&r);
	return r;
}

void fare_sb_record_free(struct fare_sb_record **record)
{
	struct fare_sb_record *r = *record;

	if (!r)
		return;
	for (size_t i = 0; i < r->call_n; i++)
		free(r->call[i]);
	free(r->call);
	free(r->bucket);
	free(r);
	*record = NULL;
}

/* Doubles the list and the table together, so that a chain stays about one entry long. */
static int record_grow(struct fare_sb_record *r)
{
	size_t n = r->call_max * 2;
	struct fare_sb_call **call = realloc(r->call, n * sizeof *call), **bucket;

	if (!call)
		return -1;
	r->call = call;
	bucket = calloc(n, sizeof *bucket);
	if (!bucket)
		return -1;
	for (size_t i = 0; i < r->call_n; i++) {
		struct fare_sb_call **head = &bucket[id_hash(call[i]->id) & (n - 1)];

		call[i]->next_in_bucket = *head;
		*head = call[i];
	}
	free(r->bucket);
	r->bucket = bucket;
	r->bucket_n = r->call_max = n;
	return 0;
}

struct fare_sb_call *fare_sb_record_open(struct fare_sb_record *r, const char *id)
{
	struct fare_sb_call *c, **head;
	char local[32];

	if (!id) {
		snprintf(local, sizeof local, "local-%llu", (unsigned long long)++r->local_n);
		id = local;
	}
	for (c = r->bucket[id_hash(id) & (r->bucket_n - 1)]; c; c = c->next_in_bucket)
		if (!strcmp(c->id, id)) {
			c->ending = FARE_SB_RUNNING;
			return c;
		}
	if (r->call_n == r->call_max && record_grow(r))
		return NULL;
	c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	snprintf(c->id, sizeof c->id, "%s", id);
	c->started_ms = wall_ms();
	head = &r->bucket[id_hash(c->id) & (r->bucket_n - 1)];
	c->next_in_bucket = *head;
	*head = c;
	r->call[r->call_n++] = c;
	c->number = r->call_n;
	return c;
}

static int call_line(const struct fare_sb_call *c, char *line, size_t n)
{
	return snprintf(line, n,
		"{\"call_id\":\"%s\",\"model\":\"%s\",\"deliveries\":%llu,\"input_tokens\":%llu,\"output_tokens\":%llu,"
		"\"ending\":\"%s\",\"number\":%llu,\"started_ms\":%lld}\n",
		c->id, c->model, (unsigned long long)c->deliveries, (unsigned long long)c->input_tokens,
		(unsigned long long)c->output_tokens, ending_names[c->ending], (unsigned long long)c->number,
		(long long)c->started_ms);
}

void fare_sb_record_end(struct fare_sb_record *r, struct fare_sb_call *call, enum fare_sb_ending ending)
{
	char line[512];

	call->ending = ending;
	if (!r->out)
		return;
	call_line(call, line, sizeof line);
	fputs(line, r->out);
	fflush(r->out);
}

void fare_sb_record_list(const struct fare_sb_record *r, uint64_t since, struct evbuffer *out)
{
	char line[512];

	for (size_t i = since < r->call_n ? (size_t)since : r->call_n; i < r->call_n; i++) {
		int n = call_line(r->call[i], line, sizeof line);

		evbuffer_add(out, line, (size_t)n);
	}
}
