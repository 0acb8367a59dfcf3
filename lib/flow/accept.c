/* Accept: what is asked for, by path; the request's parameters within their limits; its body. */
#include "base/first.h"

#include <stdio.h>

#include "base/log.h"
#include "base/num.h"
#include "flow/call.h"

static struct fare_span param(struct fare_call *c, const char *name)
{
	return fare_span_of(c->ops->param(c->io, name));
}

/* "HTTP_X_LONG" back to a name that people know. */
static void header_name(struct fare_span name, char out[FARE_PARAM_N])
{
	if (fare_span_starts(name, "HTTP_"))
		name = fare_span_at(name.p + 5, name.n - 5);
	size_t n = name.n < FARE_PARAM_N - 1 ? name.n : FARE_PARAM_N - 1;
	for (size_t i = 0; i < n; i++) {
		char ch = name.p[i];
		out[i] = ch == '_' ? '-' : ch >= 'A' && ch <= 'Z' ? (char)(ch + ('a' - 'A')) : ch >= ' ' && ch <= '~' ? ch : '?';
	}
	out[n] = 0;
}

static bool params_fit(struct fare_call *c)
{
	size_t total = 0, limit = (size_t)c->gate->conf->header_limit_bytes;
	const char *p;
	for (size_t i = 0; (p = c->ops->param_at(c->io, i)); i++) {
		struct fare_span all = fare_span_of(p);
		const char *equals = strchr(p, '=');
		size_t name_n = equals ? (size_t)(equals - p) : all.n, value_n = equals ? all.n - name_n - 1 : 0;
		total += all.n;
		if (value_n > limit) {
			char name[FARE_PARAM_N];
			header_name(fare_span_at(p, name_n), name);
			fare_refusal_set(&c->refusal, FARE_CODE_BAD_REQUEST, NULL, "The header %s has %zu bytes; the limit is %zu.", name, value_n, limit);
			return false;
		}
	}
	if (total > FARE_HEAD_TOTAL_MAX) {
		fare_refusal_set(&c->refusal, FARE_CODE_BAD_REQUEST, NULL, "The request's headers have %zu bytes; the limit is %d.", total, FARE_HEAD_TOTAL_MAX);
		return false;
	}
	return true;
}

/*
 * What stands before our paths where this call came in: each web server's mount says so in a parameter of its own (a caller's header would come as HTTP_FAREBOX_PREFIX),
 * so that one instance can be mounted at several. NULL when it says something that is no prefix.
 */
static const char *mount_prefix(const struct fare_call *c)
{
	const char *prefix = c->ops->param(c->io, "FAREBOX_PREFIX");
	if (!prefix)
		return c->gate->conf->prefix;
	return *prefix == 0 || fare_conf_is_prefix(fare_span_of(prefix)) ? prefix : NULL;
}

/* The key's text is the caller's own: what goes on is a digest, which says nothing of it. */
static bool take_idempotency_key(struct fare_call *c)
{
	struct fare_span header = param(c, "HTTP_IDEMPOTENCY_KEY");
	char key[FARE_IDEM_KEY_MAX];
	uint8_t endpoint = (uint8_t)fare_call_endpoint(c);
	size_t n;
	if (!header.p)
		return true;
	if (!fare_http_idempotency_key(header, key, &n)) {
		fare_refusal_set(&c->refusal, FARE_CODE_BAD_REQUEST, "Idempotency-Key", "Idempotency-Key is 1 to %d characters of printable ASCII, bare or as a quoted string.", FARE_IDEM_KEY_MAX);
		return false;
	}
	fare_sha256_parts((const struct fare_sha256_part[]){{&endpoint, sizeof endpoint}, {key, n}}, 2, &c->idem);
	fare_keep_begin(c);
	return true;
}

bool fare_step_accept(struct fare_call *c)
{
	const char *prefix = mount_prefix(c);
	struct fare_span method = param(c, "REQUEST_METHOD"), remote = param(c, "REMOTE_ADDR");
	if (!fare_span_copy(remote, c->ip, sizeof c->ip))
		c->ip[0] = 0;
	if (!params_fit(c))
		return false;
	if (!prefix) {
		fare_log(FARE_WARN, "the web server's FAREBOX_PREFIX is no path like /ai");
		fare_refusal_set(&c->refusal, FARE_CODE_ROUTE_UNKNOWN, NULL, "%s", "");
		return false;
	}
	if (!fare_http_route(method, param(c, "REQUEST_URI"), prefix, &c->route, c->model, &c->refusal))
		return false;
	if (c->route == FARE_ROUTE_MODELS || c->route == FARE_ROUTE_MODEL || c->route == FARE_ROUTE_HEALTHZ || c->route == FARE_ROUTE_CALL)
		return true;
	return take_idempotency_key(c) && fare_http_body_type(param(c, "CONTENT_TYPE"), param(c, "HTTP_CONTENT_ENCODING"), &c->refusal);
}

bool fare_body_is_large(struct fare_call *c)
{
	uint64_t length;
	return !fare_num_u64(param(c, "CONTENT_LENGTH"), 0, FARE_BODY_LARGE, &length);
}

bool fare_step_body(struct fare_call *c)
{
	const struct fare_conf *conf = c->gate->conf;
	struct fare_body_limits limits = {.max = (size_t)conf->body_limit_bytes, .rate = (uint64_t)conf->body_rate_bytes, .budget = &c->gate->budget};
	switch (c->ops->read(c->io, &limits, &c->body)) {
	case FARE_BODY_WHOLE:
		return true;
	case FARE_BODY_TOO_LARGE:
		fare_refusal_set(&c->refusal, FARE_CODE_BODY_TOO_LARGE, NULL, "The limit is %zu bytes.", limits.max);
		break;
	case FARE_BODY_SLOW:
		fare_refusal_set(&c->refusal, FARE_CODE_BODY_TIMEOUT, NULL, "At least %llu bytes a second are expected.", (unsigned long long)limits.rate);
		break;
	case FARE_BODY_NO_ROOM:
		fare_refusal_set(&c->refusal, FARE_CODE_OVERLOADED, NULL, "Too many large requests at a time.");
		break;
	default:
		c->gone = true;
	}
	fare_call_body_free(c);
	return false;
}
