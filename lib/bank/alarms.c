/* Alarms: what they say, the queue, and the process that delivers them. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "bank/server_inner.h"

enum { START_AGAIN_MS = 1000, NOT_STARTED_MS = 60 * 1000, OUT_MAX = 64 * 1024, MORE_MS = 60 * 1000 };

extern char **environ;

static const char *const words[FARE_ALARM_N] = {
	[FARE_ALARM_LOW_BALANCE] = "low_balance", [FARE_ALARM_PROVIDER_REFUSED] = "provider_refused", [FARE_ALARM_CALL_PARKED] = "call_parked",
	[FARE_ALARM_METER_DAMAGED] = "meter_damaged", [FARE_ALARM_USAGE_CLAMPED] = "usage_clamped", [FARE_ALARM_STORE_FULL] = "store_full", [FARE_ALARM_STORE_COPIED] = "store_copied", [FARE_ALARM_LOG_ARCHIVE] = "log_archive",
};

/* ---- What an alarm says */

static bool is_of_store(const struct fare_alarm *a) { return a->what >= FARE_ALARM_STORE_FULL; }

static void id_of(const struct fare_bank *b, const struct fare_alarm *a, char out[FARE_ALARM_ID_N])
{
	const struct fare_acct *acct = fare_decider_account(&b->d, a->account);
	const struct fare_provider *p = fare_decider_provider(&b->d, a->provider);
	char call[FARE_ID_TEXT_N];
	fare_id_text(a->call_id, call);
	/* A restored store counts falls anew from where its copy was: the epoch tells them apart. */
	if (a->what == FARE_ALARM_LOW_BALANCE)
		snprintf(out, FARE_ALARM_ID_N, "%s/%s/%llu/%02x%02x%02x%02x", words[a->what], acct ? acct->rec.name : "", (unsigned long long)a->falls, b->epoch[0], b->epoch[1], b->epoch[2], b->epoch[3]);
	else if (a->what == FARE_ALARM_PROVIDER_REFUSED)
		snprintf(out, FARE_ALARM_ID_N, "%s/%s/%s", words[a->what], p ? p->name : "", call);
	else if (is_of_store(a))
		snprintf(out, FARE_ALARM_ID_N, "%s/%llu", words[a->what], (unsigned long long)b->d.now_ms);
	else
		snprintf(out, FARE_ALARM_ID_N, "%s/%s", words[a->what], call);
}

static void add_text(struct fare_buf *out, const char *text) { fare_json_text_member(out, "text", text); }

static void add_low(const struct fare_bank *b, const struct fare_acct *a, struct fare_buf *out)
{
	char text[512], has[FARE_AMOUNT_TEXT_N], least[FARE_AMOUNT_TEXT_N];
	fare_amount_text_short(fare_decider_available(a), has);
	fare_amount_text_short(a->rec.low_balance, least);
	snprintf(text, sizeof text, "account %s is low: %s %s available, its mark is %s", a->rec.name, has, b->conf.currency, least);
	add_text(out, text);
	fare_json_text_member(out, "account", a->rec.name);
	fare_json_amount(out, "available", fare_decider_available(a));
	fare_json_amount(out, "low_balance", a->rec.low_balance);
	fare_json_text_member(out, "currency", b->conf.currency);
	fare_log(FARE_ALARM, "%s", text);
}

static void add_refused(const struct fare_provider *p, const struct fare_alarm *a, struct fare_buf *out)
{
	char text[512];
	snprintf(text, sizeof text, "provider %s answers %llu: its key or its bill needs care", p->name, (unsigned long long)a->status);
	add_text(out, text);
	fare_json_text_member(out, "provider", p->name);
	fare_buf_addf(out, ", \"status\": %llu", (unsigned long long)a->status);
	fare_log(FARE_ALARM, "%s", text);
}

static void add_call(const struct fare_bank *b, const struct fare_alarm *a, struct fare_buf *out)
{
	char text[FARE_ERROR_N + 96], call[FARE_ID_TEXT_N];
	const struct fare_acct *acct = fare_decider_account(&b->d, a->account);
	fare_id_text(a->call_id, call);
	snprintf(text, sizeof text, "call %s: %s", call, a->text);
	add_text(out, text);
	fare_json_text_member(out, "account", acct ? acct->rec.name : "");
}

