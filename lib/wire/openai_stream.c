/*
 * Streams: server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), cut anywhere. An event is kept until its blank line, then passed as it
 * came but for the edits, or dropped when it only holds the usage that its reader did not ask for. Lines end in LF, CRLF or CR.
 */
#include "base/first.h"

#include "wire/openai_tap.h"

static bool field_is(struct fare_span name, const char *s) { return fare_span_is(name, s); }

static void data_line(struct fare_tap *t, struct fare_span value)
{
	if (t->data_lines++ == 0) {
		t->data.at = (uint64_t)(value.p - t->raw.p);
		t->data.end = t->data.at + value.n;
		return;
	}
	if (t->data_lines == 2)
		fare_buf_add(&t->joined, t->raw.p + t->data.at, (size_t)(t->data.end - t->data.at));
	fare_buf_add_char(&t->joined, '\n');
	fare_buf_add_span(&t->joined, value);
}

/* A line without its end. */
static void line_read(struct fare_tap *t, struct fare_span line)
{
	const char *colon = memchr(line.p, ':', line.n);
	struct fare_span name = fare_span_at(line.p, colon ? (size_t)(colon - line.p) : line.n), value = fare_span_at(line.p + line.n, 0);
	if (colon == line.p) /* a comment */
		return;
	if (colon) {
		size_t skip = name.n + 1;
		if (skip < line.n && line.p[skip] == ' ')
			skip++;
		value = fare_span_at(line.p + skip, line.n - skip);
	}
	if (field_is(name, "data")) {
		data_line(t, value);
		return;
	}
	t->other_lines++;
	if (field_is(name, "event"))
		t->error_event |= fare_span_is(value, "error");
	else if (!field_is(name, "id") && !field_is(name, "retry"))
		t->unknown_field = true;
}

static void event_reset(struct fare_tap *t)
{
	fare_buf_reset(&t->raw);
	fare_buf_reset(&t->joined);
	t->line_at = 0;
	t->data_lines = t->other_lines = 0;
	t->error_event = t->unknown_field = false;
}

static struct fare_span event_payload(const struct fare_tap *t)
{
	return t->data_lines > 1 ? fare_buf_span(&t->joined) : fare_span_at(t->raw.p + t->data.at, (size_t)(t->data.end - t->data.at));
}

/* An event of several data lines is written with its data last, each line of the edited text its own. Newlines stand between JSON's tokens only. */
static void joined_write(struct fare_tap *t, struct fare_buf *out)
{
	struct fare_buf edited;
	fare_buf_init(&edited, 2 * FARE_EVENT_MAX);
	fare_tap_edit(t, fare_buf_span(&t->joined), 0, &edited);
	if (t->error_event)
		fare_buf_add_str(out, "event: error\n");
	fare_buf_add_str(out, "data: ");
	for (size_t i = 0; i < edited.n; i++) {
		fare_buf_add_char(out, edited.p[i]);
		if (edited.p[i] == '\n')
			fare_buf_add_str(out, "data: ");
	}
	fare_buf_add_str(out, "\n\n");
	fare_buf_release(&edited);
}

static void event_write(struct fare_tap *t, struct fare_buf *out)
{
	if (t->data_lines > 1) {
		joined_write(t, out);
		return;
	}
	fare_buf_add(out, t->raw.p, (size_t)t->data.at);
	fare_tap_edit(t, event_payload(t), 0, out);
	fare_buf_add(out, t->raw.p + t->data.end, t->raw.n - (size_t)t->data.end);
}

/* The extra chunk that include_usage brings: no choices, and a usage. */
static bool is_usage_chunk(const struct fare_tap *t)
{
	return t->scan.answers && t->scan.empty && t->scan.usage_there && !t->scan.error;
}

/* False: it is no JSON. */
static bool chunk_scan(struct fare_tap *t, struct fare_span payload)
{
	uint64_t text_bytes = t->scan.text_bytes;
	fare_scan_begin(&t->scan);
	if (fare_scan_push(&t->scan, payload) && fare_scan_whole(&t->scan))
		return true;
	t->scan.text_bytes = text_bytes;
	return false;
}

/* Does the chunk in hand bring text that is not held for? What brings none (an end, a usage) always passes. */
static bool chunk_waits(const struct fare_tap *t)
{
	const struct fare_scan *s = &t->scan;
	bool more = s->text_bytes > t->text_bytes || s->deltas > t->deltas;
	return more && fare_tap_tokens(s->text_bytes, s->deltas, s->usage_found ? &s->usage : &t->usage) > t->limit;
}

/* For a last chunk of ours: whose stream it is. */
static void chunk_name(struct fare_tap *t, struct fare_span payload)
{
	const struct fare_scan_place *id = &t->scan.id_place;
	if (t->id[0] || id->end == 0 || id->end - id->at >= sizeof t->id)
		return;
	memcpy(t->id, payload.p + id->at, (size_t)(id->end - id->at));
	t->created = t->scan.created;
}

