/* farebox-ctl: asks the bank, prints what it says. */
#include "base/first.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/version.h"
#include "bank/admin.h"
#include "bank/start.h"

#include "ctl.h"

/* One answer on its way in. */
struct answer {
	const struct fare_conf *conf;
	const struct ctl_command *cmd;
	struct ctl_table *table;
	struct fare_json json; /* of the line at hand */
	bool as_json, ended;
	uint64_t head; /* the seal that a backup must reach */
	int rc;
};

static const struct fare_json_node *member(const struct answer *a, const char *name)
{
	return fare_json_member(&a->json, fare_json_root(&a->json), name);
}

/* The bank's word for what is wrong, as a line. */
static int fail_with(const struct answer *a, const char *name)
{
	struct fare_buf text;
	const struct fare_json_node *n = member(a, name);
	fare_buf_init(&text, FARE_ADMIN_LINE_MAX);
	if (!n || !fare_json_string(&a->json, n, &text))
		fare_buf_add_str(&text, "the bank refused, and did not say why");
	ctl_fail("%s", fare_buf_cstr(&text));
	fare_buf_release(&text);
	return CTL_FAILED;
}

/* The key alone on standard output, so that a script can take it; the rest is for the reader. */
static void key_print(struct answer *a)
{
	struct fare_buf key;
	const struct fare_json_node *n = member(a, "key");
	fare_buf_init(&key, FARE_ADMIN_LINE_MAX);
	if (!n || !fare_json_string(&a->json, n, &key))
		a->rc = ctl_fail("the bank answered without a key");
	else
		printf("%s\n", fare_buf_cstr(&key));
	n = member(a, "id");
	struct fare_span id = n ? fare_json_text(&a->json, n) : fare_span_of("?");
	if (a->rc == CTL_OK)
		fprintf(stderr, "key %.*s: keep it, it is shown this once\n", (int)id.n, id.p);
	fare_buf_release(&key);
}

static void verify_print(struct answer *a)
{
	static const char *const counts[] = {"entries", "accounts", "seals", "holds", "entries_per_second"};
	static const char *const words[] = {"entries,", "accounts,", "seals,", "holds;", "entries a second\n"};
	const struct fare_json_node *ok = member(a, "ok_books"), *fault = member(a, "first_fault");
	bool good = ok && ok->kind == FARE_JSON_TRUE;
	if (a->as_json)
		printf("{\"ok\":%s", good ? "true" : "false");
	else
		fputs(good ? "the books add up:" : "the books do not add up:", stdout);
	for (size_t i = 0; i < FARE_ARRAY_N(counts); i++) {
		const struct fare_json_node *n = member(a, counts[i]);
		struct fare_span s = n ? fare_json_text(&a->json, n) : fare_span_of("0");
		if (a->as_json)
			printf(",\"%s\":%.*s", counts[i], (int)s.n, s.p);
		else
			printf(" %.*s %s", (int)s.n, s.p, words[i]);
	}
	if (a->as_json) {
		struct fare_span s = fault ? fare_json_text(&a->json, fault) : fare_span_of("null");
		printf(",\"first_fault\":%.*s}\n", (int)s.n, s.p);
	}
	if (!good)
		a->rc = fail_with(a, "first_fault");
}

static void backup_take(struct answer *a)
{
	const struct fare_json_node *seal = member(a, "head_seal"), *number = seal ? fare_json_member(&a->json, seal, "number") : NULL;
	int64_t v = 0;
	if (number && !fare_json_i64(&a->json, number, 0, INT64_MAX, &v))
		a->rc = ctl_fail("the bank's answer makes no sense");
	a->head = (uint64_t)v;
}

static void record_print(struct answer *a, struct fare_span line)
{
	if (a->cmd->result == CTL_STATUS)
		a->rc = ctl_status_print(a->conf, &a->json, a->as_json);
	else if (a->cmd->result == CTL_WHY)
		a->rc = ctl_why_print(a->conf, line, a->as_json);
	else if (a->cmd->result == CTL_VERIFY)
		verify_print(a);
	else if (a->cmd->result == CTL_BACKUP)
		backup_take(a);
	else if (a->as_json)
		printf("%.*s\n", (int)line.n, line.p);
	else if (a->cmd->result == CTL_KEY)
		key_print(a);
	else if (a->table)
		ctl_table_row(a->table, &a->json);
}

