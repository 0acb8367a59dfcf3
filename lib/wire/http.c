/* Routes, keys and headers. */
#include "base/first.h"

#include <string.h>

#include "base/num.h"
#include "base/secret.h"
#include "wire/http.h"

enum { PATH_MAX_BYTES = 1024, HEADER_LINE_MAX = 7 * 1024 };

/* Paths that end in a name of something. */
static const struct { const char *path; enum fare_route route; } named[] = {{"/v1/models/", FARE_ROUTE_MODEL}, {"/v1/calls/", FARE_ROUTE_CALL}};

static const struct {
	const char *path;
	enum fare_route route;
	const char *allow;
} routes[] = {
	{"/v1/chat/completions", FARE_ROUTE_CHAT, "POST"},
	{"/v1/completions", FARE_ROUTE_COMPLETIONS, "POST"},
	{"/v1/embeddings", FARE_ROUTE_EMBEDDINGS, "POST"},
	{"/v1/models", FARE_ROUTE_MODELS, "GET, HEAD"},
	{"/healthz", FARE_ROUTE_HEALTHZ, "GET, HEAD"},
};

struct path {
	char text[PATH_MAX_BYTES];
	size_t n;
	size_t slash; /* where the first encoded slash stands: it is no separator */
};

/* The path of a request target in origin or absolute form, without query. */
static struct fare_span target_path(struct fare_span uri)
{
	size_t n = 0;
	for (size_t scheme = 7; scheme <= 8; scheme++) {
		struct fare_span front = fare_span_at(uri.p, uri.n < scheme ? uri.n : scheme);
		if (!fare_span_is_nocase(front, scheme == 7 ? "http://" : "https://"))
			continue;
		const char *slash = memchr(uri.p + scheme, '/', uri.n - scheme);
		size_t cut = slash ? (size_t)(slash - uri.p) : uri.n;
		uri = fare_span_at(uri.p + cut, uri.n - cut);
		break;
	}
	while (n < uri.n && uri.p[n] != '?' && uri.p[n] != '#')
		n++;
	return fare_span_at(uri.p, n);
}

