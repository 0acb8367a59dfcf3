/* Translate: the request as the upstream is to get it. */
#include "base/first.h"

#include <stdio.h>

#include "base/log.h"
#include "base/secret.h"
#include "flow/call.h"

static bool set_url(struct fare_call *c)
{
	const char *path = c->route == FARE_ROUTE_CHAT ? "/chat/completions" : c->route == FARE_ROUTE_COMPLETIONS ? "/completions" : "/embeddings";
	struct fare_span base = fare_span_of(c->grant.base_url);
	while (base.n && base.p[base.n - 1] == '/')
		base.n--;
	int n = snprintf(c->url, sizeof c->url, "%.*s%s", (int)base.n, base.p, path);
	return n > 0 && (size_t)n < sizeof c->url;
}

static bool set_bearer(struct fare_call *c)
{
	char key[FARE_SECRET_N];
	bool good = fare_secrets_get(c->gate->secrets, c->grant.key_file, c->grant.key_env, key);
	if (good && *key) {
		size_t n = strlen(key) + sizeof "Bearer ";
		c->bearer = fare_alloc(n);
		snprintf(c->bearer, n, "Bearer %s", key);
	}
	fare_wipe(key, sizeof key);
	return good;
}

static bool set_body(struct fare_call *c)
{
	struct fare_body body = {0};
	/* The edits add little; the caller's own body is freed right after. */
	size_t room = c->body.bytes.n + FARE_NAME_N + 1024;
	fare_buf_init(&body.bytes, room);
	bool good = fare_budget_take(&c->gate->budget, room);
	if (good)
		body.taken = room;
	good = good && fare_buf_reserve(&body.bytes, room - 1) && fare_openai_request_write(&c->request, &c->grant, &body.bytes);
	fare_openai_request_release(&c->request);
	fare_call_body_free(c);
	c->body = body;
	if (!good)
		fare_refusal_set(&c->refusal, FARE_CODE_OVERLOADED, NULL, "Too many large requests at a time.");
	return good;
}

bool fare_step_translate(struct fare_call *c)
{
	if (!set_url(c) || !set_bearer(c)) {
		fare_refusal_set(&c->refusal, FARE_CODE_UPSTREAM_FAILED, NULL, "The gateway's settings for this model's provider are not usable; its operator has been told.");
		return false;
	}
	return set_body(c);
}