/* Counted, then passed or dropped. */
static void chunk_pass(struct fare_tap *t, struct fare_span payload, struct fare_buf *out)
{
	fare_tap_take(t);
	chunk_name(t, payload);
	t->error |= t->scan.error;
	t->drop_lf = !t->usage_asked && is_usage_chunk(t);
	if (!t->drop_lf)
		event_write(t, out);
}

/* At the blank line. False: not what the dialect allows. */
static bool event_end(struct fare_tap *t, struct fare_buf *out)
{
	struct fare_span payload = t->data_lines > 0 ? fare_span_trim(event_payload(t)) : fare_span_at(NULL, 0);
	bool good = !t->unknown_field && !t->joined.failed;
	t->drop_lf = false;
	t->error |= good && t->error_event;
	if (good && payload.n > 0 && !fare_span_is(payload, "[DONE]")) {
		good = chunk_scan(t, event_payload(t));
		t->waits = good && chunk_waits(t);
		if (t->waits)
			return true;
		if (good)
			chunk_pass(t, event_payload(t), out);
	} else if (good) {
		t->done |= payload.n > 0;
		fare_buf_add_span(out, fare_buf_span(&t->raw));
	}
	event_reset(t);
	return good;
}

/* raw holds a whole line from line_at on, without its end; `end` is that end's first byte. False: garbage. */
static bool line_end(struct fare_tap *t, char end, struct fare_buf *out)
{
	size_t n = t->raw.n - t->line_at;
	if (n > 0)
		line_read(t, fare_span_at(t->raw.p + t->line_at, n));
	t->after_cr = end == '\r';
	if (!fare_buf_add_char(&t->raw, end))
		return false;
	t->line_at = t->raw.n;
	return n > 0 || event_end(t, out);
}

/* The LF of a CRLF whose CR ended the line before. */
static bool late_lf(struct fare_tap *t, struct fare_buf *out)
{
	if (t->raw.n == 0) {
		if (!t->drop_lf)
			fare_buf_add_char(out, '\n');
		return true;
	}
	if (!fare_buf_add_char(&t->raw, '\n'))
		return false;
	t->line_at = t->raw.n;
	return true;
}

static size_t line_bytes(struct fare_span s)
{
	size_t n = 0;
	while (n < s.n && s.p[n] != '\n' && s.p[n] != '\r')
		n++;
	return n;
}

/* Up to an event that waits; what comes after it is kept. */
static bool stream_read(struct fare_tap *t, struct fare_span bytes, struct fare_buf *out)
{
	bool good = true;
	size_t i = 0;
	while (i < bytes.n && good && !t->waits) {
		size_t n = line_bytes(fare_span_at(bytes.p + i, bytes.n - i));
		bool lf_of_cr = t->after_cr && n == 0 && bytes.p[i] == '\n';
		t->after_cr = false;
		if (lf_of_cr) {
			good = late_lf(t, out);
			i++;
			continue;
		}
		good = n == 0 || fare_buf_add(&t->raw, bytes.p + i, n);
		i += n;
		if (good && i < bytes.n)
			good = line_end(t, bytes.p[i++], out);
	}
	return good && (i == bytes.n || fare_buf_add(&t->rest, bytes.p + i, bytes.n - i));
}

/* The event that waits passes, and what came after it is read. */
static bool stream_go_on(struct fare_tap *t, struct fare_buf *out)
{
	struct fare_buf rest = t->rest;
	fare_buf_init(&t->rest, FARE_EVENT_MAX);
	t->waits = false;
	chunk_pass(t, event_payload(t), out);
	event_reset(t);
	bool good = stream_read(t, fare_buf_span(&rest), out);
	fare_buf_release(&rest);
	return good;
}

bool fare_tap_stream_push(struct fare_tap *t, struct fare_span bytes, struct fare_buf *out)
{
	bool good = !t->waits || chunk_waits(t) || stream_go_on(t, out);
	good = good && stream_read(t, bytes, out);
	if (!good)
		t->end = FARE_TAP_GARBAGE;
	return good;
}

/* What came without its blank line is passed if it is whole, and given one, so that its reader sees it. */
static bool rest_pass(struct fare_tap *t, struct fare_buf *out)
{
	if (t->raw.n == 0 || t->cut_off)
		return !t->cut_off;
	if (t->raw.n > t->line_at && !line_end(t, '\n', out))
		return false;
	return t->raw.n == 0 || line_end(t, '\n', out);
}

void fare_tap_last(struct fare_tap *t, struct fare_buf *out)
{
	if (t->end == FARE_TAP_OPEN && !t->waits)
		t->cut_off = !rest_pass(t, out);
}

void fare_tap_stream_finish(struct fare_tap *t, struct fare_buf *out)
{
	fare_tap_last(t, out);
	bool whole = !t->waits && !t->cut_off;
	event_reset(t);
	if (t->error)
		t->end = FARE_TAP_ERROR;
	else if (t->done || (whole && fare_scan_all_finished(&t->scan)))
		t->end = FARE_TAP_COMPLETE;
	else
		t->end = FARE_TAP_TRUNCATED;
}
