/* The commands: their words, what they ask of the bank, and what is shown. Usage texts come from here too. */
#include "base/first.h"

#include <stdio.h>
#include <string.h>

#include "ctl.h"

#define NAME_OF(what) {.word = what, .member = "name", .kind = CTL_NAME, .required = true}
#define MODEL_NAME {.word = "NAME", .member = "name", .kind = CTL_MODEL, .required = true}
#define KEY_ID {.word = "ID", .member = "id", .kind = CTL_ID, .required = true}
#define NOT_YET(option, value) {.word = option, .kind = CTL_NOT_YET, .shown = value}
#define KEY_OPTIONS \
	{.word = "--name", .member = "name", .kind = CTL_TEXT, .shown = "N"}, {.word = "--expires", .member = "expires", .kind = CTL_EXPIRES, .shown = "WHEN"}, \
		{.word = "--models", .member = "models", .kind = CTL_TEXT, .shown = "GLOBS"}, {.word = "--ip", .member = "ip", .kind = CTL_CIDRS, .shown = "CIDRS"}, \
		NOT_YET("--rpm", "N"), NOT_YET("--tpm", "N"), NOT_YET("--concurrency", "N"), NOT_YET("--budget", "AMOUNT/PERIOD")
#define ACCOUNT_OPTIONS \
	{.word = "--credit-limit", .member = "credit_limit", .kind = CTL_AMOUNT_0, .shown = "AMOUNT"}, \
		{.word = "--low-balance", .member = "low_balance", .kind = CTL_AMOUNT_0, .shown = "AMOUNT"}, \
		{.word = "--default-models", .member = "default_models", .kind = CTL_TEXT, .shown = "GLOBS"}, {.word = "--default-ip", .member = "default_ip", .kind = CTL_TEXT, .shown = "CIDRS"}, \
		{.word = "--default-max-tokens", .member = "default_max_tokens", .kind = CTL_NUMBER, .shown = "N"}, \
		{.word = "--default-expires", .member = "default_expires_s", .kind = CTL_SPAN_S, .shown = "SPAN"}
#define MONEY_ARGS \
	NAME_OF("NAME"), {.word = "AMOUNT", .member = "amount", .kind = CTL_AMOUNT, .required = true}, {.word = "--ref", .member = "ref", .kind = CTL_TEXT, .shown = "ID"}, \
		{.word = "--note", .member = "note", .kind = CTL_TEXT, .shown = "TEXT"}, {.word = "--corrects", .member = "corrects", .kind = CTL_CALL_ID, .shown = "CALL-ID"}

#define ACCOUNT_MONEY "name state balance:a available:a pending:a credits:a debits:a credit_limit:a"
#define ACCOUNT_COLUMNS ACCOUNT_MONEY " created:t"
#define ACCOUNT_ALL ACCOUNT_MONEY " default_models:o default_ip:o default_max_tokens:o default_expires_s:o low_balance:a created:t"
#define KEY_COLUMNS "id:n account name state models ip expires:t created:t"
#define PROVIDER_COLUMNS "name style base_url key_file key_env"
#define MODEL_COLUMNS "name provider upstream input:a output:a cache_read:a cache_write:a per_call:a max_output:n context:n stream_hold:n price_version:n"
#define ENTRY_COLUMNS "number:n time:t kind amount:a balance:a model usage.input_tokens:n usage.output_tokens:n ending call_id corrects:o ref note"
#define USAGE_COLUMNS \
	"day:o account:o key_id:o model:o calls:n usage.input_tokens:n usage.output_tokens:n usage.cached_tokens:n usage.cache_write_tokens:n usage.reasoning_tokens:n cost:a"
#define CALL_COLUMNS "started:t call_id account key_id:n model state hold:a cost:a ending"