static bool path_decode(struct fare_span s, struct path *path)
{
	path->n = 0;
	path->slash = SIZE_MAX;
	for (size_t i = 0; i < s.n; i++) {
		int c = (unsigned char)s.p[i];
		if (c == '%') {
			int high = i + 2 < s.n ? fare_num_hex(s.p[i + 1]) : -1, low = i + 2 < s.n ? fare_num_hex(s.p[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = high << 4 | low;
			i += 2;
			if (c == '/' && path->slash == SIZE_MAX)
				path->slash = path->n;
		}
		if (c < ' ' || c == 0x7F || path->n == sizeof path->text)
			return false;
		path->text[path->n++] = (char)c;
	}
	return true;
}

static bool route_find(const struct path *path, size_t prefix_n, enum fare_route *route, const char **allow, char model[FARE_NAME_N])
{
	struct fare_span rest = fare_span_at(path->text + prefix_n, path->n - prefix_n);
	if (path->slash < prefix_n)
		return false;
	for (size_t i = 0; i < FARE_ARRAY_N(routes) && path->slash == SIZE_MAX; i++)
		if (fare_span_is(rest, routes[i].path)) {
			*route = routes[i].route;
			*allow = routes[i].allow;
			return true;
		}
	for (size_t i = 0; i < FARE_ARRAY_N(named); i++) {
		size_t n = strlen(named[i].path);
		if (!fare_span_starts(rest, named[i].path) || rest.n == n || path->slash < prefix_n + n)
			continue;
		*route = named[i].route;
		*allow = "GET, HEAD";
		return fare_span_copy(fare_span_at(rest.p + n, rest.n - n), model, FARE_NAME_N);
	}
	return false;
}

static bool method_fits(struct fare_span method, const char *allow)
{
	return strcmp(allow, "POST") == 0 ? fare_span_is(method, "POST") : fare_span_is(method, "GET") || fare_span_is(method, "HEAD");
}

bool fare_http_route(struct fare_span method, struct fare_span uri, const char *prefix, enum fare_route *route, char model[FARE_NAME_N], struct fare_refusal *r)
{
	struct path path;
	const char *allow = "";
	model[0] = '\0';
	if (!path_decode(target_path(uri), &path) || !fare_span_starts(fare_span_at(path.text, path.n), prefix) ||
	    !route_find(&path, strlen(prefix), route, &allow, model)) {
		fare_refusal_set(r, FARE_CODE_ROUTE_UNKNOWN, NULL, "%s", "");
		return false;
	}
	if (!method_fits(method, allow)) {
		fare_refusal_set(r, FARE_CODE_METHOD_NOT_ALLOWED, NULL, "It takes %s.", allow);
		r->allow = allow;
		return false;
	}
	return true;
}

static struct fare_span bearer_token(struct fare_span authorization)
{
	struct fare_span s = fare_span_trim(authorization);
	if (s.n < 7 || !fare_span_is_nocase(fare_span_at(s.p, 6), "bearer") || (s.p[6] != ' ' && s.p[6] != '\t'))
		return fare_span_at(NULL, 0);
	return fare_span_trim(fare_span_at(s.p + 6, s.n - 6));
}

struct fare_span fare_http_key(struct fare_span authorization, struct fare_span x_api_key, struct fare_span x_goog_api_key, struct fare_span api_key)
{
	const struct fare_span keys[] = {bearer_token(authorization), fare_span_trim(x_api_key), fare_span_trim(x_goog_api_key), fare_span_trim(api_key)};
	struct fare_span found = fare_span_at(NULL, 0);
	for (size_t i = 0; i < FARE_ARRAY_N(keys); i++) {
		if (fare_key_looks_ours(keys[i]))
			return keys[i];
		if (found.n == 0)
			found = keys[i];
	}
	return found;
}

static bool is_json(struct fare_span content_type)
{
	const char *semicolon = content_type.n > 0 ? memchr(content_type.p, ';', content_type.n) : NULL;
	struct fare_span type = fare_span_trim(fare_span_at(content_type.p, semicolon ? (size_t)(semicolon - content_type.p) : content_type.n));
	return type.n == 0 || fare_span_is_nocase(type, "application/json") || fare_span_is_nocase(type, "text/json") ||
	       (type.n > 5 && fare_span_is_nocase(fare_span_at(type.p + type.n - 5, 5), "+json"));
}

bool fare_http_idempotency_key(struct fare_span header, char out[FARE_IDEM_KEY_MAX], size_t *n)
{
	struct fare_span s = fare_span_trim(header);
	bool quoted = s.n > 0 && s.p[0] == '"';
	size_t at = quoted ? 1 : 0, end = s.n;
	if (quoted && (s.n < 2 || s.p[--end] != '"'))
		return false;
	*n = 0;
	for (; at < end; at++) {
		char ch = s.p[at];
		if (quoted && ch == '"')
			return false;
		if (quoted && ch == '\\') { /* escapes itself and the quote, nothing else (RFC 9651) */
			if (++at == end || (s.p[at] != '"' && s.p[at] != '\\'))
				return false;
			ch = s.p[at];
		}
		if (ch < ' ' || ch > '~' || *n == FARE_IDEM_KEY_MAX)
			return false;
		out[(*n)++] = ch;
	}
	return *n > 0;
}

bool fare_http_body_type(struct fare_span content_type, struct fare_span content_encoding, struct fare_refusal *r)
{
	struct fare_span encoding = fare_span_trim(content_encoding);
	if (encoding.n > 0 && !fare_span_is_nocase(encoding, "identity")) {
		fare_refusal_set(r, FARE_CODE_ENCODING_UNSUPPORTED, NULL, "It is compressed (Content-Encoding).");
		return false;
	}
	if (!is_json(content_type)) {
		fare_refusal_set(r, FARE_CODE_ENCODING_UNSUPPORTED, NULL, "Its Content-Type is not JSON.");
		return false;
	}
	return true;
}

static bool name_starts(struct fare_span name, const char *prefix)
{
	size_t n = strlen(prefix);
	return name.n > n && fare_span_is_nocase(fare_span_at(name.p, n), prefix);
}

/* The operator's own names at the provider stay with the operator. */
static bool name_passes(struct fare_span name)
{
	if (fare_span_is_nocase(name, "openai-organization") || fare_span_is_nocase(name, "openai-project"))
		return false;
	return fare_span_is_nocase(name, "content-type") || fare_span_is_nocase(name, "retry-after") || fare_span_is_nocase(name, "retry-after-ms") ||
	       name_starts(name, "x-ratelimit-") || name_starts(name, "openai-");
}

bool fare_http_header_passes(struct fare_span name, struct fare_span value)
{
	if (name.n + value.n + 4 > HEADER_LINE_MAX || !name_passes(name))
		return false;
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= ' ' || (unsigned char)name.p[i] >= 0x7F || name.p[i] == ':')
			return false;
	for (size_t i = 0; i < value.n; i++)
		if (((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') || value.p[i] == 0x7F)
			return false;
	return true;
}
