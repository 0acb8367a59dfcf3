/* Upstream keys. */
#include "base/first.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/secret.h"
#include "flow/secrets.h"

enum { LOOK_MS = 1000 };

struct secret {
	struct secret *next;
	char *file; /* owned */
	struct stat seen;
	uint64_t looked_ms; /* boot clock */
	char value[FARE_SECRET_N];
};

struct fare_secrets {
	bool no_env;
	pthread_mutex_t lock;
	struct secret *first; /* few: one per provider */
};

struct fare_secrets *fare_secrets_new(void)
{
	struct fare_secrets *s = fare_alloc(sizeof *s);
	pthread_mutex_init(&s->lock, NULL);
	return s;
}

void fare_secrets_free(struct fare_secrets **at)
{
	struct fare_secrets *s = *at;
	if (!s)
		return;
	*at = NULL;
	for (struct secret *e = s->first, *next; e; e = next) {
		next = e->next;
		fare_wipe(e->value, sizeof e->value);
		free(e->file);
		free(e);
	}
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void fare_secrets_no_env(struct fare_secrets *s)
{
	s->no_env = true;
}

/* A key goes into a header line: printable, no spaces within. */
static bool take_value(struct fare_span text, char out[FARE_SECRET_N])
{
	while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r'))
		text.n--;
	text = fare_span_trim(text);
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= ' ' || text.p[i] > '~')
			return false;
	return text.n > 0 && fare_span_copy(text, out, FARE_SECRET_N);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static bool read_value(const char *file, char out[FARE_SECRET_N])
{
	struct fare_buf text;
	fare_buf_init(&text, FARE_SECRET_N);
	bool read_ok = fare_file_read(file, &text);
	if (!read_ok)
		fare_log(FARE_ALARM, "upstream key %s: %s", file, strerror(errno));
	bool good = read_ok && take_value(fare_buf_span(&text), out);
	if (read_ok && !good)
		fare_log(FARE_ALARM, "upstream key %s: not one line of printable characters", file);
	if (text.p)
		fare_wipe(text.p, text.cap);
	fare_buf_release(&text);
	return good;
}

static bool from_file(struct fare_secrets *s, const char *file, char out[FARE_SECRET_N])
{
	struct stat now;
	struct secret *e = s->first;
	while (e && strcmp(e->file, file) != 0)
		e = e->next;
	uint64_t now_ms = fare_clock_boot_ms();
	if (e && now_ms - e->looked_ms < LOOK_MS) {
		memcpy(out, e->value, FARE_SECRET_N);
		return true;
	}
	if (stat(file, &now) != 0) {
		fare_log(FARE_ALARM, "upstream key %s: %s", file, strerror(errno));
		return false;
	}
	if (!e || !same_file(&e->seen, &now)) {
		char value[FARE_SECRET_N];
		if (!read_value(file, value))
			return false;
		if (!e) {
			e = fare_alloc(sizeof *e);
			e->file = fare_strdup(file);
			e->next = s->first;
			s->first = e;
		}
		e->seen = now; /* of before the reading: a change meanwhile is seen the next time */
		memcpy(e->value, value, sizeof value);
		fare_wipe(value, sizeof value);
	}
	e->looked_ms = now_ms;
	memcpy(out, e->value, FARE_SECRET_N);
	return true;
}

bool fare_secrets_get(struct fare_secrets *s, const char *file, const char *env, char out[FARE_SECRET_N])
{
	out[0] = 0;
	if (*file) {
		pthread_mutex_lock(&s->lock);
		bool good = from_file(s, file, out);
		pthread_mutex_unlock(&s->lock);
		return good;
	}
	if (!*env)
		return true;
	if (s->no_env) {
		fare_log(FARE_ALARM, "upstream key: it is in the environment (%s), which a CGI program does not get: give this provider a --key-file", env);
		return false;
	}
	const char *value = getenv(env);
	if (value && take_value(fare_span_of(value), out))
		return true;
	fare_log(FARE_ALARM, "upstream key: the environment has no usable %s", env);
	return false;
}
