/*
 * A call that the bank has never heard of may have been refused by a worker (a body that is not JSON, a key that is missing...): the log of calls has a line of it. Workers may
 * write in that folder, so no link in it is followed, and a line is believed no more than a caller.
 */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl.h"

enum { LINE_N = 16 * 1024 };

static FILE *log_open(const struct fare_conf *c)
{
	char path[FARE_PATH_N];
	struct stat st;
	int folder = fare_path(path, sizeof path, c->home, "log") ? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	int fd = folder >= 0 ? openat(folder, "calls.log", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1;
	if (folder >= 0)
		close(folder);
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		return fdopen(fd, "r");
	if (fd >= 0)
		close(fd);
	return NULL;
}

/* The line of that call; its members are read from j, which points into line. */
static bool line_find(FILE *from, struct fare_span id, char line[LINE_N], struct fare_json *j)
{
	while (fgets(line, LINE_N, from)) {
		size_t n = strcspn(line, "\n");
		if (n < id.n || !memmem(line, n, id.p, id.n) || !fare_json_parse(j, fare_span_at(line, n)))
			continue;
		const struct fare_json_node *call = fare_json_member(j, fare_json_root(j), "call_id");
		if (call && fare_span_eq(fare_json_text(j, call), id))
			return true;
	}
	return false;
}

/* The bank's record of a call it does not know, with what the line says in place of its nulls. */
static void merge(const struct fare_json *facts, const struct fare_json *line, struct fare_buf *out)
{
	static const char *const members[][2] = {{"model", "model"}, {"ended", "time"}, {"code", "code"}};
	fare_buf_add_char(out, '{');
	for (const struct fare_json_node *n = fare_json_first(facts, fare_json_root(facts)); n; n = fare_json_next(facts, n)) {
		struct fare_span value = fare_json_text(facts, n);
		for (size_t i = 0; i < FARE_ARRAY_N(members); i++) {
			const struct fare_json_node *said = fare_json_member(line, fare_json_root(line), members[i][1]);
			if (said && said->kind == FARE_JSON_STRING && fare_json_key_is(facts, n, members[i][0]))
				value = fare_json_text(line, said);
		}
		if (fare_json_key_is(facts, n, "state"))
			value = fare_span_of("\"refused\"");
		if (fare_json_key_is(facts, n, "told_by"))
			value = fare_span_of("\"log\"");
		if (out->n > 1)
			fare_buf_add_str(out, ", ");
		fare_buf_add_char(out, '"');
		fare_buf_add_span(out, fare_json_key(facts, n));
		fare_buf_add_str(out, "\": ");
		fare_buf_add_span(out, value);
	}
	fare_buf_add_char(out, '}');
}

bool ctl_why_log(const struct fare_conf *c, const struct fare_json *facts, struct fare_buf *out)
{
	char *line = malloc(LINE_N);
	const struct fare_json_node *id = fare_json_member(facts, fare_json_root(facts), "call_id"), *code = NULL;
	struct fare_json j = {0};
	FILE *from = line && id ? log_open(c) : NULL;
	if (from && line_find(from, fare_json_text(facts, id), line, &j))
		code = fare_json_member(&j, fare_json_root(&j), "code");
	bool found = code && code->kind == FARE_JSON_STRING;
	if (found)
		merge(facts, &j, out);
	if (from)
		fclose(from);
	fare_json_release(&j);
	free(line);
	return found;
}