static void add_store(const struct fare_alarm *a, struct fare_buf *out)
{
	add_text(out, a->text);
	fare_log(FARE_ALARM, "%s", a->text);
}

/* False: what it is about is gone. */
static bool line_of(struct fare_bank *b, const struct fare_alarm *a, const char *id, struct fare_buf *out)
{
	const struct fare_acct *acct = fare_decider_account(&b->d, a->account);
	const struct fare_provider *p = fare_decider_provider(&b->d, a->provider);
	char call[FARE_ID_TEXT_N];
	if ((a->what == FARE_ALARM_LOW_BALANCE && !acct) || (a->what == FARE_ALARM_PROVIDER_REFUSED && !p))
		return false;
	fare_buf_addf(out, "{\"alarm\": \"%s\"", words[a->what]);
	fare_json_text_member(out, "id", id);
	fare_json_time(out, "time", b->d.now_ms);
	fare_json_text_member(out, "instance", b->conf.home);
	if (a->what == FARE_ALARM_LOW_BALANCE)
		add_low(b, acct, out);
	else if (a->what == FARE_ALARM_PROVIDER_REFUSED)
		add_refused(p, a, out);
	else if (is_of_store(a))
		add_store(a, out);
	else
		add_call(b, a, out);
	fare_id_text(a->call_id, call);
	if (a->what != FARE_ALARM_LOW_BALANCE && !is_of_store(a))
		fare_json_text_member(out, "call_id", call);
	if (b->alarms.more[a->what])
		fare_buf_addf(out, ", \"more\": %llu", (unsigned long long)b->alarms.more[a->what]);
	b->alarms.more[a->what] = 0;
	return fare_buf_add_str(out, "}\n");
}

/* ---- The queue */

static void pump(struct fare_bank *b);

/* Delivered, given up, or not to be delivered. */
static void item_end(struct fare_bank *b, struct fare_alarm_item **at)
{
	struct fare_alarm_item *i = *at;
	*at = i->next;
	if (!i->next)
		b->alarms.last = at;
	b->alarms.count--;
	if (i->falls)
		fare_decider_told(&b->d, i->account, i->falls);
	free(i);
}

static bool is_due_later(struct fare_alarms *q, const struct fare_alarm *a, uint64_t now_ms)
{
	if (a->what == FARE_ALARM_LOW_BALANCE || a->what == FARE_ALARM_PROVIDER_REFUSED)
		return false;
	if (q->told_ms[a->what] && now_ms - q->told_ms[a->what] < MORE_MS) {
		q->more[a->what]++;
		return true;
	}
	q->told_ms[a->what] = now_ms;
	return false;
}

static void drop(struct fare_alarms *q, const struct fare_alarm *a)
{
	if (a->what == FARE_ALARM_LOW_BALANCE)
		q->missed = true;
	else
		q->dropped++;
}

void fare_alarms_raise(void *bank, const struct fare_alarm *a)
{
	struct fare_bank *b = bank;
	struct fare_alarms *q = &b->alarms;
	struct fare_buf line;
	char id[FARE_ALARM_ID_N];
	id_of(b, a, id);
	for (const struct fare_alarm_item *i = q->first; i; i = i->next)
		if (strcmp(i->id, id) == 0)
			return;
	if (is_due_later(q, a, b->d.now_ms))
		return;
	if (q->count >= FARE_ALARMS_MAX) {
		drop(q, a);
		return;
	}
	fare_buf_init(&line, FARE_ALARM_LINE_MAX);
	if (line_of(b, a, id, &line)) {
		struct fare_alarm_item *i = fare_alloc(sizeof *i + line.n);
		*i = (struct fare_alarm_item){.account = a->account, .falls = a->falls, .n = line.n};
		memcpy(i->id, id, sizeof id);
		memcpy(i->line, line.p, line.n);
		*q->last = i;
		q->last = &i->next;
		q->count++;
	}
	fare_buf_release(&line);
	pump(b);
}

static void raise_due(struct fare_bank *b)
{
	struct fare_decider *d = &b->d;
	b->alarms.missed = false;
	for (size_t i = 0; i < d->accounts.n && !b->alarms.missed; i++) {
		const struct fare_acct *a = d->accounts.at[i];
		if (a && a->due)
			fare_alarms_raise(b, &(struct fare_alarm){.what = FARE_ALARM_LOW_BALANCE, .account = a->rec.id, .falls = a->due});
	}
}

/* ---- The process */

