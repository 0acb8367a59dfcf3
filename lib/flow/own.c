/* What is asked of us, not of an upstream: is the gateway well, which models are there, what became of a call. */
#include "base/first.h"

#include <stdlib.h>

#include "base/log.h"
#include "flow/call.h"
#include "wire/story.h"

enum { MODELS_TEXT_MAX = 4 * 1024 * 1024 };

static struct fare_openai_model model_of(const struct fare_catalog_item *item)
{
	return (struct fare_openai_model){.name = fare_span_of(item->name), .owner = fare_span_of(item->owner), .created_ms = item->created_ms};
}

static void answer_models(struct fare_call *c, const struct fare_catalog *k)
{
	size_t n = k ? fare_catalog_count(k) : 0, count = 0;
	struct fare_openai_model *models = fare_alloc((n + 1) * sizeof *models);
	struct fare_catalog_item item;
	struct fare_buf text;
	for (size_t i = 0; i < n; i++)
		if (fare_catalog_item(k, i, &item))
			models[count++] = model_of(&item);
	fare_buf_init(&text, MODELS_TEXT_MAX);
	fare_openai_models_write(models, count, &text);
	fare_call_answer(c, 200, fare_buf_span(&text));
	fare_buf_release(&text);
	free(models);
}

static void answer_model(struct fare_call *c, const struct fare_catalog *k)
{
	struct fare_catalog_item item;
	struct fare_buf text;
	if (!k || !fare_catalog_find(k, fare_span_of(c->model), &item)) {
		fare_refusal_set(&c->refusal, FARE_CODE_MODEL_UNKNOWN, "model", "%s", "");
		return;
	}
	struct fare_openai_model model = model_of(&item);
	fare_buf_init(&text, MODELS_TEXT_MAX);
	fare_openai_model_write(&model, &text);
	fare_call_answer(c, 200, fare_buf_span(&text));
	fare_buf_release(&text);
}

static void answer_call(struct fare_call *c)
{
	const struct fare_conf *conf = c->gate->conf;
	struct fare_buf facts, text;
	fare_buf_init(&facts, FARE_STORY_TEXT_MAX);
	fare_buf_init(&text, FARE_STORY_TEXT_MAX);
	if (fare_step_story(c, &facts)) {
		if (fare_story_tell(fare_buf_span(&facts), conf->topup_url, conf->currency, &text))
			fare_call_answer(c, 200, fare_buf_span(&text));
		else
			fare_refusal_set(&c->refusal, FARE_CODE_STORE_UNAVAILABLE, NULL, "The bank said what this worker does not understand.");
	}
	fare_buf_release(&facts);
	fare_buf_release(&text);
}

void fare_step_own(struct fare_call *c)
{
	if (c->route == FARE_ROUTE_CALL) {
		answer_call(c);
		return;
	}
	if (!fare_step_check(c))
		return;
	if (c->route == FARE_ROUTE_HEALTHZ) {
		fare_call_answer(c, 200, fare_span_of("{\"status\":\"ok\"}\n"));
		return;
	}
	const struct fare_catalog *k = fare_catalog_get(c->gate->catalogs);
	if (c->route == FARE_ROUTE_MODELS)
		answer_models(c, k);
	else
		answer_model(c, k);
	if (k)
		fare_catalog_put(c->gate->catalogs, k);
}
