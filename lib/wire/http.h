/* What a request line and headers say to us, and which headers of an upstream's answer may pass. No I/O. */
#ifndef FARE_WIRE_HTTP_H
#define FARE_WIRE_HTTP_H

#include "bank/admission.h"
#include "wire/refusal.h"

enum fare_route { FARE_ROUTE_CHAT = 1, FARE_ROUTE_COMPLETIONS, FARE_ROUTE_EMBEDDINGS, FARE_ROUTE_MODELS, FARE_ROUTE_MODEL, FARE_ROUTE_HEALTHZ, FARE_ROUTE_CALL };

/*
 * By REQUEST_URI only (web servers split SCRIPT_NAME and PATH_INFO each in their own way); the query is ignored; percent-decoding is strict; prefix ("" or "/ai") comes off first.
 * For FARE_ROUTE_MODEL and FARE_ROUTE_CALL the decoded id goes to model. False: r says route_unknown or method_not_allowed.
 */
bool fare_http_route(struct fare_span method, struct fare_span uri, const char *prefix, enum fare_route *route, char model[FARE_NAME_N], struct fare_refusal *r) FARE_MUST;

/* The caller's key out of the four headers that carry one (empty spans: absent); of two, the one that looks like ours. Empty: none (key_missing). */
struct fare_span fare_http_key(struct fare_span authorization, struct fare_span x_api_key, struct fare_span x_goog_api_key, struct fare_span api_key);
/* A POST's Content-Type (JSON, or absent) and Content-Encoding (identity, or absent). */
/*
 * The caller's Idempotency-Key, as draft-ietf-httpapi-idempotency-key-header says it (a quoted string), or bare: both mean the same text. Into out, *n bytes of it.
 * False: not 1 to FARE_IDEM_KEY_MAX characters of printable ASCII.
 */
enum { FARE_IDEM_KEY_MAX = 255 };
bool fare_http_idempotency_key(struct fare_span header, char out[FARE_IDEM_KEY_MAX], size_t *n) FARE_MUST;
bool fare_http_body_type(struct fare_span content_type, struct fare_span content_encoding, struct fare_refusal *r) FARE_MUST;
/* May this header of the upstream's answer pass to the caller? By allow-list; never Status, Location, Set-Cookie, X-Accel-*, X-Sendfile, hop-by-hop; line at most 7 KiB, no controls. */
bool fare_http_header_passes(struct fare_span name, struct fare_span value);

#endif