static void line_take(struct answer *a, struct fare_span line)
{
	if (!fare_json_parse(&a->json, line)) {
		a->rc = ctl_fail("the bank's answer makes no sense: %s", a->json.error);
		a->ended = true;
		return;
	}
	const struct fare_json_node *ok = member(a, "ok");
	if (!ok) {
		record_print(a, line);
		return;
	}
	a->ended = true;
	const struct fare_json_node *already = member(a, "already");
	if (ok->kind != FARE_JSON_TRUE)
		a->rc = fail_with(a, "error");
	else if (already && already->kind == FARE_JSON_TRUE)
		fputs("already done under this --ref: nothing was changed\n", stderr);
}

static void answer_read(struct answer *a, int fd)
{
	struct fare_buf in;
	fare_buf_init(&in, CTL_LINE_MAX);
	while (!a->ended) {
		size_t used = 0;
		const char *end;
		while (!a->ended && in.n > used && (end = memchr(in.p + used, '\n', in.n - used))) {
			line_take(a, fare_span_at(in.p + used, (size_t)(end - in.p) - used));
			used = (size_t)(end - in.p) + 1;
		}
		fare_buf_drop(&in, used);
		if (a->ended)
			break;
		ssize_t n = fare_buf_reserve(&in, 64 * 1024) ? recv(fd, in.p + in.n, 64 * 1024, 0) : 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			a->rc = ctl_fail("the bank hung up before it answered: look again before you repeat this");
			break;
		}
		in.n += (size_t)n;
	}
	fare_buf_release(&in);
}

/* A mistyped home must not become an instance: only setup's ping may make a store. */
static bool is_set_up(const struct fare_conf *c, const struct ctl_command *cmd)
{
	char store[FARE_PATH_N];
	struct stat st;
	if (cmd->no_start || strcmp(cmd->op, "ping") == 0)
		return true;
	return fare_path(store, sizeof store, c->home, "store") && (stat(store, &st) == 0 || errno != ENOENT);
}

/* One line there and one back. */
static bool is_answering(int fd)
{
	static const char ping[] = "{\"op\": \"ping\"}\n";
	char byte = 0;
	if (!fare_write_all(fd, ping, sizeof ping - 1))
		return false;
	while (byte != '\n') {
		ssize_t n = recv(fd, &byte, 1, 0);
		if (n == 0 || (n < 0 && errno != EINTR))
			return false;
	}
	return true;
}

/* A bank that is being killed still takes connections: nothing is asked of one that does not answer, so a command that meets it goes to the next bank and is done once. */
static int bank_reach(const struct fare_conf *c, char error[FARE_ERROR_N])
{
	enum { TRIES = 20 };
	for (int tries = 0; tries < TRIES; tries++) {
		int fd = fare_bank_connect(c, error);
		if (fd < 0 || is_answering(fd))
			return fd;
		close(fd);
	}
	snprintf(error, FARE_ERROR_N, "the bank hangs up");
	return -1;
}

static int ask(const struct fare_conf *c, const struct ctl_command *cmd, bool as_json, struct fare_buf *request, uint64_t *head)
{
	char error[FARE_ERROR_N] = "";
	if (!is_set_up(c, cmd))
		return ctl_fail("%s: no instance there; farebox setup makes one", c->home);
	if (!fare_bank_may(c, error) && (!cmd->no_start || access(c->home, F_OK) == 0))
		return ctl_fail("%s", error);
	int fd = cmd->no_start ? fare_bank_try(c) : bank_reach(c, error);
	if (fd < 0 && cmd->no_start && (errno == ENOENT || errno == ECONNREFUSED))
		return CTL_OK;
	if (fd < 0)
		return ctl_fail("%s", cmd->no_start ? strerror(errno) : error);
	fare_buf_add_char(request, '\n');
	struct answer a = {.conf = c, .cmd = cmd, .as_json = as_json};
	if (!as_json && cmd->columns && cmd->result == CTL_TABLE)
		a.table = ctl_table_new(cmd->columns);
	if (!fare_write_all(fd, request->p, request->n))
		a.rc = ctl_fail("the bank does not listen: %s", strerror(errno));
	else
		answer_read(&a, fd);
	close(fd);
	*head = a.head;
	if (a.table)
		ctl_table_free(a.table);
	fare_json_release(&a.json);
	if (fflush(stdout) != 0 && a.rc == CTL_OK)
		a.rc = ctl_fail("standard output: %s", strerror(errno));
	return a.rc;
}

