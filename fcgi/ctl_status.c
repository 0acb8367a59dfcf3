/* `farebox status`: what the bank says, and what the keeper left in its state file if it still lives. */
#include "base/first.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/num.h"

#include "ctl.h"

/* The keeper's state, if one lives. */
struct kept_state {
	struct fare_buf text;
	struct fare_json json;
	bool lives;
};

/* The process that the pid file names: two lines, its id and when it began. */
static bool names_a_process(const char *path)
{
	struct fare_buf b;
	uint64_t pid, start;
	fare_buf_init(&b, 256);
	const char *text = fare_file_read(path, &b) ? fare_buf_cstr(&b) : "", *second = strchr(text, '\n');
	bool lives = second && fare_num_u64(fare_span_at(text, (size_t)(second - text)), 1, INT32_MAX, &pid) &&
		fare_num_u64(fare_span_at(second + 1, strcspn(second + 1, "\n")), 1, UINT64_MAX, &start) && fare_process_start((pid_t)pid) == start;
	fare_buf_release(&b);
	return lives;
}

/* It holds the file's lock; one that drains has given that up, and is known by its process. */
static bool keeper_lives(const struct fare_conf *c)
{
	char path[FARE_PATH_N];
	if (!fare_path(path, sizeof path, c->run, "keeper.pid"))
		return false;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool locked = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
	if (fd >= 0)
		close(fd);
	return locked || names_a_process(path);
}

static void state_read(struct kept_state *s, const struct fare_conf *c)
{
	char path[FARE_PATH_N];
	fare_buf_init(&s->text, 64 * 1024);
	s->lives = keeper_lives(c) && fare_path(path, sizeof path, c->run, "keeper.state") && fare_file_read(path, &s->text) &&
		fare_json_parse(&s->json, fare_buf_span(&s->text));
}

static const struct fare_json_node *state_member(const struct kept_state *s, const char *name)
{
	return s->lives ? fare_json_member(&s->json, fare_json_root(&s->json), name) : NULL;
}

static void add_member(struct fare_buf *b, const struct fare_json *j, const struct fare_json_node *n)
{
	if (n)
		fare_buf_add_span(b, fare_json_text(j, n));
	else
		fare_buf_add_str(b, "null");
}

/* All members of an object but its braces. */
static struct fare_span inside(const struct fare_json *j, const struct fare_json_node *n)
{
	struct fare_span s = fare_json_text(j, n);
	return fare_span_at(s.p + 1, s.n - 2);
}

static const struct fare_json_node *bank_worker(const struct fare_json *bank, int64_t pid)
{
	const struct fare_json_node *all = fare_json_member(bank, fare_json_root(bank), "workers");
	for (const struct fare_json_node *n = fare_json_first(bank, all); n; n = fare_json_next(bank, n)) {
		int64_t v;
		const struct fare_json_node *p = fare_json_member(bank, n, "pid");
		if (p && fare_json_i64(bank, p, 1, INT32_MAX, &v) && v == pid)
			return n;
	}
	return NULL;
}

/* One member of what a worker told the bank. */
static void add_told(struct fare_buf *b, const struct fare_json *bank, const struct fare_json_node *told, const char *name, const char *none)
{
	const struct fare_json_node *n = told ? fare_json_member(bank, told, name) : NULL;
	fare_buf_addf(b, ",\"%s\":", name);
	if (n)
		fare_buf_add_span(b, fare_json_text(bank, n));
	else
		fare_buf_add_str(b, none);
}

/* The workers the keeper has, each with what the bank knows of it. */
static void add_workers(struct fare_buf *b, const struct kept_state *s, const struct fare_json *bank)
{
	const struct fare_json_node *all = state_member(s, "workers");
	fare_buf_add_char(b, '[');
	for (const struct fare_json_node *n = all ? fare_json_first(&s->json, all) : NULL; n; n = fare_json_next(&s->json, n)) {
		int64_t pid = 0;
		const struct fare_json_node *p = fare_json_member(&s->json, n, "pid");
		const struct fare_json_node *told = p && fare_json_i64(&s->json, p, 1, INT32_MAX, &pid) ? bank_worker(bank, pid) : NULL;
		fare_buf_addf(b, "%s{", b->p[b->n - 1] == '[' ? "" : ",");
		fare_buf_add_span(b, inside(&s->json, n));
		add_told(b, bank, told, "connected", "false");
		add_told(b, bank, told, "slots", "null");
		add_told(b, bank, told, "holds", "0");
		fare_buf_add_char(b, '}');
	}
	fare_buf_add_char(b, ']');
}

