/* farebox-alarm: what it has to deliver, and when which try is due. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "bank/alarms.h"

#include "alarm.h"

enum { ALARMS_MAX = 32, RUNNING_MAX = 4, KILL_AFTER_MS = 1000, DONE_MAX = 64 * 1024, FAILED = 1 << 8 /* as waitpid says it */ };

struct delivery {
	bool over, failed;
	unsigned tries;
	pid_t pid;       /* 0: none runs */
	uint64_t at_ms;  /* boot clock: the next try, or when it is killed */
};

struct alarm {
	struct alarm *next;
	struct delivery to[FARE_ALARM_TO_N];
	char id[FARE_ALARM_ID_N];
	size_t n;
	char line[];
};

struct courier {
	struct fare_conf conf;
	struct alarm *first;
	unsigned count, running;
	struct fare_buf in, done; /* what came, ids that were delivered */
	int done_fd, signals;
	bool end;                 /* of the input */
};

/* ---- Ids that were delivered */

static void done_open(struct courier *c)
{
	char path[FARE_PATH_N];
	fare_buf_init(&c->done, 2 * DONE_MAX);
	if (!fare_path(path, sizeof path, c->conf.run, "alarms"))
		fare_fatal("%s: too long a path", c->conf.run);
	c->done_fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (c->done_fd < 0 || !fare_file_is_own(c->done_fd)) { /* workers may make files there, too */
		if (c->done_fd >= 0)
			close(c->done_fd);
		c->done_fd = fare_file_make(path, 0600);
	}
	if (c->done_fd < 0 || fcntl(c->done_fd, F_SETFL, O_APPEND) != 0)
		fare_fatal("%s: %s", path, strerror(errno));
	while (flock(c->done_fd, LOCK_EX) != 0)
		if (errno != EINTR)
			fare_fatal("%s: %s", path, strerror(errno));
	if (!fare_file_read(path, &c->done)) /* more than there can be: of another's making */
		fare_buf_reset(&c->done);
}

static bool done_has(const struct courier *c, const char *id)
{
	size_t n = strlen(id);
	const char *p = c->done.p, *end = p + c->done.n;
	while (p && p < end) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		if (stop && (size_t)(stop - p) == n && memcmp(p, id, n) == 0)
			return true;
		p = stop ? stop + 1 : end;
	}
	return false;
}

static void done_add(struct courier *c, const char *id)
{
	size_t at = c->done.n;
	fare_buf_addf(&c->done, "%s\n", id);
	if (c->done.n > DONE_MAX) { /* the older half goes */
		const char *half = memchr(c->done.p + c->done.n / 2, '\n', c->done.n - c->done.n / 2);
		fare_buf_drop(&c->done, (size_t)(half + 1 - c->done.p));
		at = ftruncate(c->done_fd, 0) == 0 ? 0 : c->done.n;
	}
	if (!fare_write_all(c->done_fd, c->done.p + at, c->done.n - at))
		fare_log(FARE_WARN, "%s/alarms: %s", c->conf.run, strerror(errno));
}

static void settings_read(struct courier *c, const char *home)
{
	static struct fare_conf fresh;
	char error[FARE_CONF_ERROR_N];
	if (fare_conf_load(&fresh, home, error))
		c->conf = fresh;
	else
		fare_log(FARE_WARN, "the settings stay as they were: %s", error);
}

/* ---- Deliveries */

static const char *name_of(int to) { return to == FARE_ALARM_COMMAND ? "alarm_command" : "alarm_webhook"; }

static uint64_t pause_ms(unsigned tries)
{
	static const uint64_t pauses[] = {1000, 5000, 25000, 120000, 300000};
	return pauses[tries <= FARE_ARRAY_N(pauses) ? tries - 1 : FARE_ARRAY_N(pauses) - 1];
}

static void try_ended(struct courier *c, struct alarm *a, int to, int status)
{
	struct delivery *d = &a->to[to];
	d->pid = 0;
	c->running--;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
		d->over = true;
		return;
	}
	if (WIFSIGNALED(status))
		fare_log(FARE_WARN, "%s: ended by signal %d, for alarm %s", name_of(to), WTERMSIG(status), a->id);
	else
		fare_log(FARE_INFO, "%s: exited with %d, for alarm %s", name_of(to), WEXITSTATUS(status), a->id);
	d->at_ms = fare_clock_boot_ms() + pause_ms(d->tries);
	if (d->tries < (unsigned)c->conf.alarm_tries && !c->end)
		return;
	d->over = d->failed = true;
	fare_log(FARE_ALARM, "%s: alarm %s is not delivered, after %u tries", name_of(to), a->id, d->tries);
}

/* All that it starts is killed with it, when its time is over; it alone, if we are killed, for it will be tried again. Of our pipes it has none. */
FARE_NORETURN static void try_run(const struct courier *c, const struct alarm *a, int to)
{
	struct fare_span line = fare_span_at(a->line, a->n);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (null < 0 || setpgid(0, 0) != 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
		_exit(1);
	if (to == FARE_ALARM_COMMAND)
		fare_alarm_run(&c->conf, line);
	fare_alarm_post(&c->conf, line);
}

static void try_start(struct courier *c, struct alarm *a, int to)
{
	struct delivery *d = &a->to[to];
	if (d->tries)
		settings_read(c, c->conf.home); /* they may be what was wrong */
	pid_t pid = fork();
	if (pid == 0)
		try_run(c, a, to);
	d->tries++;
	d->at_ms = fare_clock_boot_ms() + (uint64_t)c->conf.alarm_timeout_ms + KILL_AFTER_MS;
	c->running++;
	if (pid > 0) {
		setpgid(pid, pid);
		d->pid = pid;
	} else {
		fare_log(FARE_WARN, "%s: %s", name_of(to), strerror(errno));
		try_ended(c, a, to, FAILED);
	}
}

static void reap(struct courier *c)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (struct alarm *a = c->first; a; a = a->next)
			for (int to = 0; to < FARE_ALARM_TO_N; to++)
				if (a->to[to].pid == pid)
					try_ended(c, a, to, status);
}

