/* The JSON reader: what it accepts must hold together, survive being written out and read again, and be refused for a reason otherwise. */
#include "base/first.h"

#include "base/json.h"
#include "base/log.h"

#include "fuzz.h"

enum { TEXT_MAX = 64 * 1024 * 1024 };

static void check_string(const struct fare_json *j, const struct fare_json_node *n, struct fare_buf *value)
{
	fare_buf_reset(value);
	FARE_ASSERT(fare_json_string(j, n, value));
	FARE_ASSERT(fare_json_string_bytes(j, n) == value->n);
	if (n->end - n->start - 2 != value->n)
		FARE_ASSERT(n->escaped);
	if (value->n > 0 && !memchr(value->p, '\0', value->n))
		FARE_ASSERT(fare_json_string_is(j, n, fare_buf_cstr(value)));
}

/* The name's value by way of a text that holds nothing but the name: a member's name is read by the same rules as a string. */
static void write_name(const struct fare_json *j, const struct fare_json_node *n, struct fare_buf *out, struct fare_buf *value)
{
	struct fare_span name = fare_json_key(j, n);
	struct fare_json alone = {0};
	FARE_ASSERT(fare_json_parse(&alone, fare_span_at(name.p - 1, name.n + 2)));
	check_string(&alone, fare_json_root(&alone), value);
	fare_buf_add_json(out, fare_buf_span(value));
	fare_buf_add_char(out, ':');
	fare_json_release(&alone);
}

/* Recursion is bounded by FARE_JSON_DEPTH_MAX. */
static void write_value(const struct fare_json *j, const struct fare_json_node *n, struct fare_buf *out, struct fare_buf *value)
{
	bool object = n->kind == FARE_JSON_OBJECT;
	uint32_t children = 0, at = n->start + 1;
	if (n->kind == FARE_JSON_STRING) {
		check_string(j, n, value);
		fare_buf_add_json(out, fare_buf_span(value));
		return;
	}
	if (!object && n->kind != FARE_JSON_ARRAY) {
		fare_buf_add_span(out, fare_json_text(j, n));
		return;
	}
	fare_buf_add_char(out, object ? '{' : '[');
	for (const struct fare_json_node *m = fare_json_first(j, n); m; m = fare_json_next(j, m)) {
		FARE_ASSERT(m->start >= at && m->end > m->start && m->end < n->end);
		at = m->end;
		if (children++ > 0)
			fare_buf_add_char(out, ',');
		if (object)
			write_name(j, m, out, value);
		write_value(j, m, out, value);
	}
	FARE_ASSERT(children == n->size);
	fare_buf_add_char(out, object ? '}' : ']');
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct fare_json j = {0}, again = {0};
	struct fare_buf out, value, twice;
	if (!fare_json_parse(&j, fare_span_at((const char *)p, n))) {
		FARE_ASSERT(j.error && j.error_at <= n && !fare_json_root(&j));
		return 0;
	}
	fare_buf_init(&out, TEXT_MAX);
	fare_buf_init(&value, TEXT_MAX);
	fare_buf_init(&twice, TEXT_MAX);
	write_value(&j, fare_json_root(&j), &out, &value);
	FARE_ASSERT(!out.failed && fare_json_parse(&again, fare_buf_span(&out)) && again.count == j.count);
	write_value(&again, fare_json_root(&again), &twice, &value);
	FARE_ASSERT(fare_span_eq(fare_buf_span(&out), fare_buf_span(&twice)));
	fare_buf_release(&out);
	fare_buf_release(&value);
	fare_buf_release(&twice);
	fare_json_release(&j);
	fare_json_release(&again);
	return 0;
}
