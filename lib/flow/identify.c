/* Identify: the caller's key, as its hash. */
#include "base/first.h"

#include "base/secret.h"
#include "flow/call.h"

bool fare_step_identify(struct fare_call *c)
{
	if (c->route == FARE_ROUTE_HEALTHZ)
		return true;
	const char *names[] = {"HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "HTTP_X_GOOG_API_KEY", "HTTP_API_KEY"};
	struct fare_span v[FARE_ARRAY_N(names)];
	for (size_t i = 0; i < FARE_ARRAY_N(names); i++)
		v[i] = fare_span_of(c->ops->param(c->io, names[i]));
	struct fare_span key = fare_http_key(v[0], v[1], v[2], v[3]);
	if (key.n == 0) {
		fare_refusal_set(&c->refusal, FARE_CODE_KEY_MISSING, NULL, "%s", "");
		return false;
	}
	if (fare_key_looks_ours(key) && !fare_key_well_formed(key)) {
		fare_refusal_set(&c->refusal, FARE_CODE_KEY_UNKNOWN, NULL, "Its checksum does not fit: it was cut off or mistyped.");
		return false;
	}
	fare_sha256(key.p, key.n, &c->key);
	return true;
}
