/* The sandbox's models: a name says how the answer behaves, numbers in it say how much. */
#include "base/first.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <event2/buffer.h>

#include "sandbox.h"

struct pattern {
	const char *prefix;
	enum fare_sb_kind kind;
	int numbers;               /* of them in the name, after dashes */
	int64_t a_min, a_max;
	const char *example;       /* as the list of models shows it */
};

#define MS_MAX 86400000

static const struct pattern patterns[] = {
	{"sandbox-chat", FARE_SB_PLAIN, 0, 0, 0, "sandbox-chat"},
	{"sandbox-embed", FARE_SB_EMBED, 0, 0, 0, "sandbox-embed"},
	{"sandbox-error", FARE_SB_STATUS, 1, 400, 599, "sandbox-error-429"},
	{"sandbox-slow", FARE_SB_SLOW, 1, 0, MS_MAX, "sandbox-slow-3000"},
	{"sandbox-garbage", FARE_SB_GARBAGE, 0, 0, 0, "sandbox-garbage"},
	{"sandbox-badjson", FARE_SB_BADJSON, 0, 0, 0, "sandbox-badjson"},
	{"sandbox-reset", FARE_SB_RST, 0, 0, 0, "sandbox-reset"},
	{"sandbox-cut", FARE_SB_CUT_AFTER, 1, 0, FARE_SB_TEXT_MAX / 8, "sandbox-cut-5"},
	{"sandbox-headers", FARE_SB_HEADERS, 0, 0, 0, "sandbox-headers"},
	{"sandbox-accel", FARE_SB_ACCEL, 0, 0, 0, "sandbox-accel"},
	{"sandbox-tick", FARE_SB_TICK, 2, 0, MS_MAX, "sandbox-tick-1000-30"},
	{"sandbox-full", FARE_SB_FULL, 0, 0, 0, "sandbox-full"},
	{"sandbox-nousage", FARE_SB_NOUSAGE, 0, 0, 0, "sandbox-nousage"},
	{"sandbox-negative", FARE_SB_NEGATIVE, 0, 0, 0, "sandbox-negative"},
	{"sandbox-huge", FARE_SB_HUGE, 0, 0, 0, "sandbox-huge"},
	{"sandbox-streamerror", FARE_SB_STREAMERROR, 1, 0, FARE_SB_TEXT_MAX / 8, "sandbox-streamerror-5"},
	{"sandbox-big", FARE_SB_BIG, 1, 0, FARE_SB_TEXT_MAX, "sandbox-big-1000000"},
	{"sandbox-close-reuse", FARE_SB_CLOSE_REUSE, 0, 0, 0, "sandbox-close-reuse"},
};

/* Reads "-DIGITS" at *at. */
static bool number_read(const char **at, int64_t *number)
{
	const char *p = *at;

	if (*p++ != '-' || *p < '0' || *p > '9')
		return false;
	for (*number = 0; *p >= '0' && *p <= '9'; p++) {
		if (*number > INT64_C(1000000000000))
			return false;
		*number = *number * 10 + (*p - '0');
	}
	*at = p;
	return true;
}

struct fare_sb_model fare_sb_model_parse(const char *name)
{
	if (!strcmp(name, "sandbox-unpaid"))
		return (struct fare_sb_model){FARE_SB_STATUS, 402, 0};
	if (!strcmp(name, "sandbox-badkey"))
		return (struct fare_sb_model){FARE_SB_STATUS, 401, 0};
	for (size_t i = 0; i < FARE_ARRAY_N(patterns); i++) {
		const struct pattern *p = &patterns[i];
		struct fare_sb_model model = {.kind = p->kind};
		const char *at;

		if (strncmp(name, p->prefix, strlen(p->prefix)))
			continue;
		at = name + strlen(p->prefix);
		if (p->numbers > 0 && (!number_read(&at, &model.a) || model.a < p->a_min || model.a > p->a_max))
			continue;
		if (p->numbers > 1 && (!number_read(&at, &model.b) || model.b > FARE_SB_TEXT_MAX / 8))
			continue;
		if (!*at)
			return model;
	}
	return (struct fare_sb_model){.kind = FARE_SB_UNKNOWN};
}

void fare_sb_models_show(const char *name, struct evbuffer *out)
{
	/* A constant date: the list is the same each time. */
	evbuffer_add_printf(out, "{\"id\":\"%s\",\"object\":\"model\",\"created\":1767225600,\"owned_by\":\"sandbox\"}", name);
}

void fare_sb_models_list(struct evbuffer *out)
{
	evbuffer_add_printf(out, "{\"object\":\"list\",\"data\":[");
	for (size_t i = 0; i < FARE_ARRAY_N(patterns); i++) {
		if (i)
			evbuffer_add(out, ",", 1);
		fare_sb_models_show(patterns[i].example, out);
	}
	evbuffer_add_printf(out, "]}\n");
}
