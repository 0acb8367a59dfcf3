/* The one table of parameters. etc/farebox.json documents each with its default; tests/unit/test_conf.c compares the two. */
#include "base/first.h"

#include <stddef.h>

#include "base/buf.h"
#include "base/log.h"
#include "conf/conf.h"

static bool is_absolute(struct fare_span v)
{
	return v.p[0] == '/';
}

bool fare_conf_is_prefix(struct fare_span v)
{
	if (v.n == 0 || v.n >= FARE_CONF_TEXT_N || v.p[0] != '/' || v.p[v.n - 1] == '/')
		return false;
	for (size_t i = 0; i < v.n; i++) {
		char c = v.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' || c == '-' || c == '_' || c == '.'))
			return false;
	}
	return true;
}

/* Goes into headers and messages as it is: no spaces, quotes, angles or controls. */
static bool is_url(struct fare_span v)
{
	if (!fare_span_starts(v, "https://") && !fare_span_starts(v, "http://"))
		return false;
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] <= ' ' || v.p[i] > '~' || v.p[i] == '"' || v.p[i] == '<' || v.p[i] == '>' || v.p[i] == '\\')
			return false;
	return true;
}

static bool is_user(struct fare_span v)
{
	for (size_t i = 0; i < v.n; i++) {
		char c = v.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || (c == '-' && i)))
			return false;
	}
	return true;
}

static bool is_currency(struct fare_span v)
{
	for (size_t i = 0; i < v.n; i++)
		if (v.p[i] < 'A' || v.p[i] > 'Z')
			return false;
	return true;
}

static bool is_level(struct fare_span v)
{
	return fare_span_is(v, "debug") || fare_span_is(v, "info") || fare_span_is(v, "warn");
}

static bool is_http(struct fare_span v)
{
	return fare_span_is(v, "auto") || fare_span_is(v, "1.1");
}

static bool is_tls(struct fare_span v)
{
	return fare_span_is(v, "1.2") || fare_span_is(v, "1.3");
}