static const struct ctl_command commands[] = {
	{"account", "create", "account.create", {NAME_OF("NAME"), ACCOUNT_OPTIONS}, .columns = ACCOUNT_ALL,
		.help = "an account with no money in it; how far below zero it may go, and what holds for keys and calls that do not say otherwise"},
	{"account", "set", "account.set", {NAME_OF("NAME"), ACCOUNT_OPTIONS}, .columns = ACCOUNT_ALL, .some = true,
		.help = "changes what is named; \"\" or 0 takes it away\n"
			"      default models and addresses hold for each key that has none of its own (a key's '*', or 0.0.0.0/0,::/0, is all), the output bound for calls that name none,"
			" the span for keys that are made from then on without --expires\n"
			"      with --low-balance there is an alarm (settings alarm_command, alarm_webhook) each time that balance and credit limit together fall below AMOUNT; what running"
			" calls hold does not count"},
	{"account", "list", "account.list", .columns = ACCOUNT_COLUMNS, .help = "all accounts"},
	{"account", "show", "account.show", {NAME_OF("NAME")}, .columns = ACCOUNT_ALL, .help = "one account"},
	{"account", "close", "account.close", {NAME_OF("NAME")}, .columns = ACCOUNT_COLUMNS, .help = "refuses its calls (403 account_closed)"},
	{"account", "reopen", "account.reopen", {NAME_OF("NAME")}, .columns = ACCOUNT_COLUMNS, .help = "takes its calls again"},
	{"credit", NULL, "credit", {MONEY_ARGS}, .columns = ENTRY_COLUMNS, .help = "adds money; the same --ref adds it once; with --corrects it is a correction of that call, which must be in this account's ledger"},
	{"debit", NULL, "debit", {MONEY_ARGS, {.word = "--force", .member = "force", .kind = CTL_FLAG}}, .columns = ENTRY_COLUMNS,
		.help = "takes money out, not beyond what is available unless --force"},
	{"rerate", NULL, "rerate",
		{{.word = "--model", .member = "model", .kind = CTL_MODEL, .required = true, .shown = "M"}, {.word = "--since", .member = "since", .kind = CTL_PAST, .required = true, .shown = "TIME"},
			{.word = "--price-version", .member = "price_version", .kind = CTL_ID, .required = true, .shown = "V"}, {.word = "--dry-run", .member = "dry_run", .kind = CTL_FLAG}},
		.columns = "account calls:n charged:a amount:a posted",
		.help = "charges calls of a model that ended since TIME at the price of version V of it (those that end meanwhile may be left out); --dry-run says what that would be\n"
			"      each difference is an entry of kind rerate that names its call; free endings stay free. Done again it does nothing: one that was cut short is finished by the same again\n"
			"      a dearer price is charged even where the account goes below zero; credits and debits with --corrects are not undone"},
	{"balance", NULL, "balance", {NAME_OF("NAME")}, .columns = "account available:a pending:a credits:a debits:a credit_limit:a currency", .help = "what an account has"},
	{"ledger", NULL, "ledger", {NAME_OF("NAME"), {.word = "--since", .member = "since", .kind = CTL_PAST, .shown = "TIME"}}, .columns = ENTRY_COLUMNS,
		.help = "an account's entries, oldest first; TIME is RFC 3339, or 30d, 12h, 15m, 90s before now"},
	{"ledger", "--all", "ledger_all", .columns = "account " ENTRY_COLUMNS, .help = "every entry and seal, in the order they were written"},
	{"usage", NULL, "usage", {{.word = "--by", .member = "by", .kind = CTL_BY, .shown = "account|key|model|day"},
			{.word = "--since", .member = "since", .kind = CTL_PAST, .shown = "TIME"}, {.word = "--until", .member = "until", .kind = CTL_PAST, .shown = "TIME"}},
		.columns = USAGE_COLUMNS, .help = "what calls used and cost when they ended (corrections and rerates are in the ledger alone), by account unless said otherwise; counted by the day (UTC): every day that the span touches"},
	{"calls", NULL, "calls", {{.word = "--live", .member = "live", .kind = CTL_FLAG}}, .columns = CALL_COLUMNS, .help = "live calls, and those that ended lately"},
	{"why", NULL, "why", {{.word = "CALL-ID", .member = "call_id", .kind = CTL_CALL_ID, .required = true}}, .result = CTL_WHY,
		.help = "a call's story: what was asked and decided, the numbers as they were, how it ended and what fixes it; kept for story_days of the settings"},
	{"key", "create", "key.create", {{.word = "ACCOUNT", .member = "account", .kind = CTL_NAME, .required = true}, KEY_OPTIONS}, .result = CTL_KEY, .columns = KEY_COLUMNS,
		.help = "a key, printed this once; WHEN is RFC 3339, 30d, 12h or never"},
	{"key", "import", "key.import",
		{{.word = "ACCOUNT", .member = "account", .kind = CTL_NAME, .required = true},
			{.word = "--sha256", .member = "sha256", .kind = CTL_SHA256, .required = true, .shown = "HEX"}, KEY_OPTIONS},
		.columns = KEY_COLUMNS, .help = "a key made elsewhere, by its hash"},
	{"key", "set", "key.set", {KEY_ID, KEY_OPTIONS}, .columns = KEY_COLUMNS, .help = "changes a key; \"\" lifts a limit"},
	{"key", "list", "key.list", {{.word = "ACCOUNT", .member = "account", .kind = CTL_NAME}}, .columns = KEY_COLUMNS, .help = "keys of an account, or all"},
	{"key", "show", "key.show", {KEY_ID}, .columns = KEY_COLUMNS, .help = "one key"},
	{"key", "rotate", "key.rotate", {KEY_ID, {.word = "--grace", .member = "grace_s", .kind = CTL_SPAN_S, .shown = "24h"}}, .result = CTL_KEY, .columns = KEY_COLUMNS,
		.help = "a new key in its place; the old one ends after the grace (default: at once)"},
	{"key", "revoke", "key.revoke", {KEY_ID}, .columns = KEY_COLUMNS, .help = "ends a key at once"},
	{"provider", "add", "provider.add",
		{NAME_OF("NAME"), {.word = "--style", .member = "style", .kind = CTL_STYLE, .required = true, .shown = "openai"},
			{.word = "--base-url", .member = "base_url", .kind = CTL_URL, .required = true, .shown = "URL"},
			{.word = "--key-file", .member = "key_file", .kind = CTL_KEY_FILE, .shown = "FILE|-"},
			{.word = "--key-env", .member = "key_env", .kind = CTL_VARIABLE, .shown = "VARIABLE"}},
		.columns = PROVIDER_COLUMNS, .help = "an upstream; --key-file - reads its key from standard input"},
	{"provider", "list", "provider.list", .columns = PROVIDER_COLUMNS, .help = "all providers"},
	{"provider", "test", NULL, {NAME_OF("NAME")}, .help = "asks it for its models with its key"},
	{"provider", "remove", "provider.remove", {NAME_OF("NAME")}, .columns = PROVIDER_COLUMNS, .help = "forgets one that no model uses"},
	{"model", "add", "model.add",
		{MODEL_NAME, {.word = "--provider", .member = "provider", .kind = CTL_NAME, .required = true, .shown = "P"},
			{.word = "--upstream-name", .member = "upstream", .kind = CTL_MODEL, .shown = "M"},
			{.word = "--input", .member = "input", .kind = CTL_AMOUNT_0, .required = true, .shown = "USD"},
			{.word = "--output", .member = "output", .kind = CTL_AMOUNT_0, .required = true, .shown = "USD"},
			{.word = "--cache-read", .member = "cache_read", .kind = CTL_AMOUNT_0, .shown = "USD"},
			{.word = "--cache-write", .member = "cache_write", .kind = CTL_AMOUNT_0, .shown = "USD"},
			{.word = "--per-call", .member = "per_call", .kind = CTL_AMOUNT_0, .shown = "USD"},
			{.word = "--max-output", .member = "max_output", .kind = CTL_NUMBER, .shown = "N"}, {.word = "--context", .member = "context", .kind = CTL_NUMBER, .shown = "N"},
			{.word = "--bound-field", .member = "bound_field", .kind = CTL_BOUND_FIELD, .shown = "max_tokens|max_completion_tokens"},
			{.word = "--no-stream-options", .member = "no_stream_options", .kind = CTL_FLAG},
			{.word = "--stream-hold", .member = "stream_hold", .kind = CTL_NUMBER, .shown = "N"}},
		.columns = MODEL_COLUMNS, .help = "what callers may ask for, and its price in dollars per million tokens; --no-stream-options: for a provider that refuses stream_options, a stream's usage is estimated\n"
			"      --stream-hold: a stream sets aside the price of N output tokens at first (16 or more) and of more as it runs, not of all it may come to; it ends in good order when the"
			" balance is used up. Only for models that show all their output as it runs: hidden reasoning would be billed unseen"},
	{"model", "list", "model.list", .columns = MODEL_COLUMNS, .help = "all models"},
	{"model", "show", "model.show", {MODEL_NAME}, .columns = MODEL_COLUMNS, .help = "one model"},
	{"model", "remove", "model.remove", {MODEL_NAME}, .columns = MODEL_COLUMNS, .help = "no longer offers it"},
	{"verify", NULL, "verify", {{.word = "--head", .member = "head", .kind = CTL_SEAL, .shown = "NUMBER:HASH"}}, .result = CTL_VERIFY,
		.help = "recomputes every entry, chain, balance, seal, total and cost, and looks what running calls hold; names the first thing that does not add up\n"
			"      --head is a seal that was kept elsewhere (status and backup print the last one): with it nobody can cut off the ledger's end, or make it anew, unseen"},
	{"backup", NULL, "backup", {{.word = "DIR", .member = "dir", .kind = CTL_DIR, .required = true}}, .result = CTL_BACKUP,
		.help = "copies the store while it is in use into an empty or new folder, and tries the copy: recovered and verified, or not done; settings and providers' keys are not in it"},
	{"restore", NULL, "restore", {{.word = "DIR", .member = "dir", .kind = CTL_DIR, .required = true}, {.word = "--logs", .member = "logs", .kind = CTL_DIR, .shown = "ARCHIVE"}},
		.result = CTL_RESTORE, .help = "makes the store of a home that has none from a backup, and with --logs from the logs after it in log_archive of the settings: to the end of the last one there\n"
			"      ARCHIVE is that folder, or with logs of more than one life of the store one of the folders in it; copies of a lost store's own last logs, put there, count too"},
	{"status", NULL, "status", .result = CTL_STATUS, .help = "keeper, workers, holds, the ledger's head"},
	{"bank", "status", "status", .result = CTL_STATUS, .no_start = true, .help = "the same of a running bank, nothing if there is none"},
	{"bank", "stop", "stop", .result = CTL_QUIET, .no_start = true, .help = "asks a running bank to leave"},
	{"bank", "ping", "ping", .result = CTL_QUIET, .help = "sees that a bank runs"},
};