static void process_end(struct fare_alarms *q)
{
	fare_watch_free(&q->to_watch);
	if (q->to >= 0)
		close(q->to);
	q->to = -1;
}

static void process_forget(struct fare_alarms *q)
{
	process_end(q);
	fare_watch_free(&q->from_watch);
	if (q->from >= 0)
		close(q->from);
	q->from = -1;
	fare_buf_release(&q->in);
	fare_buf_release(&q->out);
	for (struct fare_alarm_item *i = q->first; i; i = i->next)
		i->said = false;
}

static void answer_take(struct fare_bank *b, struct fare_span id)
{
	for (struct fare_alarm_item **at = &b->alarms.first; *at; at = &(*at)->next)
		if (fare_span_is(id, (*at)->id)) {
			item_end(b, at);
			return;
		}
}

static void on_from(void *arg, int fd, unsigned events)
{
	struct fare_bank *b = arg;
	struct fare_alarms *q = &b->alarms;
	char bytes[4096];
	const char *end;
	(void)events;
	ssize_t n = read(fd, bytes, sizeof bytes);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0 || !fare_buf_add(&q->in, bytes, (size_t)n)) { /* it is gone, or out of its mind */
		process_forget(q);
		pump(b);
		return;
	}
	while (q->in.n && (end = memchr(q->in.p, '\n', q->in.n))) {
		size_t line = (size_t)(end - q->in.p);
		answer_take(b, fare_span_at(q->in.p, line));
		fare_buf_drop(&q->in, line + 1);
	}
	pump(b);
}

static void flush(struct fare_alarms *q)
{
	while (q->to >= 0 && q->out.n) {
		ssize_t n = write(q->to, q->out.p, q->out.n);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break; /* full, or gone: that is seen where it answers */
		fare_buf_drop(&q->out, (size_t)n);
	}
	if (q->to_watch)
		fare_watch_set(q->to_watch, q->out.n ? FARE_WRITE : 0);
}

static void on_to(void *arg, int fd, unsigned events)
{
	(void)fd;
	(void)events;
	pump(arg);
}

/* Its ends of the pipes become its descriptors 0 and 1; its standard error is the bank's log. */
static int spawn(const char *program, const char *home, int in, int out, pid_t *pid)
{
	char *argv[] = {(char *)(uintptr_t)"farebox-alarm", (char *)(uintptr_t)"--home", (char *)(uintptr_t)home, NULL};
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t usual;
	sigemptyset(&usual);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &usual);
	sigaddset(&usual, SIGPIPE);
	posix_spawnattr_setsigdefault(&attr, &usual);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
	int e = posix_spawn(pid, program, &files, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return e;
}

/* True: there is none any more. */
static bool process_ended(struct fare_alarms *q)
{
	if (q->from < 0 && q->pid > 0 && waitpid(q->pid, NULL, WNOHANG) != 0)
		q->pid = 0;
	return q->pid == 0;
}

static bool process_start(struct fare_bank *b)
{
	struct fare_alarms *q = &b->alarms;
	char program[FARE_PATH_N];
	int to[2] = {-1, -1}, from[2] = {-1, -1};
	q->start_ms = fare_clock_boot_ms() + START_AGAIN_MS;
	int e = !fare_conf_program("farebox-alarm", program) ? ENOENT : pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0 ? errno : spawn(program, b->conf.home, to[0], from[1], &q->pid);
	if (to[0] >= 0)
		close(to[0]);
	if (from[1] >= 0)
		close(from[1]);
	q->to = to[1];
	q->from = from[0];
	if (e == 0 && fcntl(q->to, F_SETFL, O_NONBLOCK) == 0 && fcntl(q->from, F_SETFL, O_NONBLOCK) == 0) {
		fare_buf_init(&q->out, OUT_MAX);
		fare_buf_init(&q->in, OUT_MAX);
		q->to_watch = fare_watch_new(b->loop, q->to, 0, on_to, b);
		q->from_watch = fare_watch_new(b->loop, q->from, FARE_READ, on_from, b);
		return true;
	}
	fare_log(FARE_WARN, "farebox-alarm does not start, alarms wait: %s", strerror(e));
	process_forget(q);
	if (e != 0)
		q->pid = 0; /* whatever posix_spawn left there */
	q->start_ms += NOT_STARTED_MS;
	return false;
}