/* What is due now is begun, or killed. Returns how long to wait for what is due next, -1: nothing is. */
static int64_t deliver(struct courier *c)
{
	uint64_t now = fare_clock_boot_ms(), next = UINT64_MAX;
	for (struct alarm *a = c->first; a; a = a->next)
		for (int to = 0; to < FARE_ALARM_TO_N; to++) {
			struct delivery *d = &a->to[to];
			if (d->over || (!d->pid && c->running >= RUNNING_MAX))
				continue;
			if (!d->pid && (d->at_ms <= now || c->end))
				try_start(c, a, to);
			else if (d->pid && d->at_ms <= now) {
				kill(-d->pid, SIGKILL);
				d->at_ms = now + KILL_AFTER_MS;
			}
			if (d->at_ms < next)
				next = d->at_ms;
		}
	return next == UINT64_MAX ? -1 : next > now ? (int64_t)(next - now) : 0;
}

static void say_done(const char *id)
{
	char line[FARE_ALARM_ID_N + 1];
	int n = snprintf(line, sizeof line, "%s\n", id);
	if (!fare_write_all(STDOUT_FILENO, line, (size_t)n))
		fare_log(FARE_DEBUG, "the bank has gone");
}

static void forget_done(struct courier *c)
{
	for (struct alarm **at = &c->first; *at;) {
		struct alarm *a = *at;
		if (!a->to[FARE_ALARM_COMMAND].over || !a->to[FARE_ALARM_WEBHOOK].over) {
			at = &a->next;
			continue;
		}
		if (!a->to[FARE_ALARM_COMMAND].failed || !a->to[FARE_ALARM_WEBHOOK].failed)
			done_add(c, a->id);
		say_done(a->id);
		*at = a->next;
		c->count--;
		free(a);
	}
}

/* ---- The input */

static bool id_read(struct fare_span line, char out[FARE_ALARM_ID_N])
{
	struct fare_json j = {0};
	struct fare_buf text;
	fare_buf_init(&text, FARE_ALARM_ID_N);
	const struct fare_json_node *id = fare_json_parse(&j, line) ? fare_json_member(&j, fare_json_root(&j), "id") : NULL;
	bool ok = id && fare_json_string(&j, id, &text) && fare_span_copy(fare_buf_span(&text), out, FARE_ALARM_ID_N);
	fare_buf_release(&text);
	fare_json_release(&j);
	return ok;
}

static void alarm_take(struct courier *c, struct fare_span line)
{
	struct alarm *a = fare_alloc(sizeof *a + line.n), **last = &c->first;
	if (!id_read(line, a->id))
		fare_fatal("what the bank says is no alarm");
	if (done_has(c, a->id)) {
		say_done(a->id);
		free(a);
		return;
	}
	memcpy(a->line, line.p, line.n);
	a->n = line.n;
	a->to[FARE_ALARM_COMMAND].over = !c->conf.alarm_command[0];
	a->to[FARE_ALARM_WEBHOOK].over = !c->conf.alarm_webhook[0];
	while (*last)
		last = &(*last)->next;
	*last = a;
	c->count++;
}

static void input_read(struct courier *c)
{
	const char *end;
	ssize_t n = fare_buf_reserve(&c->in, 4096) ? read(STDIN_FILENO, c->in.p + c->in.n, 4096) : 0;
	if (n < 0 && errno == EINTR)
		return;
	c->end = n <= 0;
	c->in.n += n > 0 ? (size_t)n : 0;
	settings_read(c, c->conf.home);
	while (c->in.n && (end = memchr(c->in.p, '\n', c->in.n))) {
		size_t line = (size_t)(end - c->in.p);
		alarm_take(c, fare_span_at(c->in.p, line));
		fare_buf_drop(&c->in, line + 1);
	}
}

static void serve(struct courier *c)
{
	while (!c->end || c->first) {
		struct signalfd_siginfo s;
		int64_t wait = deliver(c);
		bool full = c->end || c->count >= ALARMS_MAX;
		struct pollfd w[] = {{.fd = c->signals, .events = POLLIN}, {.fd = full ? -1 : STDIN_FILENO, .events = POLLIN}};
		if (poll(w, 2, (int)wait) < 0 && errno != EINTR)
			fare_fatal("poll: %s", strerror(errno));
		while (read(c->signals, &s, sizeof s) == (ssize_t)sizeof s)
			;
		reap(c);
		if (w[1].revents)
			input_read(c);
		forget_done(c);
	}
}

int main(int argc, char **argv)
{
	static struct courier c;
	char error[FARE_CONF_ERROR_N];
	sigset_t child;
	fare_log_role("alarm");
	if (argc != 3 || strcmp(argv[1], "--home") != 0) {
		fprintf(stderr, "usage: farebox-alarm --home DIR\n  The bank's: delivers the alarms on its standard input.\n");
		return 2;
	}
	if (!fare_conf_load(&c.conf, argv[2], error))
		fare_fatal("%s", error);
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	c.signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
	if (c.signals < 0)
		fare_fatal("signalfd: %s", strerror(errno));
	fare_buf_init(&c.in, 2 * FARE_ALARM_LINE_MAX);
	done_open(&c);
	serve(&c);
	return 0;
}