/* What is asked of the bank alone, and what is done before and after it. */
static int run(const struct fare_conf *c, const struct ctl_command *cmd, int argc, char **argv, bool as_json, struct fare_buf *request)
{
	const char *first = NULL, *logs = NULL; /* the words of a restore or backup, read already */
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], "--logs") == 0 && i + 1 < argc)
			logs = argv[++i];
		else
			first = argv[i];
	uint64_t head = 0;
	if (cmd->result == CTL_RESTORE)
		return ctl_restore(c, first, logs, as_json);
	if (cmd->result != CTL_BACKUP)
		return ask(c, cmd, as_json, request, &head);
	if (!is_set_up(c, cmd))
		return ctl_fail("%s: no instance there; farebox setup makes one", c->home);
	int rc = ctl_backup_begin(c, first);
	if (rc == CTL_OK)
		rc = ask(c, cmd, as_json, request, &head);
	return rc == CTL_OK ? ctl_backup_try(first, head, as_json) : rc;
}

/* farebox-ctl conf [NAME]: the settings as they are read, for scripts. */
static int conf_print(const struct fare_conf *c, const char *only)
{
	size_t count;
	bool found = false;
	const struct fare_param *all = fare_conf_params(&count);
	const struct { const char *name, *value; } folders[] = {{"home", c->home}, {"run", c->run}, {"file", c->file}};
	for (size_t i = 0; i < FARE_ARRAY_N(folders); i++)
		if (!only || strcmp(only, folders[i].name) == 0) {
			found = true;
			printf("%s%s%s\n", only ? "" : folders[i].name, only ? "" : " ", folders[i].value);
		}
	for (size_t i = 0; i < count; i++) {
		if (only && strcmp(only, all[i].name) != 0)
			continue;
		int64_t number;
		const char *at = (const char *)c + all[i].offset;
		found = true;
		printf("%s%s", only ? "" : all[i].name, only ? "" : " ");
		memcpy(&number, at, sizeof number);
		if (all[i].type == FARE_PARAM_NUMBER)
			printf("%lld\n", (long long)number);
		else
			printf("%s\n", at);
	}
	return found ? CTL_OK : ctl_misuse(NULL, "%s is not a setting", only);
}

/* Takes --json, --help and --home out of the words, wherever they stand before a value. */
struct common {
	bool json, help;
	const char *home;
};

static int common_take(struct common *o, int argc, char **argv)
{
	int kept = 0;
	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			o->json = true;
		else if (strcmp(argv[i], "--help") == 0)
			o->help = true;
		else if (strcmp(argv[i], "--home") == 0 && i + 1 < argc)
			o->home = argv[++i];
		else
			argv[kept++] = argv[i];
	}
	return kept;
}

int main(int argc, char **argv)
{
	struct common o = {0};
	struct fare_conf conf;
	char error[FARE_CONF_ERROR_N];
	int words = 0;
	fare_log_role("farebox");
	signal(SIGPIPE, SIG_IGN);
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return printf("farebox %s\n", fare_version) < 0 ? CTL_FAILED : CTL_OK;
	argc = common_take(&o, argc - 1, argv + 1);
	argv++;
	if (o.help || argc == 0) {
		bool known = ctl_usage(argc ? argv[0] : NULL, o.help ? stdout : stderr);
		return o.help && known ? CTL_OK : CTL_MISUSE;
	}
	bool is_conf = strcmp(argv[0], "conf") == 0 && argc <= 2;
	const struct ctl_command *cmd = is_conf ? NULL : ctl_find(argv[0], argc > 1 ? argv[1] : NULL, &words);
	if (!cmd && !is_conf) {
		if (!ctl_usage(argv[0], stderr))
			ctl_misuse(NULL, "%.64s: no such command; farebox --help lists them", argv[0]);
		return CTL_MISUSE;
	}
	if (cmd && !cmd->op)
		return ctl_misuse(NULL, "%s %s: only through bin/farebox", cmd->group, cmd->verb);
	if (!fare_conf_load(&conf, o.home, error)) {
		bool folder = is_conf && argc > 1 && (strcmp(argv[1], "home") == 0 || strcmp(argv[1], "run") == 0);
		if (!conf.run[0] || (is_conf && !folder))
			return ctl_fail("%s", error);
		/* Where the bank is does not hang on the file: what runs can be asked, and stopped, while the settings are being mended. */
		if (!folder)
			ctl_fail("%s", error);
		fare_conf_defaults(&conf);
	}
	fare_conf_log(&conf);
	if (is_conf)
		return conf_print(&conf, argc > 1 ? argv[1] : NULL);
	struct fare_buf request;
	fare_buf_init(&request, FARE_ADMIN_LINE_MAX - 1);
	int rc = ctl_request(&conf, cmd, argc - words, argv + words, &request);
	if (rc == CTL_OK)
		rc = run(&conf, cmd, argc - words, argv + words, o.json, &request);
	fare_buf_release(&request);
	return rc;
}