/* One step on, whatever the next one is. */
static void pump(struct fare_bank *b)
{
	struct fare_alarms *q = &b->alarms;
	if (!b->conf.alarm_command[0] && !b->conf.alarm_webhook[0])
		while (q->first)
			item_end(b, &q->first);
	if (!q->first && q->to >= 0)
		process_end(q); /* it sees that there is no more, and leaves */
	if (!q->first || (q->from >= 0 && q->to < 0) || b->stopping)
		return;
	if (q->from < 0 && (!process_ended(q) || fare_clock_boot_ms() < q->start_ms || !process_start(b)))
		return;
	for (struct fare_alarm_item *i = q->first; i && q->out.n + i->n <= OUT_MAX; i = i->next)
		if (!i->said)
			i->said = fare_buf_add(&q->out, i->line, i->n);
	flush(q);
}

void fare_alarms_open(struct fare_bank *b) { raise_due(b); }

void fare_alarms_tick(struct fare_bank *b)
{
	if (b->alarms.dropped)
		fare_log(FARE_WARN, "too many alarms wait to be delivered: %llu more are dropped", (unsigned long long)b->alarms.dropped);
	b->alarms.dropped = 0;
	if (b->alarms.missed && b->alarms.count < FARE_ALARMS_MAX / 2)
		raise_due(b);
	(void)process_ended(&b->alarms);
	pump(b);
}

void fare_alarms_close(struct fare_bank *b)
{
	struct fare_alarms *q = &b->alarms;
	process_forget(q);
	for (struct fare_alarm_item *i = q->first, *next; i; i = next) {
		next = i->next;
		free(i);
	}
	q->first = NULL;
	q->last = &q->first;
	q->count = 0;
}

/* ---- Those that are on */

static void add_on(struct fare_buf *out, const char **comma, enum fare_alarm_what what, const struct fare_bank *b, void (*say)(const struct fare_bank *b, char *text, size_t size))
{
	char text[FARE_ERROR_N];
	say(b, text, sizeof text);
	fare_buf_addf(out, "%s{\"alarm\": \"%s\"", *comma, words[what]);
	fare_json_text_member(out, "text", text);
	fare_buf_add_char(out, '}');
	*comma = ", ";
}

void fare_alarms_json(const struct fare_bank *b, struct fare_buf *out)
{
	const struct fare_decider *d = &b->d;
	const char *comma = "";
	unsigned left = FARE_ALARMS_MAX;
	fare_buf_add_str(out, ", \"alarms\": [");
	for (size_t i = 0; i < FARE_REFUSING_N; i++) {
		const struct fare_refusing *r = &d->refusing[i];
		const struct fare_provider *p = r->on ? fare_decider_provider(d, r->provider) : NULL;
		if (!p || p->removed)
			continue;
		fare_buf_addf(out, "%s{\"alarm\": \"%s\"", comma, words[FARE_ALARM_PROVIDER_REFUSED]);
		fare_json_text_member(out, "provider", p->name);
		fare_buf_addf(out, ", \"status\": %llu", (unsigned long long)r->status);
		fare_json_time(out, "since", r->since_ms);
		fare_buf_add_char(out, '}');
		comma = ", ";
	}
	if (d->room != FARE_ROOM_GOOD)
		add_on(out, &comma, FARE_ALARM_STORE_FULL, b, fare_space_say);
	if (b->checkpointer.told)
		add_on(out, &comma, FARE_ALARM_LOG_ARCHIVE, b, fare_checkpointer_say);
	if (d->parked) {
		fare_buf_addf(out, "%s{\"alarm\": \"%s\", \"calls\": %llu}", comma, words[FARE_ALARM_CALL_PARKED], (unsigned long long)d->parked);
		comma = ", ";
	}
	for (size_t i = 0; i < d->accounts.n && left; i++) {
		const struct fare_acct *a = d->accounts.at[i];
		if (!a || a->rec.low == FARE_LOW_NOT)
			continue;
		fare_buf_addf(out, "%s{\"alarm\": \"%s\"", comma, words[FARE_ALARM_LOW_BALANCE]);
		fare_json_text_member(out, "account", a->rec.name);
		fare_json_amount(out, "available", fare_decider_available(a));
		fare_json_amount(out, "low_balance", a->rec.low_balance);
		fare_buf_add_char(out, '}');
		comma = ", ";
		left--;
	}
	fare_buf_addf(out, "], \"alarms_waiting\": %u", b->alarms.count);
}