static void status_build(struct fare_buf *b, const struct fare_conf *c, const struct kept_state *s, const struct fare_json *bank)
{
	static const char *const members[] = {"version", "store", "epoch", "started", "connections", "accounts", "keys", "models", "queued", "over_hold", "catalogue", "holds", "disk", "alarms", "alarms_waiting", "head_seal"};
	const struct fare_json_node *root = fare_json_root(bank), *state = state_member(s, "state"), *socket = state_member(s, "fastcgi_socket");
	fare_buf_add_str(b, "{\"home\":");
	fare_buf_add_json(b, fare_span_of(c->home));
	fare_buf_addf(b, ",\"state\":");
	if (state)
		fare_buf_add_span(b, fare_json_text(&s->json, state));
	else
		fare_buf_add_str(b, "\"stopped\"");
	fare_buf_add_str(b, ",\"keeper_pid\":");
	add_member(b, &s->json, state_member(s, "pid"));
	fare_buf_add_str(b, ",\"bank_pid\":");
	add_member(b, bank, fare_json_member(bank, root, "pid"));
	fare_buf_add_str(b, ",\"fastcgi_socket\":");
	if (socket)
		fare_buf_add_span(b, fare_json_text(&s->json, socket));
	else
		fare_buf_add_json(b, fare_span_of(c->listen));
	fare_buf_add_str(b, ",\"isolation\":");
	add_member(b, &s->json, state_member(s, "isolation"));
	fare_buf_add_str(b, ",\"workers\":");
	add_workers(b, s, bank);
	for (size_t i = 0; i < FARE_ARRAY_N(members); i++) {
		fare_buf_addf(b, ",\"%s\":", members[i]);
		add_member(b, bank, fare_json_member(bank, root, members[i]));
	}
	fare_buf_add_str(b, "}");
}

static void people_value(const struct fare_json *j, const struct fare_json_node *n)
{
	struct fare_span s = fare_json_text(j, n);
	if (n->kind == FARE_JSON_STRING)
		s = fare_span_at(s.p + 1, s.n - 2);
	printf("%.*s", (int)s.n, s.p);
}

static void people_print(const struct fare_json *j)
{
	struct ctl_table *t = NULL;
	const struct fare_json_node *root = fare_json_root(j), *workers = fare_json_member(j, root, "workers");
	for (const struct fare_json_node *n = fare_json_first(j, root); n; n = fare_json_next(j, n)) {
		struct fare_span key = fare_json_key(j, n);
		if (n == workers)
			continue;
		printf("%-15.*s ", (int)key.n, key.p);
		people_value(j, n);
		putchar('\n');
	}
	for (const struct fare_json_node *n = workers ? fare_json_first(j, workers) : NULL; n; n = fare_json_next(j, n)) {
		struct fare_json one = {0};
		if (!t)
			t = ctl_table_new("number:n pid:n state since:t connected slots:n holds:n");
		if (fare_json_parse(&one, fare_json_text(j, n)))
			ctl_table_row(t, &one);
		fare_json_release(&one);
	}
	if (t)
		ctl_table_free(t);
}

int ctl_status_print(const struct fare_conf *c, const struct fare_json *bank, bool json)
{
	struct kept_state s = {0};
	struct fare_json merged = {0};
	struct fare_buf b;
	fare_buf_init(&b, CTL_LINE_MAX);
	state_read(&s, c);
	status_build(&b, c, &s, bank);
	int rc = CTL_OK;
	if (b.failed || !fare_json_parse(&merged, fare_buf_span(&b)))
		rc = ctl_fail("the bank's status makes no sense");
	else if (json)
		printf("%.*s\n", (int)b.n, b.p);
	else
		people_print(&merged);
	fare_json_release(&merged);
	fare_json_release(&s.json);
	fare_buf_release(&s.text);
	fare_buf_release(&b);
	return rc;
}
