/* Providers and models. */
#include "base/first.h"

#include <stdlib.h>

#include "base/log.h"
#include "bank/server_inner.h"

static void add_provider(struct fare_admin *c, const struct fare_provider *p)
{
	fare_buf_add_str(&c->out, "{\"name\": ");
	fare_buf_add_json(&c->out, fare_span_of(p->name));
	fare_json_text_member(&c->out, "style", "openai");
	fare_json_text_member(&c->out, "base_url", p->base_url);
	fare_json_text_member(&c->out, "key_file", p->key_file);
	fare_json_text_member(&c->out, "key_env", p->key_env);
	fare_buf_add_char(&c->out, '}');
	fare_admin_end_record(c);
}

static void provider_done(struct fare_admin *c, struct fare_job *job)
{
	add_provider(c, &job->op.u.provider);
	fare_admin_ok(c, "");
}

static void provider_put(struct fare_admin *c, const struct fare_provider *p)
{
	if (c->bad) {
		fare_admin_fail(c, "%s", c->error);
		return;
	}
	struct fare_job *job = fare_alloc(sizeof *job);
	job->op.type = FARE_OP_PROVIDER_PUT;
	job->op.u.provider = *p;
	fare_admin_submit(c, job, provider_done);
}

static struct fare_provider *provider_named(struct fare_admin *c, const char *member)
{
	char name[FARE_NAME_N];
	if (!fare_arg_text(c, member, name, sizeof name, true))
		return NULL;
	struct fare_provider *p = fare_decider_provider_named(&c->bank->d, name);
	if (!p)
		fare_arg_wrong(c, "no provider %s", name);
	return p;
}

static bool is_http_url(const char *s)
{
	struct fare_span url = fare_span_of(s);
	size_t n = fare_span_starts(url, "https://") ? 8 : fare_span_starts(url, "http://") ? 7 : 0;
	return n > 0 && url.n > n && strcspn(s, " \t\r\n?#\"<>\\") == url.n;
}

static void provider_add(struct fare_admin *c)
{
	struct fare_provider p = {.style = FARE_STYLE_OPENAI};
	char style[32];
	fare_arg_text(c, "name", p.name, sizeof p.name, true);
	if (fare_arg_text(c, "style", style, sizeof style, true) && strcmp(style, "openai") != 0)
		fare_arg_wrong(c, "style %s is not served: openai", style);
	if (fare_arg_text(c, "base_url", p.base_url, sizeof p.base_url, true) && !is_http_url(p.base_url))
		fare_arg_wrong(c, "base_url must be an http or https URL without query");
	fare_arg_text(c, "key_file", p.key_file, sizeof p.key_file, false);
	fare_arg_text(c, "key_env", p.key_env, sizeof p.key_env, false);
	if (p.key_file[0] && p.key_env[0])
		fare_arg_wrong(c, "a provider's key is in a file or in an environment variable, not both");
	const struct fare_provider *have = fare_decider_provider_named(&c->bank->d, p.name);
	if (have)
		p.id = have->id;
	provider_put(c, &p);
}

static void provider_list(struct fare_admin *c)
{
	const struct fare_decider *d = &c->bank->d;
	for (size_t i = 0; i < d->providers.n; i++) {
		const struct fare_provider *p = d->providers.at[i];
		if (p && !p->removed)
			add_provider(c, p);
	}
	fare_admin_ok(c, "");
}

static const char *user_of(const struct fare_decider *d, const struct fare_provider *p)
{
	for (size_t v = 0; v < d->models.n; v++) {
		const struct fare_model *m = d->models.at[v];
		if (m && m->provider == p->id && fare_decider_model_named(d, m->name) == m)
			return m->name;
	}
	return NULL;
}

static void provider_remove(struct fare_admin *c)
{
	const struct fare_provider *have = provider_named(c, "name");
	struct fare_provider p = have ? *have : (struct fare_provider){0};
	const char *user = have ? user_of(&c->bank->d, have) : NULL;
	if (user)
		fare_arg_wrong(c, "model %s uses provider %s: remove it first", user, p.name);
	p.removed = true;
	provider_put(c, &p);
}

static void add_price(struct fare_admin *c, const char *name, int64_t nano)
{
	if (nano < 0)
		fare_buf_addf(&c->out, ", \"%s\": null", name);
	else
		fare_json_amount(&c->out, name, fare_nano(nano));
}

static void add_model(struct fare_admin *c, const struct fare_model *m)
{
	const struct fare_provider *p = fare_decider_provider(&c->bank->d, m->provider);
	fare_buf_add_str(&c->out, "{\"name\": ");
	fare_buf_add_json(&c->out, fare_span_of(m->name));
	fare_json_text_member(&c->out, "provider", p ? p->name : "");
	fare_json_text_member(&c->out, "upstream", m->upstream);
	add_price(c, "input", m->price.input);
	add_price(c, "output", m->price.output);
	add_price(c, "cache_read", m->price.cache_read);
	add_price(c, "cache_write", m->price.cache_write);
	add_price(c, "per_call", m->price.per_call);
	fare_buf_addf(&c->out, ", \"max_output\": %llu, \"context\": %llu, \"price_version\": %llu", (unsigned long long)m->max_output, (unsigned long long)m->context, (unsigned long long)m->version);
	fare_json_text_member(&c->out, "bound_field", m->bound_field & FARE_BOUND_MAX_COMPLETION_TOKENS ? "max_completion_tokens" : "max_tokens");
	fare_buf_addf(&c->out, ", \"stream_options\": %s, \"stream_hold\": %llu", m->bound_field & FARE_NO_STREAM_OPTIONS ? "false" : "true", (unsigned long long)m->stream_hold);
	fare_json_time(&c->out, "created", m->created_ms);
	fare_buf_add_char(&c->out, '}');
	fare_admin_end_record(c);
}

