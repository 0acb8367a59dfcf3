/*
 * Recorded answers of many providers through the tap, cut everywhere: the same usage, text, end and bytes whatever the cuts, and those that an independent reader
 * found (tests/replay/expected). Short answers are cut in two at each byte; all byte by byte, and at seeded places.
 * Streams also with a limit that grows, which changes nothing, and with one that does not: they end dry, at the same event whatever the cuts.
 */
#include "base/first.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/secret.h"
#include "wire/openai.h"

enum { COLUMNS = 15, ANSWER_MAX = 4 * 1024 * 1024, EACH_BYTE_MAX = 4096, SEEDED_RUNS = 20, TEXT_MAX = 8 * 1024 * 1024 };
enum column { FILE_NAME, ENDPOINT, STREAM, END, HAS_USAGE, CLAMPED, INPUT, OUTPUT, CACHED, CACHE_WRITE, REASONING, TEXT, MODEL, ASKED, UNASKED };

static unsigned failures;
static uint64_t seed = 20261124;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static bool cost_of(void *arg, const struct fare_usage *u, struct fare_amount *cost)
{
	(void)arg;
	*cost = fare_nano((int64_t)(u->input * 1000 + u->output * 2000));
	return true;
}

struct row {
	char *cell[COLUMNS];
	struct fare_span body;
};

static uint64_t figure(const struct row *r, enum column c) { return strtoull(r->cell[c], NULL, 10); }

static void fault(const struct row *r, const char *what, const char *how)
{
	printf("%s: %s (%s)\n", r->cell[FILE_NAME], what, how);
	failures++;
}

static struct fare_tap *tap_new(const struct row *r, bool asked, const char *model, fare_cost_fn *cost)
{
	return fare_tap_new((enum fare_endpoint)figure(r, ENDPOINT), figure(r, STREAM) == 1, asked, model, cost, NULL);
}

static void figures_check(const struct row *r, const struct fare_tap *t, const char *how)
{
	struct fare_usage u;
	bool clamped, has = fare_tap_usage(t, &u, &clamped);
	if (has != (figure(r, HAS_USAGE) == 1) || (has && clamped != (figure(r, CLAMPED) == 1)))
		fault(r, "usage reported or clamped where it should not be, or not where it should", how);
	if (has && (u.input != figure(r, INPUT) || u.output != figure(r, OUTPUT) || u.cached != figure(r, CACHED) || u.cache_write != figure(r, CACHE_WRITE) ||
	            u.reasoning != figure(r, REASONING)))
		fault(r, "another usage", how);
	if (fare_tap_text_bytes(t) != figure(r, TEXT))
		fault(r, "another count of text", how);
	if ((uint64_t)fare_tap_end(t) != figure(r, END))
		fault(r, "another end", how);
}

static void bytes_check(const struct row *r, struct fare_span out, const char *want, const char *how)
{
	struct fare_hash h;
	char hex[FARE_HEX_HASH_N];
	fare_sha256(out.p, out.n, &h);
	fare_hash_hex(&h, hex);
	if (strcmp(hex, want) != 0)
		fault(r, "other bytes", how);
}

/* Pushes the body in pieces; next gives the size of each. */
static void run(const struct row *r, bool asked, size_t (*next)(size_t arg), size_t arg, const char *how)
{
	struct fare_tap *t = tap_new(r, asked, "caller/\"model\"", cost_of);
	struct fare_buf out;
	fare_buf_init(&out, TEXT_MAX);
	for (size_t at = 0; at < r->body.n;) {
		size_t n = next(arg);
		n = n > r->body.n - at ? r->body.n - at : n;
		arg = arg > n ? arg - n : 0; /* for a single cut: the rest comes in one piece */
		if (!fare_tap_push(t, fare_span_at(r->body.p + at, n), &out))
			fault(r, "refused", how);
		at += n;
	}
	(void)fare_tap_finish(t, &out);
	figures_check(r, t, how);
	bytes_check(r, fare_buf_span(&out), r->cell[asked ? ASKED : UNASKED], how);
	fare_buf_release(&out);
	fare_tap_free(&t);
}

static size_t one_cut(size_t arg) { return arg > 0 ? arg : SIZE_MAX; }
static size_t each_byte(size_t arg) { (void)arg; return 1; }
static size_t seeded(size_t arg) { (void)arg; return 1 + next_random() % (next_random() % 4 == 0 ? 2000 : 40); }

/* With the provider's own model name and no cost there is nothing to edit: the bytes pass as they came. */
static void untouched_check(const struct row *r)
{
	struct fare_tap *t;
	struct fare_buf out;
	if (strcmp(r->cell[MODEL], "-") == 0)
		return;
	t = tap_new(r, true, r->cell[MODEL], NULL);
	fare_buf_init(&out, TEXT_MAX);
	if (!fare_tap_push(t, r->body, &out))
		fault(r, "refused", "untouched");
	(void)fare_tap_finish(t, &out);
	if (out.n < r->body.n || memcmp(out.p, r->body.p, r->body.n) != 0 || out.n > r->body.n + 2) /* two: the blank line that an unfinished event gets */
		fault(r, "edited though there was nothing to edit", "untouched");
	fare_buf_release(&out);
	fare_tap_free(&t);
}

