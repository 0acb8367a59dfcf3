/* Embeddings, as numbers or as base64 of 32-bit floats. Values are multiples of 1/128: exact in both spellings. */
#include "base/first.h"

#include <string.h>

#include <event2/buffer.h>

#include "sandbox.h"

/* The same input list gives the same vectors; neighbours differ. */
static float value_make(const struct fare_sb_request *req, size_t input, size_t dimension)
{
	uint64_t h = req->input_bytes * 1000003u + input * 8191u + dimension * 131u;

	for (size_t i = 0; i < req->seed_n; i++)
		h = h * 31 + (unsigned char)req->seed[i];
	h ^= h >> 29;
	return (float)((int)(h % 257) - 128) / 128.0f;
}

static void base64_add(const unsigned char *bytes, size_t n, struct evbuffer *out)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < n; i += 3) {
		uint32_t v = (uint32_t)bytes[i] << 16;
		char four[4];

		if (i + 1 < n)
			v |= (uint32_t)bytes[i + 1] << 8;
		if (i + 2 < n)
			v |= bytes[i + 2];
		four[0] = letters[v >> 18];
		four[1] = letters[(v >> 12) & 63];
		four[2] = i + 1 < n ? letters[(v >> 6) & 63] : '=';
		four[3] = i + 2 < n ? letters[v & 63] : '=';
		evbuffer_add(out, four, sizeof four);
	}
}

static void vector_add(const struct fare_sb_request *req, size_t input, struct evbuffer *out)
{
	unsigned char bytes[4096 * 4]; /* dimensions are at most 4096 */
	size_t n = (size_t)req->dimensions;

	for (size_t i = 0; i < n; i++) {
		float value = value_make(req, input, i);
		uint32_t bits;

		if (!req->base64) {
			evbuffer_add_printf(out, "%s%.7f", i ? "," : "[", (double)value);
			continue;
		}
		memcpy(&bits, &value, sizeof bits);
		for (int k = 0; k < 4; k++)
			bytes[i * 4 + (size_t)k] = (unsigned char)(bits >> (8 * k)); /* little-endian on the wire */
	}
	if (req->base64) {
		evbuffer_add(out, "\"", 1);
		base64_add(bytes, n * 4, out);
	}
	evbuffer_add(out, req->base64 ? "\"" : "]", 1);
}

void fare_sb_embed_answer(struct fare_sb_conn *conn)
{
	struct evbuffer *body = evbuffer_new();

	if (!body) {
		fare_sb_conn_drop(conn, FARE_SB_ERROR);
		return;
	}
	evbuffer_add_printf(body, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < conn->req.inputs; i++) {
		evbuffer_add_printf(body, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i ? "," : "", i);
		vector_add(&conn->req, i, body);
		evbuffer_add(body, "}", 1);
	}
	evbuffer_add_printf(body, "],\"model\":\"%s\"", conn->req.model);
	fare_sb_usage_add(conn, 0, body);
	evbuffer_add(body, "}\n", 2);
	fare_sb_reply(conn, 200, "application/json", body, FARE_SB_COMPLETE);
	evbuffer_free(body);
}