static void model_done(struct fare_admin *c, struct fare_job *job)
{
	add_model(c, &job->op.u.model);
	fare_admin_ok(c, "");
}

static void model_put(struct fare_admin *c, const struct fare_model *m)
{
	if (c->bad) {
		fare_admin_fail(c, "%s", c->error);
		return;
	}
	struct fare_job *job = fare_alloc(sizeof *job);
	job->op.type = FARE_OP_MODEL_PUT;
	job->op.u.model = *m;
	fare_admin_submit(c, job, model_done);
}

/* unset: what it is when it is not named. */
static int64_t read_price(struct fare_admin *c, const char *name, bool needed, int64_t unset)
{
	struct fare_amount a;
	if (!fare_arg_amount(c, name, &a, needed))
		return unset;
	if (a.nano < 0)
		fare_arg_wrong(c, "%s: a price cannot be below 0", name);
	return a.nano;
}

static void model_add(struct fare_admin *c)
{
	struct fare_model m = {.created_ms = c->bank->d.now_ms, .priced = true, .bound_field = FARE_BOUND_MAX_TOKENS};
	uint64_t most = (uint64_t)1 << FARE_TOKENS_MAX_LOG2;
	char field[32];
	fare_arg_text(c, "name", m.name, sizeof m.name, true);
	const struct fare_provider *p = provider_named(c, "provider");
	m.provider = p ? p->id : 0;
	if (!fare_arg_text(c, "upstream", m.upstream, sizeof m.upstream, false) || !m.upstream[0])
		memcpy(m.upstream, m.name, sizeof m.upstream);
	m.price = (struct fare_price){.input = read_price(c, "input", true, 0), .output = read_price(c, "output", true, 0), .cache_read = read_price(c, "cache_read", false, -1),
		.cache_write = read_price(c, "cache_write", false, -1), .per_call = read_price(c, "per_call", false, 0)};
	m.max_output = fare_arg_u64(c, "max_output", most, false);
	m.context = fare_arg_u64(c, "context", most, false);
	m.stream_hold = fare_arg_u64(c, "stream_hold", most, false);
	if (m.stream_hold > 0 && m.stream_hold < FARE_BOUND_LEAST)
		fare_arg_wrong(c, "stream_hold is 0 or at least %d", FARE_BOUND_LEAST);
	if (fare_arg_text(c, "bound_field", field, sizeof field, false)) {
		if (strcmp(field, "max_completion_tokens") == 0)
			m.bound_field = FARE_BOUND_MAX_COMPLETION_TOKENS;
		else if (strcmp(field, "max_tokens") != 0)
			fare_arg_wrong(c, "bound_field is max_tokens or max_completion_tokens");
	}
	if (fare_arg_true(c, "no_stream_options"))
		m.bound_field |= FARE_NO_STREAM_OPTIONS;
	model_put(c, &m);
}

static struct fare_model *model_named(struct fare_admin *c)
{
	char name[FARE_NAME_N];
	if (!fare_arg_text(c, "name", name, sizeof name, true))
		return NULL;
	struct fare_model *m = fare_decider_model_named(&c->bank->d, name);
	if (!m)
		fare_arg_wrong(c, "no model %s", name);
	return m;
}

static void model_remove(struct fare_admin *c)
{
	struct fare_model *have = model_named(c);
	struct fare_model m = have ? *have : (struct fare_model){0};
	m.removed = true;
	if (have)
		fare_decider_put_model(&c->bank->d, &m); /* at once */
	model_put(c, &m);
}

static void model_show(struct fare_admin *c)
{
	const struct fare_model *m = model_named(c);
	if (!m) {
		fare_admin_fail(c, "%s", c->error);
		return;
	}
	add_model(c, m);
	fare_admin_ok(c, "");
}

static int by_name(const void *a, const void *b)
{
	const struct fare_model *const *x = a, *const *y = b;
	return strcmp((*x)->name, (*y)->name);
}

static void model_list(struct fare_admin *c)
{
	const struct fare_decider *d = &c->bank->d;
	const struct fare_model **all = fare_alloc((d->models.n + 1) * sizeof *all);
	size_t n = 0;
	for (size_t v = 0; v < d->models.n; v++) {
		const struct fare_model *m = d->models.at[v];
		if (m && fare_decider_model_named(d, m->name) == m)
			all[n++] = m;
	}
	qsort(all, n, sizeof *all, by_name);
	for (size_t i = 0; i < n; i++)
		add_model(c, all[i]);
	free(all);
	fare_admin_ok(c, "");
}

const struct fare_admin_op fare_catalog_ops[] = {
	{"provider.add", provider_add, "name style base_url key_file key_env", true},
	{"provider.list", provider_list, "", false},
	{"provider.remove", provider_remove, "name", true},
	{"model.add", model_add, "name provider upstream input output cache_read cache_write per_call max_output context bound_field no_stream_options stream_hold", true},
	{"model.list", model_list, "", false},
	{"model.show", model_show, "name", false},
	{"model.remove", model_remove, "name", true},
	{NULL, NULL, NULL, false},
};
