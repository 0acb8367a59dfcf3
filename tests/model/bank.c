/* A bank of a test's own. */
#include "base/first.h"

#include <pthread.h>
#include <errno.h>
#include <poll.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "bank.h"
#include "money/amount.h"

enum { LINE_N = 64 * 1024, TRIES = 50 };

void test_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "not ok - %s:%d: %s\n", file, line, what);
	exit(1);
}

void test_bank_new(struct test_bank *t)
{
	char error[FARE_CONF_ERROR_N], libexec[PATH_MAX];
	const char *dir = getenv("TMPDIR");
	*t = (struct test_bank){0};
	snprintf(t->home, sizeof t->home, "%s/farebox-bank.XXXXXX", dir ? dir : "/tmp");
	TEST_MUST(mkdtemp(t->home));
	/* Tests run in the top of the build folder. */
	TEST_MUST(getenv("FAREBOX_LIBEXEC") || (realpath("fcgi", libexec) && setenv("FAREBOX_LIBEXEC", libexec, 1) == 0));
	TEST_MUST(fare_conf_load(&t->conf, t->home, error));
}

static void run(const char *program, const char *a, const char *b)
{
	pid_t child = fork();
	if (child == 0) {
		execlp(program, program, a, b, (char *)NULL);
		_exit(127);
	}
	waitpid(child, NULL, 0);
}

/* Its lock is free when it has left. */
static void wait_for_end(const struct test_bank *t)
{
	char path[FARE_PATH_N];
	int fd = fare_path(path, sizeof path, t->home, "store/LOCK") ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	TEST_MUST(fd >= 0 && flock(fd, LOCK_EX) == 0);
	close(fd);
}

void test_bank_remove(struct test_bank *t)
{
	wait_for_end(t);
	run("rm", "-rf", t->home);
}

static bool line_is_last(const struct fare_json *j, bool *ok)
{
	const struct fare_json_node *n = fare_json_member(j, fare_json_root(j), "ok");
	*ok = n && n->kind == FARE_JSON_TRUE;
	return n != NULL;
}

/* 1 done, 0 refused, -1 the bank died. */
static int read_answer(FILE *f, test_record_fn *fn, void *arg)
{
	static char line[LINE_N];
	struct fare_json j = {0};
	int result = -1;
	while (result < 0 && fgets(line, sizeof line, f)) {
		bool ok;
		TEST_MUST(fare_json_parse(&j, fare_span_of(line)));
		if (line_is_last(&j, &ok))
			result = ok;
		if (result == 0)
			fprintf(stderr, "# refused: %s", line);
		if (fn)
			fn(arg, &j);
	}
	fare_json_release(&j);
	return result;
}

bool test_bank_ask(struct test_bank *t, const char *request, test_record_fn *fn, void *arg)
{
	char error[FARE_ERROR_N];
	for (int i = 0; i < TRIES; i++) {
		int fd = fare_bank_connect(&t->conf, error);
		if (fd < 0) {
			fprintf(stderr, "# %s\n", error);
			return false;
		}
		int r = -1;
		FILE *f = fdopen(fd, "r");
		TEST_MUST(f);
		if (fare_write_all(fd, request, strlen(request)) && fare_write_all(fd, "\n", 1))
			r = read_answer(f, fn, arg);
		fclose(f);
		if (r >= 0)
			return r;
		fprintf(stderr, "# no whole answer: asked again: %.80s\n", request);
	}
	return false;
}

void test_bank_must(struct test_bank *t, const char *fmt, ...)
{
	char request[4096];
	va_list ap;
	va_start(ap, fmt);
	vsnprintf(request, sizeof request, fmt, ap);
	va_end(ap);
	TEST_MUST(test_bank_ask(t, request, NULL, NULL));
}

static void read_pid(void *arg, const struct fare_json *j) { *(long *)arg = test_number(j, "pid"); }

long test_bank_pid(struct test_bank *t)
{
	long pid = 0;
	TEST_MUST(test_bank_ask(t, "{\"op\": \"ping\"}", read_pid, &pid));
	TEST_MUST(pid > 1);
	return pid;
}

void test_bank_kill(struct test_bank *t) { kill((pid_t)test_bank_pid(t), SIGKILL); }

bool test_text(const struct fare_json *j, const char *name, char *out, size_t size)
{
	const struct fare_json_node *n = fare_json_member(j, fare_json_root(j), name);
	struct fare_buf b;
	if (!n || n->kind != FARE_JSON_STRING)
		return false;
	fare_buf_init(&b, LINE_N);
	bool ok = fare_json_string(j, n, &b) && fare_span_copy(fare_buf_span(&b), out, size);
	fare_buf_release(&b);
	return ok;
}

void test_say(int fd, const uint8_t *msg, size_t n) { TEST_MUST(n > 0 && send(fd, msg, n, MSG_NOSIGNAL) == (ssize_t)n); }

int test_hear(int fd)
{
	enum { WAIT_MS = 20000 };
	uint8_t msg[FARE_MSG_SMALL];
	struct pollfd p = {.fd = fd, .events = POLLIN};
	TEST_MUST(poll(&p, 1, WAIT_MS) == 1);
	ssize_t n = recv(fd, msg, sizeof msg, 0);
	return n >= 2 ? msg[1] : 0;
}

int64_t test_nano(const struct fare_json *j, const char *name)
{
	struct fare_amount a;
	char text[64];
	TEST_MUST(test_text(j, name, text, sizeof text) && fare_amount_parse(fare_span_of(text), &a));
	return a.nano;
}

int64_t test_number(const struct fare_json *j, const char *name)
{
	int64_t v;
	TEST_MUST(fare_json_i64(j, fare_json_member(j, fare_json_root(j), name), INT64_MIN, INT64_MAX, &v));
	return v;
}

struct waiter {
	struct fare_asking asking; /* first */
	pthread_mutex_t lock;
	pthread_cond_t heard;
	bool done;
};

static void on_heard(struct fare_asking *a)
{
	struct waiter *w = (struct waiter *)a;
	pthread_mutex_lock(&w->lock);
	w->done = true;
	pthread_cond_signal(&w->heard);
	pthread_mutex_unlock(&w->lock);
}

static void wait_heard(struct waiter *w)
{
	pthread_mutex_lock(&w->lock);
	while (!w->done)
		pthread_cond_wait(&w->heard, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

enum fare_asked test_extend(struct fare_link *l, int slot, uint64_t held_output, struct fare_extended *answer, uint64_t timeout_ms)
{
	struct waiter w = {.asking = {.heard = on_heard}, .lock = PTHREAD_MUTEX_INITIALIZER, .heard = PTHREAD_COND_INITIALIZER};
	fare_link_extend(l, slot, held_output, &w.asking, timeout_ms);
	wait_heard(&w);
	*answer = w.asking.answer.extended;
	return w.asking.asked;
}

enum fare_asked test_admit(struct fare_link *l, int slot, const struct fare_admit *ask, struct fare_admit_answer *answer, uint64_t timeout_ms)
{
	struct waiter w = {.asking = {.heard = on_heard}, .lock = PTHREAD_MUTEX_INITIALIZER, .heard = PTHREAD_COND_INITIALIZER};
	fare_link_ask(l, slot, ask, &w.asking, timeout_ms);
	wait_heard(&w);
	*answer = w.asking.answer;
	return w.asking.asked;
}