#define MIB (1024LL * 1024)
#define HOUR_MS (60LL * 60 * 1000)
#define NUMBER(field, def, min_, max_, unit_, help_) \
	{.name = #field, .type = FARE_PARAM_NUMBER, .text = "", .number = (def), .min = (min_), .max = (max_), .unit = (unit_), .help = (help_), .offset = offsetof(struct fare_conf, field)}
#define TEXT(field, def, min_, check_, expects_, help_) \
	{.name = #field, .type = FARE_PARAM_TEXT, .text = (def), .min = (min_), .max = sizeof ((struct fare_conf *)0)->field - 1, .unit = "", .help = (help_), \
	 .check = (check_), .expects = (expects_), .offset = offsetof(struct fare_conf, field)}

static const struct fare_param params[] = {
	TEXT(listen, "", 0, is_absolute, "an absolute path", "FastCGI socket; \"\": farebox.sock in the run folder"),
	TEXT(listen_group, "", 0, is_user, "a group's name", "group that may connect to the FastCGI socket when farebox runs as root; \"\": the group of worker_user"),
	TEXT(worker_user, "", 0, is_user, "a user's name", "user the workers run as when farebox is started by root; \"\": farebox-worker if there is one, else nobody"),
	TEXT(prefix, "", 0, fare_conf_is_prefix, "a path like /ai, without a slash at its end", "what the web server's paths have before ours, where its mount does not say so itself"),
	NUMBER(workers, 2, 1, 64, "", "worker processes"),
	NUMBER(slots, 2048, 1, 8192, "", "live calls per worker; more get 503 overloaded"),
	NUMBER(doormen_max, 256, 2, 4096, "", "threads per worker that read requests and ask for admission"),
	NUMBER(body_limit_bytes, 32 * MIB, 1024, 1024 * MIB, "bytes", "largest request body; more gets 413"),
	NUMBER(body_memory_bytes, 256 * MIB, 1024, 1024 * 1024 * MIB, "bytes", "all request bodies in flight in one worker, more get 503; up to half of it also for answers that are kept (Idempotency-Key)"),
	NUMBER(body_rate_bytes, 1024, 0, 1024 * MIB, "bytes", "least bytes a second of an upload after its first 10 s; slower gets 408; 0: any"),
	NUMBER(header_limit_bytes, 16 * 1024, 256, 64 * 1024, "bytes", "longest value of one request header; more gets 400"),
	NUMBER(admit_timeout_ms, 15000, 100, HOUR_MS, "ms", "longest wait for the bank's answer; then 503"),
	NUMBER(connect_timeout_ms, 10000, 1, HOUR_MS, "ms", "longest wait for a connection upstream, name lookup and TLS included"),
	NUMBER(first_byte_timeout_ms, 300000, 1, HOUR_MS, "ms", "longest wait for the first byte of an upstream answer; then 504"),
	NUMBER(idle_timeout_ms, 120000, 1, HOUR_MS, "ms", "longest silence within an upstream answer"),
	NUMBER(total_timeout_ms, 1800000, 1, 24 * HOUR_MS, "ms", "longest time of one upstream answer"),
	NUMBER(drain_s, 600, 0, 24 * 60 * 60, "s", "longest time calls may take to end at a reload or stop"),
	NUMBER(client_gone_ms, 2000, 0, HOUR_MS, "ms", "how long an upstream answer is read on, for its usage, when the caller has left"),
	NUMBER(client_gone_bytes, 65536, 0, 1024 * MIB, "bytes", "how much of it"),
	NUMBER(silence_ms, 15000, 100, HOUR_MS, "ms", "a silent stream gets a comment after it, so that nobody between hangs up"),
	NUMBER(default_max_tokens, 4096, 16, 10000000, "tokens", "output bound of a call that names none"),
	NUMBER(image_tokens, 2048, 0, 10000000, "tokens", "held for each image in a request"),
	NUMBER(store_reserve_bytes, 128 * MIB, 0, 1024 * 1024 * MIB, "bytes", "free space of the store's disk that is kept for calls that run: with less, new ones get 503; 0: none"),
	NUMBER(story_days, 30, 0, 36500, "days", "how long the stories of calls are kept that farebox why tells; 0: none are. The ledger is kept for ever"),
	TEXT(log_archive, "", 0, is_absolute, "an absolute path", "folder, on another disk, where the store's logs go that recovery no longer needs: farebox restore DIR --logs makes a backup and them a store; \"\": none, they are removed"),
	NUMBER(log_archive_days, 0, 0, 36500, "days", "older logs are removed from there; 0: none"),
	TEXT(topup_url, "", 0, is_url, "an http or https URL", "where callers top up; told in every 402"),
	TEXT(currency, "USD", 3, is_currency, "three capital letters", "what amounts are in"),
	TEXT(proxy, "", 0, NULL, "a proxy as curl takes it", "proxy for upstream calls; \"\": http_proxy, https_proxy and no_proxy of the environment"),
	TEXT(ca_file, "", 0, is_absolute, "an absolute path", "PEM bundle of certificate authorities to trust upstream; \"\": the system's"),
	TEXT(tls_min_version, "1.2", 3, is_tls, "1.2 or 1.3", "oldest version of TLS to speak upstream, 1.2 or 1.3"),
	TEXT(upstream_http, "auto", 3, is_http, "auto or 1.1", "auto: HTTP/2 over TLS with providers that offer it, calls sharing connections; 1.1: never"),
	TEXT(alarm_command, "", 0, is_absolute, "an absolute path", "program that is run for each alarm, as the store's owner, with the alarm as one JSON object on its standard input; status 0: done"),
	TEXT(alarm_webhook, "", 0, is_url, "an http or https URL", "each alarm is sent there, as the body of a POST; a status of 200 to 299: done. It may hold a secret: then let nobody else read this file"),
	NUMBER(alarm_timeout_ms, 10000, 100, HOUR_MS, "ms", "longest time of one such run or POST"),
	NUMBER(alarm_tries, 5, 1, 10, "", "how often it is tried, with longer and longer pauses: 1 s, 5 s, 25 s, 2 min and 5 min from then on"),
	TEXT(log_level, "info", 4, is_level, "debug, info or warn", "least important lines that are logged"),
};

const struct fare_param *fare_conf_params(size_t *count)
{
	*count = FARE_ARRAY_N(params);
	return params;
}

void fare_conf_log(const struct fare_conf *c)
{
	struct fare_span level = fare_span_of(c->log_level);
	fare_log_level(fare_span_is(level, "debug") ? FARE_DEBUG : fare_span_is(level, "warn") ? FARE_WARN : FARE_INFO);
}

void fare_conf_sample(struct fare_buf *out)
{
	fare_buf_add_str(out, "// Settings of a farebox instance: farebox.json in its home, else /etc/farebox/farebox.json.\n"
			      "// JSON with comments. Each setting is here with its default; leave out what you do not change. `farebox reload` reads it anew.\n{\n");
	for (size_t i = 0; i < FARE_ARRAY_N(params); i++) {
		const struct fare_param *p = &params[i];
		fare_buf_addf(out, "%s  // %s", i ? "\n" : "", p->help);
		if (p->type == FARE_PARAM_NUMBER) {
			fare_buf_addf(out, " (%lld to %lld%s%s)\n  \"%s\": %lld", (long long)p->min, (long long)p->max, *p->unit ? " " : "", p->unit, p->name, (long long)p->number);
		} else {
			fare_buf_addf(out, "\n  \"%s\": ", p->name);
			fare_buf_add_json(out, fare_span_of(p->text));
		}
		fare_buf_add_str(out, i + 1 < FARE_ARRAY_N(params) ? ",\n" : "\n");
	}
	fare_buf_add_str(out, "}\n");
}
