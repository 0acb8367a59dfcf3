/* Where an instance lives, and reading its settings file. The table of parameters is in params.c. */
#include "base/first.h"

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/json.h"
#include "conf/conf.h"

static bool fail(char error[FARE_CONF_ERROR_N], const char *fmt, ...) FARE_PRINTF(2, 3);
static bool fail(char error[FARE_CONF_ERROR_N], const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(error, FARE_CONF_ERROR_N, fmt, ap);
	va_end(ap);
	return false;
}

/* "//" to the end of the line, outside strings, becomes spaces: offsets in errors stay true. */
static void blank_comments(char *p, size_t n)
{
	bool in_string = false;
	for (size_t i = 0; i < n; i++) {
		if (in_string) {
			if (p[i] == '\\')
				i++;
			else if (p[i] == '"' || p[i] == '\n')
				in_string = false;
		} else if (p[i] == '"') {
			in_string = true;
		} else if (p[i] == '/' && i + 1 < n && p[i + 1] == '/') {
			while (i < n && p[i] != '\n')
				p[i++] = ' ';
		}
	}
}

static size_t line_of(const char *p, size_t at)
{
	size_t line = 1;
	for (size_t i = 0; i < at; i++)
		line += p[i] == '\n';
	return line;
}

/* Where the errors of one file come from. */
struct reading {
	const struct fare_json *json;
	const char *name;
	char *error;
};

static bool set_number(struct fare_conf *c, const struct fare_param *p, const struct reading *r, const struct fare_json_node *n)
{
	int64_t v;
	if (!fare_json_i64(r->json, n, p->min, p->max, &v))
		return fail(r->error, "%s: line %zu: %s must be a whole number from %lld to %lld%s%s", r->name, line_of(r->json->text.p, n->start), p->name,
			(long long)p->min, (long long)p->max, *p->unit ? " " : "", p->unit);
	memcpy((char *)c + p->offset, &v, sizeof v);
	return true;
}

static bool set_text(struct fare_conf *c, const struct fare_param *p, const struct reading *r, const struct fare_json_node *n)
{
	struct fare_buf value;
	fare_buf_init(&value, FARE_CONF_FILE_MAX);
	bool string = fare_json_string(r->json, n, &value);
	bool ok = string && value.n >= (size_t)p->min && value.n <= (size_t)p->max && (value.n == 0 || !memchr(value.p, 0, value.n)) &&
		(value.n == 0 || !p->check || p->check(fare_buf_span(&value)));
	if (ok)
		ok = fare_span_copy(fare_buf_span(&value), (char *)c + p->offset, (size_t)p->max + 1);
	if (!ok)
		fail(r->error, "%s: line %zu: %s must be %s", r->name, line_of(r->json->text.p, n->start), p->name, p->expects);
	fare_buf_release(&value);
	return ok;
}

static const struct fare_param *param_find(const struct fare_json *j, const struct fare_json_node *n)
{
	size_t count;
	const struct fare_param *all = fare_conf_params(&count);
	for (size_t i = 0; i < count; i++)
		if (fare_json_key_is(j, n, all[i].name))
			return &all[i];
	return NULL;
}

static bool read_members(struct fare_conf *c, const struct reading *r)
{
	const struct fare_json *j = r->json;
	const struct fare_json_node *root = fare_json_root(j);
	if (root->kind != FARE_JSON_OBJECT)
		return fail(r->error, "%s: the settings must be one JSON object", r->name);
	for (const struct fare_json_node *n = fare_json_first(j, root); n; n = fare_json_next(j, n)) {
		const struct fare_param *p = param_find(j, n);
		struct fare_span key = fare_json_key(j, n);
		if (!p)
			return fail(r->error, "%s: line %zu: unknown setting \"%.*s\"", r->name, line_of(j->text.p, n->start), (int)(key.n < 64 ? key.n : 64), key.p);
		if (!(p->type == FARE_PARAM_NUMBER ? set_number : set_text)(c, p, r, n))
			return false;
	}
	return true;
}

/* What no single parameter's bounds can say. */
static bool check_together(const struct fare_conf *c, const char *name, char error[FARE_CONF_ERROR_N])
{
	if (c->body_memory_bytes < c->body_limit_bytes)
		return fail(error, "%s: body_memory_bytes (%lld) must be at least body_limit_bytes (%lld)", name, (long long)c->body_memory_bytes, (long long)c->body_limit_bytes);
	return true;
}

