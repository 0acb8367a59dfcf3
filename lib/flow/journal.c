/* The log of calls: what waits, and the thread that writes it. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "flow/journal.h"

enum { LOOK_MS = 1000, GAP_MS = 10 };

struct fare_journal {
	char path[FARE_PATH_N], lost_path[FARE_PATH_N];
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t more, ended;
	struct fare_buf waiting; /* lock */
	size_t dropped;          /* lock: lines for which there was no room */
	bool stopping, stopped;  /* lock */
	/* The thread's. */
	int fd;
	uint64_t looked_ms;
	bool failed;
};

int fare_journal_folder(const char *home)
{
	char path[FARE_PATH_N];
	if (!fare_path(path, sizeof path, home, FARE_JOURNAL_FOLDER)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	(void)mkdir(path, 0750); /* mostly it is there */
	return open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool is_named(const struct fare_journal *j)
{
	struct stat ours, there;
	return fstat(j->fd, &ours) == 0 && stat(j->path, &there) == 0 && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* A full disk or a crash may have left half a line: the next one does not go on in it. */
static bool line_begin(int fd)
{
	struct stat st;
	char last;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return false;
	return st.st_size == 0 || (pread(fd, &last, 1, st.st_size - 1) == 1 && last == '\n') || fare_write_all(fd, "\n", 1);
}

static bool file_ready(struct fare_journal *j)
{
	uint64_t now = fare_clock_boot_ms();
	if (j->fd >= 0 && now - j->looked_ms < LOOK_MS)
		return true;
	j->looked_ms = now;
	if (j->fd >= 0 && is_named(j))
		return true;
	if (j->fd >= 0)
		close(j->fd);
	errno = 0;
	j->fd = open(j->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	return j->fd >= 0 && line_begin(j->fd);
}

/* How many of n bytes the file has taken. */
static size_t bytes_write(int fd, const char *p, size_t n)
{
	size_t done = 0;
	while (done < n) {
		ssize_t k = write(fd, p + done, n - done);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			break;
		done += (size_t)k;
	}
	return done;
}

static size_t lines_count(const char *p, size_t n)
{
	size_t count = 0;
	for (const char *end = p + n; p < end && (p = memchr(p, '\n', (size_t)(end - p))); p++)
		count++;
	return count;
}

/* Who makes the file of what is lost is the one to say so; if nobody can, each process does, once. */
static void lines_lose(struct fare_journal *j, size_t n, const char *why)
{
	static const char marks[4096];
	enum { FLAGS = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK };
	int fd = open(j->lost_path, FLAGS | O_EXCL, 0600);
	bool first = fd >= 0;
	if (fd < 0)
		fd = open(j->lost_path, FLAGS, 0600);
	if (first || (fd < 0 && !j->failed))
		fare_log(FARE_ALARM, "the log of calls cannot be written, lines are lost: %s: %s", j->path, why);
	for (size_t k; fd >= 0 && n; n -= k) {
		k = n < sizeof marks ? n : sizeof marks;
		if (!fare_write_all(fd, marks, k))
			break;
	}
	if (fd >= 0)
		close(fd);
	j->failed = true;
}

/* Lines get through: are there any that did not, before? */
static void lost_tell(struct fare_journal *j)
{
	struct stat st;
	j->failed = false;
	if (lstat(j->lost_path, &st) == 0 && unlink(j->lost_path) == 0)
		fare_log(FARE_WARN, "the log of calls is written again; %lld lines were lost", (long long)st.st_size);
}

static void lines_write(struct fare_journal *j, const struct fare_buf *lines, size_t dropped)
{
	uint64_t looked = j->looked_ms;
	if (dropped)
		lines_lose(j, dropped, "the disk does not keep up");
	size_t done = file_ready(j) ? bytes_write(j->fd, lines->p, lines->n) : 0;
	if (done < lines->n) {
		lines_lose(j, lines_count(lines->p + done, lines->n - done), errno ? strerror(errno) : "no plain file");
		if (j->fd >= 0)
			close(j->fd);
		j->fd = -1;
	} else if (j->failed || j->looked_ms != looked) {
		lost_tell(j);
	}
}

/* False: it is to stop, and nothing is left. */
static bool waiting_take(struct fare_journal *j, struct fare_buf *lines, size_t *dropped)
{
	pthread_mutex_lock(&j->lock);
	while (!j->waiting.n && !j->dropped && !j->stopping)
		pthread_cond_wait(&j->more, &j->lock);
	*lines = j->waiting;
	*dropped = j->dropped;
	fare_buf_init(&j->waiting, FARE_JOURNAL_WAITING_MAX);
	j->dropped = 0;
	bool some = lines->n || *dropped;
	j->stopped = !some;
	pthread_cond_signal(&j->ended);
	pthread_mutex_unlock(&j->lock);
	return some;
}

static void *journal_run(void *arg)
{
	struct fare_journal *j = arg;
	struct fare_buf lines;
	size_t dropped;
	prctl(PR_SET_NAME, "farebox-log");
	while (waiting_take(j, &lines, &dropped)) {
		lines_write(j, &lines, dropped);
		fare_buf_release(&lines);
		poll(NULL, 0, GAP_MS); /* many lines at a time: waking up costs more than writing */
	}
	fare_buf_release(&lines);
	return NULL;
}

void fare_journal_add(struct fare_journal *j, struct fare_span line)
{
	if (!j)
		return;
	pthread_mutex_lock(&j->lock);
	if (line.n >= FARE_JOURNAL_WAITING_MAX - j->waiting.n || !fare_buf_add_span(&j->waiting, line) || !fare_buf_add_char(&j->waiting, '\n'))
		j->dropped++;
	pthread_cond_signal(&j->more);
	pthread_mutex_unlock(&j->lock);
}

static void journal_release(struct fare_journal *j)
{
	if (j->fd >= 0)
		close(j->fd);
	fare_buf_release(&j->waiting);
	pthread_cond_destroy(&j->more);
	pthread_cond_destroy(&j->ended);
	pthread_mutex_destroy(&j->lock);
	free(j);
}

struct fare_journal *fare_journal_new(const char *home, const char *run)
{
	char dir[FARE_PATH_N];
	pthread_condattr_t monotonic;
	struct fare_journal *j = fare_alloc(sizeof *j);
	j->fd = -1;
	fare_buf_init(&j->waiting, FARE_JOURNAL_WAITING_MAX);
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->more, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&j->ended, &monotonic);
	pthread_condattr_destroy(&monotonic);
	if (fare_path(dir, sizeof dir, home, FARE_JOURNAL_FOLDER) && fare_path(j->path, sizeof j->path, dir, FARE_JOURNAL_FILE) &&
	    fare_path(j->lost_path, sizeof j->lost_path, run, FARE_JOURNAL_LOST) && pthread_create(&j->thread, NULL, journal_run, j) == 0)
		return j;
	journal_release(j);
	return NULL;
}

bool fare_journal_drain(struct fare_journal *j, uint64_t timeout_ms)
{
	struct timespec end;
	clock_gettime(CLOCK_MONOTONIC, &end);
	uint64_t ns = (uint64_t)end.tv_nsec + timeout_ms % 1000 * 1000000;
	end.tv_sec += (time_t)(timeout_ms / 1000 + ns / 1000000000);
	end.tv_nsec = (long)(ns % 1000000000);
	pthread_mutex_lock(&j->lock);
	j->stopping = true;
	pthread_cond_signal(&j->more);
	while (!j->stopped && pthread_cond_timedwait(&j->ended, &j->lock, &end) == 0)
		;
	bool stopped = j->stopped;
	pthread_mutex_unlock(&j->lock);
	return stopped;
}

void fare_journal_free(struct fare_journal **at)
{
	struct fare_journal *j = *at;
	if (!j)
		return;
	*at = NULL;
	pthread_join(j->thread, NULL);
	journal_release(j);
}
