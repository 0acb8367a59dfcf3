/* What an upstream answers, as curl hands it over: header lines, then pieces of the body. */
#include "base/first.h"

#include "base/clock.h"
#include "net/transfer.h"

static bool transfer_fail(struct fare_transfer *t, enum fare_net_result why)
{
	if (!t->failed)
		t->failed = why;
	return false;
}

static void keep_line(struct fare_transfer *t, struct fare_span line)
{
	const char *colon = memchr(line.p, ':', line.n);
	if (!colon || t->line_count == FARE_NET_HEADERS_MAX)
		return;
	struct fare_span name = fare_span_at(line.p, (size_t)(colon - line.p));
	struct fare_span value = fare_span_trim(fare_span_at(colon + 1, line.n - name.n - 1));
	struct header_line h = {.name = (uint32_t)t->head.n, .name_n = (uint32_t)name.n, .value_n = (uint32_t)value.n};
	fare_buf_add_span(&t->head, name);
	h.value = (uint32_t)t->head.n;
	if (fare_buf_add_span(&t->head, value))
		t->lines[t->line_count++] = h;
}

static bool take_line(struct fare_transfer *t, struct fare_span line)
{
	t->head_bytes += line.n;
	if (t->head_bytes > FARE_NET_HEAD_MAX)
		return transfer_fail(t, FARE_NET_HEAD_TOO_LARGE);
	if (t->head_done)
		return true; /* trailers */
	while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	if (fare_span_starts(line, "HTTP/")) { /* also after a 1xx, whose headers are nobody's */
		fare_buf_reset(&t->head);
		t->line_count = 0;
		return true;
	}
	if (line.n) {
		keep_line(t, line);
		return true;
	}
	long status = 0;
	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	if (status < 200)
		return true;
	if (status > 599)
		return transfer_fail(t, FARE_NET_GARBAGE);
	t->head_done = true;
	t->phase = FARE_NET_ANSWERING;
	t->active_ms = fare_clock_boot_ms();
	if (t->events.head)
		t->events.head(t->arg, (int)status);
	return !t->aborted;
}

size_t fare_transfer_on_header(char *p, size_t size, size_t count, void *arg)
{
	struct fare_transfer *t = arg;
	t->in_callback = true;
	fare_transfer_sent(t);
	bool good = !t->aborted && take_line(t, fare_span_at(p, size * count));
	t->in_callback = false;
	return good ? size * count : 0;
}

static bool take_data(struct fare_transfer *t, const char *p, size_t n)
{
	if (!t->head_done)
		return transfer_fail(t, FARE_NET_GARBAGE);
	t->received += n;
	if (t->body_max && t->received > t->body_max)
		return transfer_fail(t, FARE_NET_BODY_TOO_LARGE);
	t->active_ms = fare_clock_boot_ms();
	if (t->events.data)
		t->events.data(t->arg, p, n);
	return !t->aborted;
}

size_t fare_transfer_on_data(char *p, size_t size, size_t count, void *arg)
{
	struct fare_transfer *t = arg;
	if (t->aborted)
		return 0;
	if (t->paused)
		return fare_pause_take(t, p, size * count);
	t->in_callback = true;
	bool good = take_data(t, p, size * count);
	t->in_callback = false;
	return good ? size * count : 0;
}

struct fare_span fare_transfer_header(const struct fare_transfer *t, const char *name)
{
	for (size_t i = t->line_count; i-- > 0;) {
		const struct header_line *h = &t->lines[i];
		if (fare_span_is_nocase(fare_span_at(t->head.p + h->name, h->name_n), name))
			return fare_span_at(t->head.p + h->value, h->value_n);
	}
	return fare_span_at(NULL, 0);
}

bool fare_transfer_header_at(const struct fare_transfer *t, size_t i, struct fare_span *name, struct fare_span *value)
{
	if (i >= t->line_count)
		return false;
	*name = fare_span_at(t->head.p + t->lines[i].name, t->lines[i].name_n);
	*value = fare_span_at(t->head.p + t->lines[i].value, t->lines[i].value_n);
	return true;
}
