/* Keys. A key's text is said once, when it is made; the bank keeps its hash. */
#include "base/first.h"

#include "base/log.h"
#include "bank/match.h"
#include "bank/server_inner.h"

static const char *state_of(const struct fare_admin *c, const struct fare_key *k)
{
	if (k->state != FARE_KEY_LIVE)
		return "revoked";
	return k->expires_ms && k->expires_ms <= c->bank->d.now_ms ? "expired" : "live";
}

static void add_key(struct fare_admin *c, const struct fare_key *k)
{
	const struct fare_acct *a = fare_decider_account(&c->bank->d, k->account);
	fare_buf_addf(&c->out, "{\"id\": %llu", (unsigned long long)k->id);
	if (c->secret[0])
		fare_json_text_member(&c->out, "key", c->secret);
	fare_wipe(c->secret, sizeof c->secret);
	fare_json_text_member(&c->out, "account", a ? a->rec.name : "");
	fare_json_text_member(&c->out, "name", k->name);
	fare_json_text_member(&c->out, "state", state_of(c, k));
	fare_json_text_member(&c->out, "models", k->models);
	fare_json_text_member(&c->out, "ip", k->ip);
	fare_json_time(&c->out, "expires", k->expires_ms);
	fare_json_time(&c->out, "created", k->created_ms);
	fare_buf_add_char(&c->out, '}');
	fare_admin_end_record(c);
}

static void key_done(struct fare_admin *c, struct fare_job *job)
{
	add_key(c, &job->op.u.key);
	fare_admin_ok(c, "");
}

static void put_then(struct fare_admin *c, const struct fare_key *k, void (*then)(struct fare_admin *, struct fare_job *))
{
	if (c->bad) {
		fare_wipe(c->secret, sizeof c->secret);
		fare_admin_fail(c, "%s", c->error);
		return;
	}
	struct fare_job *job = fare_alloc(sizeof *job);
	job->op.type = FARE_OP_KEY_PUT;
	job->op.u.key = *k;
	fare_admin_submit(c, job, then);
}

static void put(struct fare_admin *c, const struct fare_key *k) { put_then(c, k, key_done); }

/* What is not named stays as it is. */
static void read_limits(struct fare_admin *c, struct fare_key *k)
{
	char text[FARE_GLOBS_N];
	if (fare_arg_text(c, "name", text, sizeof k->name, false))
		memcpy(k->name, text, sizeof k->name);
	if (fare_arg_text(c, "models", text, sizeof text, false))
		memcpy(k->models, text, sizeof k->models);
	if (fare_arg_text(c, "ip", text, sizeof text, false))
		memcpy(k->ip, text, sizeof k->ip);
	if (!fare_match_cidrs_valid(k->ip))
		fare_arg_wrong(c, "ip: %.150s is no list of addresses and networks", k->ip);
	if (fare_arg_is_there(c, "expires") && !fare_arg_time(c, "expires", &k->expires_ms, false))
		k->expires_ms = 0; /* null, or wrong and said so */
}

static void make_secret(struct fare_admin *c, struct fare_key *k)
{
	if (!fare_key_new(c->secret)) {
		fare_arg_wrong(c, "no random numbers from the kernel");
		return;
	}
	fare_sha256(c->secret, strlen(c->secret), &k->hash);
}

static struct fare_key new_key(struct fare_admin *c)
{
	struct fare_key k = {.state = FARE_KEY_LIVE, .created_ms = c->bank->d.now_ms};
	const struct fare_acct *a = fare_arg_account(c, "account");
	if (a)
		k.account = a->rec.id;
	if (a && a->rec.default_expires_s)
		k.expires_ms = k.created_ms + a->rec.default_expires_s * 1000;
	read_limits(c, &k);
	return k;
}

static void key_create(struct fare_admin *c)
{
	struct fare_key k = new_key(c);
	if (!c->bad)
		make_secret(c, &k);
	put(c, &k);
}