bool fare_conf_read(struct fare_conf *c, struct fare_span text, const char *name, char error[FARE_CONF_ERROR_N])
{
	struct fare_json json = {0};
	struct fare_buf copy;
	fare_buf_init(&copy, FARE_CONF_FILE_MAX);
	bool ok = fare_buf_add_span(&copy, text);
	fare_conf_defaults(c);
	if (!ok) {
		fail(error, "%s: longer than %d bytes", name, FARE_CONF_FILE_MAX);
	} else {
		blank_comments(copy.p, copy.n);
		struct reading r = {&json, name, error};
		ok = fare_json_parse(&json, fare_buf_span(&copy));
		if (!ok)
			fail(error, "%s: line %zu: %s", name, line_of(copy.p, json.error_at < copy.n ? json.error_at : copy.n), json.error);
		else
			ok = read_members(c, &r) && check_together(c, name, error);
	}
	fare_json_release(&json);
	fare_buf_release(&copy);
	return ok;
}

void fare_conf_defaults(struct fare_conf *c)
{
	size_t count;
	const struct fare_param *all = fare_conf_params(&count);
	for (size_t i = 0; i < count; i++) {
		char *to = (char *)c + all[i].offset;
		if (all[i].type == FARE_PARAM_NUMBER)
			memcpy(to, &all[i].number, sizeof all[i].number);
		else
			memcpy(to, all[i].text, strlen(all[i].text) + 1);
	}
}

/* An absolute path; links are resolved as far as the folder exists, so that users who may not pass through a link's folder can use it. */
static bool home_find(char out[FARE_PATH_N], const char *given, char error[FARE_CONF_ERROR_N])
{
	char cwd[FARE_PATH_N];
	const char *env = getenv("FAREBOX_HOME");
	const char *home = given ? given : env && *env ? env : FARE_LOCALSTATEDIR "/lib/farebox";
	if (!*home)
		return fail(error, "the home folder's name is empty");
	char *real = realpath(home, NULL);
	bool ok = true;
	if (real)
		ok = fare_span_copy(fare_span_of(real), out, FARE_PATH_N);
	else if (*home == '/')
		ok = fare_span_copy(fare_span_of(home), out, FARE_PATH_N);
	else
		ok = getcwd(cwd, sizeof cwd) && fare_path(out, FARE_PATH_N, cwd, home);
	free(real);
	/* Room for the names of the files in it. */
	if (!ok || strlen(out) > FARE_PATH_N - 256)
		return fail(error, "%.200s: not usable as a home folder: its name is too long", home);
	return true;
}

static bool folders_find(struct fare_conf *c, const char *home, char error[FARE_CONF_ERROR_N])
{
	if (!home_find(c->home, home, error))
		return false;
	bool std = strcmp(c->home, FARE_LOCALSTATEDIR "/lib/farebox") == 0;
	bool ok = std ? fare_span_copy(fare_span_of("/run/farebox"), c->run, sizeof c->run) : fare_path(c->run, sizeof c->run, c->home, "run");
	return ok || fail(error, "%.200s: the name is too long", c->home);
}

/* 1 read, 0 there is none, -1 failed. */
static int file_load(struct fare_conf *c, char error[FARE_CONF_ERROR_N])
{
	struct fare_buf text;
	int rc = 1;
	fare_buf_init(&text, FARE_CONF_FILE_MAX);
	errno = 0;
	if (!fare_file_read(c->file, &text)) {
		rc = errno == ENOENT || errno == ENOTDIR ? 0 : -1;
		fail(error, "%.500s: %s", c->file, strerror(errno));
	} else if (!fare_conf_read(c, fare_buf_span(&text), c->file, error)) {
		rc = -1;
	}
	fare_buf_release(&text);
	return rc;
}

bool fare_conf_load(struct fare_conf *c, const char *home, char error[FARE_CONF_ERROR_N])
{
	memset(c, 0, sizeof *c);
	if (!folders_find(c, home, error))
		return false;
	int rc = fare_path(c->file, sizeof c->file, c->home, "farebox.json") ? file_load(c, error) : -1;
	if (rc == 0 && fare_span_copy(fare_span_of(FARE_SYSCONFDIR "/farebox/farebox.json"), c->file, sizeof c->file))
		rc = file_load(c, error);
	if (rc < 0)
		return false;
	if (rc == 0) {
		c->file[0] = 0;
		fare_conf_defaults(c);
	}
	if (!*c->worker_user)
		snprintf(c->worker_user, sizeof c->worker_user, "%s", getpwnam("farebox-worker") ? "farebox-worker" : "nobody");
	return *c->listen || fare_path(c->listen, sizeof c->listen, c->run, "farebox.sock") || fail(error, "%.200s: the name is too long", c->run);
}

static bool in_folder(const char *dir, const char *name, char out[FARE_PATH_N])
{
	return dir && *dir && fare_path(out, FARE_PATH_N, dir, name) && access(out, X_OK) == 0;
}

bool fare_conf_program(const char *name, char out[FARE_PATH_N])
{
	char self[FARE_PATH_N];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	self[n > 0 ? n : 0] = 0;
	char *slash = strrchr(self, '/');
	if (slash)
		*slash = 0;
	return in_folder(getenv("FAREBOX_LIBEXEC"), name, out) || in_folder(slash ? self : NULL, name, out) || in_folder(FARE_LIBEXECDIR, name, out);
}
