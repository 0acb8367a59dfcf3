/* About the bank itself. */
#include "base/first.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/version.h"
#include "conf/program.h"
#include "bank/server_inner.h"

static void ping(struct fare_admin *c)
{
	char more[48];
	snprintf(more, sizeof more, ", \"pid\": %ld", (long)getpid());
	fare_admin_ok(c, more);
}

/* Any open connection keeps the bank; this one says so. */
static void keep(struct fare_admin *c) { fare_admin_ok(c, ""); }

static void stop(struct fare_admin *c)
{
	struct fare_bank *b = c->bank;
	fare_admin_ok(c, "");
	fare_bank_stop(b);
}

/* After an upgrade this program's file is another one: the next bank shall be of it. Whoever needs a bank starts one; what is under way is said to it again. */
static bool make_room(const struct fare_bank *b, char error[FARE_CONF_ERROR_N])
{
	char path[FARE_PATH_N], home[] = "--home", check[] = "--check";
	char *argv[] = {path, home, (char *)(uintptr_t)b->conf.home, check, NULL};
	*error = 0;
	if (!fare_program_replaced("farebox-bank", path))
		return false;
	if (fare_program_check(argv, error)) {
		fare_log(FARE_INFO, "%s is another one now: leaving for it", path);
		return true;
	}
	fare_log(FARE_ALARM, "%s is another one now, but this bank stays: %s", path, error);
	return false;
}

static void reload(struct fare_admin *c)
{
	struct fare_bank *b = c->bank;
	struct fare_conf *fresh = malloc(sizeof *fresh);
	char error[FARE_CONF_ERROR_N] = "no memory";
	if (fresh && fare_conf_load(fresh, b->conf.home, error)) {
		b->conf = *fresh;
		fare_bank_settings(b);
		fare_checkpointer_settings(b);
		bool leave = make_room(b, error);
		if (leave || !*error)
			fare_admin_ok(c, "");
		else
			fare_admin_fail(c, "%s", error);
		if (leave)
			fare_bank_stop(b);
	} else {
		fare_admin_fail(c, "%s", error);
	}
	free(fresh);
}

static void add_hex(struct fare_buf *out, const char *name, const uint8_t *p, size_t n)
{
	fare_buf_addf(out, ", \"%s\": \"", name);
	for (size_t i = 0; i < n; i++)
		fare_buf_addf(out, "%02x", p[i]);
	fare_buf_add_char(out, '"');
}

static void add_workers(struct fare_admin *c)
{
	const char *comma = "";
	fare_buf_add_str(&c->out, ", \"workers\": [");
	for (const struct fare_worker *w = c->bank->d.workers; w; w = w->next) {
		char id[FARE_ID_TEXT_N];
		fare_id_text(w->incarnation, id);
		fare_buf_addf(&c->out, "%s{\"worker\": %u, \"incarnation\": \"%s\", \"pid\": %u, \"connected\": %s, \"slots\": %u, \"holds\": %u}", comma, w->no, id, w->pid,
			w->conn ? "true" : "false", w->slots, w->holds);
		comma = ", ";
	}
	fare_buf_add_char(&c->out, ']');
}

bool fare_admin_add_head_seal(struct fare_admin *c)
{
	struct fare_seal s;
	if (fare_books_head_seal(c->bank->books, &s) != 0)
		return false;
	if (s.number == 0)
		return fare_buf_add_str(&c->out, "\"head_seal\": null");
	char hex[FARE_HEX_HASH_N];
	fare_hash_hex(&s.hash, hex);
	fare_buf_addf(&c->out, "\"head_seal\": {\"number\": %llu, \"hash\": \"%s\", \"entries\": %llu", (unsigned long long)s.number, hex, (unsigned long long)s.total_entries);
	fare_json_time(&c->out, "time", s.time_ms);
	return fare_buf_add_char(&c->out, '}');
}

/* The head seal is read from the store: the end of the record is a reader's. */
static void read_status_end(struct fare_admin *c)
{
	fare_buf_add_str(&c->out, ", ");
	c->read_failed = !fare_admin_add_head_seal(c);
	fare_buf_add_char(&c->out, '}');
	fare_admin_end_record(c);
}

static void status(struct fare_admin *c)
{
	struct fare_bank *b = c->bank;
	const struct fare_decider *d = &b->d;
	fare_buf_addf(&c->out, "{\"pid\": %ld, \"version\": \"%s\"", (long)getpid(), fare_version);
	add_hex(&c->out, "store", b->store, sizeof b->store);
	add_hex(&c->out, "epoch", b->epoch, sizeof b->epoch);
	add_workers(c);
	size_t offered = d->model_names.count;
	fare_buf_addf(&c->out, ", \"holds\": %u, \"connections\": %u, \"accounts\": %zu, \"keys\": %zu, \"models\": %zu, \"queued\": %llu, \"over_hold\": %llu, \"catalogue\": %llu", d->holds.used, b->conn_count,
		d->account_count, d->key_count, offered, (unsigned long long)d->queued, (unsigned long long)d->over_hold, (unsigned long long)atomic_load(&fare_board_page(b->board)->catalogue));
	fare_json_time(&c->out, "started", b->started_ms);
	fare_space_json(b, &c->out);
	fare_alarms_json(b, &c->out);
	fare_admin_read(c, read_status_end);
}

const struct fare_admin_op fare_status_ops[] = {
	{"ping", ping, "", false},
	{"keep", keep, "", false},
	{"stop", stop, "", false},
	{"reload", reload, "", false},
	{"status", status, "", false},
	{NULL, NULL, NULL, false},
};