static void key_import(struct fare_admin *c)
{
	struct fare_key k = new_key(c);
	char hex[FARE_HEX_HASH_N];
	if (fare_arg_text(c, "sha256", hex, sizeof hex, true) && !fare_hash_parse(fare_span_of(hex), &k.hash))
		fare_arg_wrong(c, "sha256 must be 64 hexadecimal digits");
	put(c, &k);
}

static struct fare_key *key_named(struct fare_admin *c)
{
	uint64_t id = fare_arg_u64(c, "id", INT64_MAX, true);
	struct fare_key *k = c->bad ? NULL : fare_decider_key(&c->bank->d, id);
	if (!k)
		fare_arg_wrong(c, "no key %llu", (unsigned long long)id);
	return k;
}

static void key_set(struct fare_admin *c)
{
	const struct fare_key *have = key_named(c);
	struct fare_key k = have ? *have : (struct fare_key){0};
	read_limits(c, &k);
	put(c, &k);
}

static void key_show(struct fare_admin *c)
{
	const struct fare_key *k = key_named(c);
	if (!k) {
		fare_admin_fail(c, "%s", c->error);
		return;
	}
	add_key(c, k);
	fare_admin_ok(c, "");
}

static void key_revoke(struct fare_admin *c)
{
	struct fare_key *have = key_named(c);
	struct fare_key k = have ? *have : (struct fare_key){0};
	k.state = FARE_KEY_REVOKED;
	if (have)
		have->state = FARE_KEY_REVOKED; /* the very next call sees it */
	put(c, &k);
}

static void rotated(struct fare_admin *c, struct fare_job *job)
{
	(void)job;
	fare_admin_ok(c, ""); /* the new key's record has been said */
}

/* The new key is durable: now the old one ends, at once or after the grace. */
static void rotate_old(struct fare_admin *c, struct fare_job *job)
{
	struct fare_key *have = fare_decider_key(&c->bank->d, c->from);
	uint64_t ends_ms = c->bank->d.now_ms + c->since_ms;
	add_key(c, &job->op.u.key);
	if (have->expires_ms == 0 || have->expires_ms > ends_ms)
		have->expires_ms = ends_ms;
	if (c->since_ms == 0)
		have->state = FARE_KEY_REVOKED;
	put_then(c, have, rotated);
}

static void key_rotate(struct fare_admin *c)
{
	enum { GRACE_MAX_S = 366 * 86400 };
	const struct fare_key *have = key_named(c);
	struct fare_key k = have ? *have : (struct fare_key){0};
	c->from = k.id;
	c->since_ms = fare_arg_u64(c, "grace_s", GRACE_MAX_S, false) * 1000;
	if (have && k.state != FARE_KEY_LIVE)
		fare_arg_wrong(c, "key %llu is revoked", (unsigned long long)k.id);
	k.id = 0;
	k.created_ms = c->bank->d.now_ms;
	if (!c->bad)
		make_secret(c, &k);
	put_then(c, &k, rotate_old);
}

static void key_list(struct fare_admin *c)
{
	struct fare_decider *d = &c->bank->d;
	const struct fare_acct *a = fare_arg_is_there(c, "account") ? fare_arg_account(c, "account") : NULL;
	if (c->bad) {
		fare_admin_fail(c, "%s", c->error);
		return;
	}
	for (size_t i = 0; i < d->keys.n; i++) {
		const struct fare_key *k = d->keys.at[i];
		if (k && (!a || k->account == a->rec.id))
			add_key(c, k);
	}
	fare_admin_ok(c, "");
}

const struct fare_admin_op fare_key_ops[] = {
	{"key.create", key_create, "account name expires models ip", true},
	{"key.import", key_import, "account sha256 name expires models ip", true},
	{"key.set", key_set, "id name expires models ip", true},
	{"key.list", key_list, "account", false},
	{"key.show", key_show, "id", false},
	{"key.rotate", key_rotate, "id grace_s", true},
	{"key.revoke", key_revoke, "id", true},
	{NULL, NULL, NULL, false},
};