const struct ctl_command *ctl_find(const char *group, const char *verb, int *words)
{
	const struct ctl_command *plain = NULL;
	for (size_t i = 0; i < FARE_ARRAY_N(commands); i++) {
		if (strcmp(commands[i].group, group) != 0)
			continue;
		*words = 2;
		if (commands[i].verb && verb && strcmp(commands[i].verb, verb) == 0)
			return &commands[i];
		if (!commands[i].verb)
			plain = &commands[i];
	}
	*words = 1;
	return plain;
}

static void usage_line(const struct ctl_command *c, FILE *to)
{
	fprintf(to, "  farebox %s%s%s", c->group, c->verb ? " " : "", c->verb ? c->verb : "");
	for (const struct ctl_arg *a = c->args; a->word; a++)
		if (a->kind != CTL_NOT_YET)
			fprintf(to, " %s%s%s%s%s", a->required ? "" : "[", a->word, a->shown ? " " : "", a->shown ? a->shown : "", a->required ? "" : "]");
	fprintf(to, "\n      %s\n", c->help);
}

bool ctl_usage(const char *group, FILE *to)
{
	bool found = false;
	for (size_t i = 0; i < FARE_ARRAY_N(commands); i++) {
		if (group && strcmp(commands[i].group, group) != 0)
			continue;
		if (!found)
			fputs("usage:\n", to);
		found = true;
		usage_line(&commands[i], to);
	}
	if (found)
		fputs("  --json prints records as JSON, one a line; --home DIR names the instance (default: FAREBOX_HOME, else " FARE_LOCALSTATEDIR "/lib/farebox)\n", to);
	return found;
}
