/* Reading what was parsed: walking, names, strings, integers. */
#include "base/first.h"

#include "base/json_text.h"
#include "base/num.h"
#include "base/utf8.h"

const struct fare_json_node *fare_json_root(const struct fare_json *j) { return j->count > 0 ? &j->nodes[0] : NULL; }

const struct fare_json_node *fare_json_first(const struct fare_json *j, const struct fare_json_node *n)
{
	(void)j;
	return n && n->size > 0 ? n + 1 : NULL; /* only containers have a size */
}

const struct fare_json_node *fare_json_next(const struct fare_json *j, const struct fare_json_node *n)
{
	return n && n->next > 0 ? &j->nodes[n->next] : NULL;
}

const struct fare_json_node *fare_json_member(const struct fare_json *j, const struct fare_json_node *object, const char *name)
{
	if (!object || object->kind != FARE_JSON_OBJECT)
		return NULL;
	for (const struct fare_json_node *m = fare_json_first(j, object); m; m = fare_json_next(j, m))
		if (fare_json_key_is(j, m, name))
			return m;
	return NULL;
}

struct fare_span fare_json_text(const struct fare_json *j, const struct fare_json_node *n)
{
	return n ? fare_span_at(j->text.p + n->start, n->end - n->start) : fare_span_at(NULL, 0);
}

struct fare_span fare_json_key(const struct fare_json *j, const struct fare_json_node *n)
{
	return n ? fare_span_at(j->text.p + n->key, n->key_n) : fare_span_at(NULL, 0);
}

static uint32_t hex4(const char *p)
{
	uint32_t v = 0;
	for (int i = 0; i < 4; i++)
		v = v << 4 | (uint32_t)fare_num_hex(p[i]);
	return v;
}

/* At a backslash: the escape's bytes into r->out. */
static void read_escape(struct fare_json_reader *r)
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	char c = r->p[1];
	r->out_at = 0;
	if (c != 'u') {
		const char *at = strchr(from, c);
		r->out[0] = at ? to[at - from] : c;
		r->out_n = 1;
		r->p += 2;
		return;
	}
	uint32_t code = hex4(r->p + 2);
	r->p += 6;
	if (code >= 0xD800 && code <= 0xDFFF) {
		code = 0x10000 + ((code - 0xD800) << 10) + (hex4(r->p + 2) - 0xDC00);
		r->p += 6;
	}
	r->out_n = (uint8_t)fare_utf8_put(code, r->out);
}

int fare_json_reader_byte(struct fare_json_reader *r)
{
	if (r->out_at == r->out_n) {
		if (r->p == r->end)
			return -1;
		if (*r->p != '\\')
			return (unsigned char)*r->p++;
		read_escape(r);
	}
	return (unsigned char)r->out[r->out_at++];
}

static bool text_is(struct fare_span inner, bool escaped, const char *s)
{
	if (!escaped)
		return fare_span_is(inner, s);
	struct fare_json_reader r = fare_json_reader_of(inner);
	for (; *s; s++)
		if (fare_json_reader_byte(&r) != (unsigned char)*s)
			return false;
	return fare_json_reader_byte(&r) < 0;
}

bool fare_json_key_is(const struct fare_json *j, const struct fare_json_node *n, const char *name)
{
	return n && n->key > 0 && text_is(fare_json_key(j, n), n->key_escaped, name);
}

/* Between the quotes. */
static bool string_inner(const struct fare_json *j, const struct fare_json_node *n, struct fare_span *inner)
{
	if (!n || n->kind != FARE_JSON_STRING)
		return false;
	*inner = fare_span_at(j->text.p + n->start + 1, n->end - n->start - 2);
	return true;
}

bool fare_json_string_is(const struct fare_json *j, const struct fare_json_node *n, const char *value)
{
	struct fare_span inner;
	return string_inner(j, n, &inner) && text_is(inner, n->escaped, value);
}

bool fare_json_string(const struct fare_json *j, const struct fare_json_node *n, struct fare_buf *out)
{
	struct fare_span inner;
	if (!string_inner(j, n, &inner))
		return false;
	struct fare_json_reader r = fare_json_reader_of(inner);
	while (r.p < r.end) {
		const char *back = n->escaped ? memchr(r.p, '\\', (size_t)(r.end - r.p)) : NULL;
		const char *stop = back ? back : r.end;
		if (!fare_buf_add(out, r.p, (size_t)(stop - r.p)))
			return false;
		r.p = stop;
		if (!back)
			break;
		read_escape(&r);
		if (!fare_buf_add(out, r.out, r.out_n))
			return false;
	}
	return !out->failed;
}

size_t fare_json_string_bytes(const struct fare_json *j, const struct fare_json_node *n)
{
	struct fare_span inner;
	if (!string_inner(j, n, &inner))
		return 0;
	if (!n->escaped)
		return inner.n;
	struct fare_json_reader r = fare_json_reader_of(inner);
	size_t bytes = 0;
	while (fare_json_reader_byte(&r) >= 0)
		bytes++;
	return bytes;
}

bool fare_json_i64(const struct fare_json *j, const struct fare_json_node *n, int64_t min, int64_t max, int64_t *out)
{
	return n && n->kind == FARE_JSON_NUMBER && fare_num_i64(fare_json_text(j, n), min, max, out);
}