/* Pushes the body with a limit that grows by `step` whenever an event waits; step 0: it does not, and the stream ends dry. */
static void run_limited(const struct row *r, uint64_t limit, uint64_t step, size_t (*next)(size_t arg), size_t arg, struct fare_buf *out, const char *how)
{
	struct fare_refusal notice = {.code = FARE_CODE_BALANCE_TOO_LOW};
	struct fare_tap_dry dry = {.choices = 1, .notice = &notice, .call_id = {{1}}};
	struct fare_tap *t = tap_new(r, true, "caller/\"model\"", cost_of);
	bool good = true;
	fare_tap_limit(t, limit);
	for (size_t at = 0; good && at < r->body.n && (step || !fare_tap_waits(t));) {
		size_t n = next(arg);
		n = n > r->body.n - at ? r->body.n - at : n;
		arg = arg > n ? arg - n : 0;
		good = fare_tap_push(t, fare_span_at(r->body.p + at, n), out);
		while (good && step && fare_tap_waits(t)) {
			fare_tap_limit(t, limit += step);
			good = fare_tap_push(t, fare_span_of(""), out);
		}
		at += n;
	}
	if (!good)
		fault(r, "refused", how);
	if (step) {
		(void)fare_tap_finish(t, out);
		figures_check(r, t, how);
	} else if (fare_tap_waits(t)) {
		if (fare_tap_text_bytes(t) > 2 * limit || fare_tap_seen(t) <= limit)
			fault(r, "more than the limit was relayed, or less waits", how);
		fare_tap_dry(t, &dry, out);
	} else {
		fault(r, "did not come to its limit", how);
	}
	fare_tap_free(&t);
}

/* What came before the end of ours is what had passed anyway, event by event. */
static void dry_check(const struct row *r, struct fare_span dry, struct fare_span whole)
{
	const char *end = memmem(dry.p, dry.n, "\"finish_reason\":\"length\"", 24), *done = "data: [DONE]\n\n";
	if (!end || dry.n < 14 || memcmp(dry.p + dry.n - 14, done, 14) != 0) {
		fault(r, "no end of ours", "dry");
		return;
	}
	while (end > dry.p && !(end[-1] == '\n' && *end == 'd'))
		end--;
	if ((size_t)(end - dry.p) > whole.n || memcmp(dry.p, whole.p, (size_t)(end - dry.p)) != 0)
		fault(r, "other bytes before the end", "dry");
}

static void limits_check(const struct row *r)
{
	struct fare_buf whole, first, again;
	struct fare_tap *t = tap_new(r, true, "caller/\"model\"", cost_of);
	fare_buf_init(&whole, TEXT_MAX);
	fare_buf_init(&first, TEXT_MAX);
	fare_buf_init(&again, TEXT_MAX);
	if (!fare_tap_push(t, r->body, &whole))
		fault(r, "refused", "whole");
	uint64_t seen = figure(r, TEXT) / 2; /* at the least */
	fare_tap_free(&t);
	run_limited(r, 0, 1, one_cut, 0, &first, "a growing limit");
	bytes_check(r, fare_buf_span(&first), r->cell[ASKED], "a growing limit");
	for (int i = 0; i < 4 && seen > 0; i++) {
		uint64_t limit = seen * (uint64_t)i / 4;
		fare_buf_reset(&first);
		run_limited(r, limit, 0, one_cut, 0, &first, "dry");
		dry_check(r, fare_buf_span(&first), fare_buf_span(&whole));
		for (size_t cut = 0; cut < (r->body.n <= EACH_BYTE_MAX ? r->body.n : SEEDED_RUNS); cut++) {
			fare_buf_reset(&again);
			run_limited(r, limit, 0, cut == 0 ? each_byte : r->body.n <= EACH_BYTE_MAX ? one_cut : seeded, cut, &again, "dry, cut");
			if (!fare_span_eq(fare_buf_span(&again), fare_buf_span(&first)))
				fault(r, "ends dry elsewhere", "dry, cut");
		}
	}
	fare_buf_release(&whole);
	fare_buf_release(&first);
	fare_buf_release(&again);
}

static bool row_split(char *line, struct row *r)
{
	size_t n = 0;
	for (char *p = line; p && n < COLUMNS; n++) {
		r->cell[n] = p;
		p = strchr(p, '\t');
		if (p)
			*p++ = '\0';
	}
	return n == COLUMNS;
}

static void row_run(struct row *r)
{
	for (int asked = 0; asked < 2; asked++) {
		run(r, asked, one_cut, 0, "in one piece");
		run(r, asked, each_byte, 0, "byte by byte");
		for (int i = 0; i < SEEDED_RUNS; i++)
			run(r, asked, seeded, 0, "seeded cuts");
		for (size_t cut = 1; r->body.n <= EACH_BYTE_MAX && cut < r->body.n; cut++)
			run(r, asked, one_cut, cut, "one cut");
	}
	untouched_check(r);
	if (figure(r, STREAM) == 1)
		limits_check(r);
}

int main(void)
{
	const char *srcdir = getenv("srcdir");
	char path[FARE_PATH_N];
	struct fare_buf table, body;
	char *save = NULL;
	unsigned rows = 0;
	fare_buf_init(&table, ANSWER_MAX);
	fare_buf_init(&body, ANSWER_MAX);
	if (!fare_path(path, sizeof path, srcdir ? srcdir : ".", "tests/replay/expected") || !fare_file_read(path, &table))
		fare_fatal("%s: not read", path);
	(void)fare_buf_cstr(&table);
	for (char *line = strtok_r(table.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save), rows++) {
		struct row r;
		char name[FARE_PATH_N];
		FARE_ASSERT(row_split(line, &r));
		fare_buf_reset(&body);
		if (!fare_path(name, sizeof name, "tests/replay/answers", r.cell[FILE_NAME]) || !fare_path(path, sizeof path, srcdir ? srcdir : ".", name) || !fare_file_read(path, &body))
			fare_fatal("%s: not read", path);
		r.body = fare_buf_span(&body);
		row_run(&r);
	}
	printf("%u answers, %u faults\n", rows, failures);
	fare_buf_release(&table);
	fare_buf_release(&body);
	return rows == 0 || failures > 0;
}
