/*
 * A bank that has the store's lock and cannot open the store yet, because its disk cannot be written. It waits for the disk, so that not each who wants a bank starts one
 * that fails; a lock on run/bank.waits tells them at once that there is none to be had, and the file says why. It leaves after a while: whoever needs a bank starts the next.
 */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "bank/wait.h"
#include "store/store.h"

enum { LOOK_MS = 500, WAIT_MS = 20000, PROBE_BYTES = 8 << 20 /* recovery fills up the last log file */ };

static void sleep_ms(unsigned ms)
{
	struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
	nanosleep(&t, NULL);
}

/* One name: where links are not protected, somebody else may give this one to another file of ours. */
static bool is_one_name(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && st.st_nlink == 1;
}

/* A disk that is read-only may still have the file of an earlier bank. */
static int waits_open(const struct fare_conf *c)
{
	char path[FARE_PATH_N];
	if (!fare_path(path, sizeof path, c->run, "bank.waits"))
		return -1;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (fd < 0)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0 && fare_file_is_own(fd) && is_one_name(fd))
		return fd;
	if (fd >= 0)
		close(fd);
	return fare_file_make(path, 0600); /* in the place of what another has put there */
}

static void text_read(int fd, char text[FARE_ERROR_N])
{
	ssize_t n = pread(fd, text, FARE_ERROR_N - 1, 0);
	text[n > 0 ? n : 0] = '\0';
}

bool fare_bank_waits(const struct fare_conf *c, char error[FARE_ERROR_N])
{
	char path[FARE_PATH_N], why[FARE_ERROR_N];
	struct stat home, st;
	int fd = fare_path(path, sizeof path, c->run, "bank.waits") ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
	if (fd < 0)
		return false;
	bool is_bank = stat(c->home, &home) == 0 && fstat(fd, &st) == 0 && st.st_uid == home.st_uid && is_one_name(fd), waits = is_bank && flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
	if (waits) {
		text_read(fd, why);
		snprintf(error, FARE_ERROR_N, "%s", why[0] ? why : "the bank waits for the store's disk");
	}
	close(fd);
	return waits;
}

/* The same trouble is told once, not by each bank that meets it. */
static void tell(int fd, const char *why)
{
	char before[FARE_ERROR_N] = "";
	if (fd >= 0)
		text_read(fd, before);
	if (strcmp(before, why) == 0)
		return;
	fare_log(FARE_ALARM, "%s", why);
	if (fd >= 0 && (ftruncate(fd, 0) != 0 || pwrite(fd, why, strlen(why), 0) < 0))
		fare_log(FARE_DEBUG, "bank.waits: %s", strerror(errno)); /* no room for it: it is locked, which says enough */
}

/* Can a log file's worth be written? Nothing stays of it. */
static bool can_write(const struct fare_conf *c)
{
	char store[FARE_PATH_N], path[FARE_PATH_N];
	if (!fare_path(store, sizeof store, c->home, "store") || !fare_path(path, sizeof path, store, "PROBE"))
		return false;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool ok = fd >= 0 && fare_write_all(fd, path, strlen(path)) && (fallocate(fd, 0, 0, PROBE_BYTES) == 0 || errno == EOPNOTSUPP);
	int e = errno;
	if (fd >= 0) {
		close(fd);
		unlink(path);
	}
	errno = e;
	return ok;
}

static int ready(const struct fare_conf *c, char why[FARE_ERROR_N])
{
	char error[FARE_STORE_ERROR_N];
	if (!can_write(c)) {
		snprintf(why, FARE_ERROR_N, "the store's disk cannot be written (%s): the bank waits for it", strerror(errno));
		return -1;
	}
	int r = fare_store_resync(c->home, c->run, error);
	if (r == FARE_STORE_FAILED)
		snprintf(why, FARE_ERROR_N, "%.200s", error);
	return r == FARE_STORE_FAILED ? -1 : r == FARE_STORE_OK;
}

int fare_bank_wait(const struct fare_conf *c)
{
	char why[FARE_ERROR_N];
	bool locked = false;
	int r = ready(c, why), fd = r < 0 ? waits_open(c) : -1;
	for (int ms = 0; r < 0 && ms < WAIT_MS; ms += LOOK_MS) {
		tell(fd, why);
		/* Who only looks has it for a moment. */
		locked = locked || (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0);
		sleep_ms(LOOK_MS);
		r = ready(c, why);
	}
	if (r >= 0 && fd >= 0)
		fare_log(FARE_WARN, "the store's disk can be written again");
	if (fd >= 0)
		close(fd);
	return r;
}

void fare_bank_wait_over(const struct fare_conf *c)
{
	int fd = waits_open(c);
	if (fd < 0 || ftruncate(fd, 0) != 0)
		fare_log(FARE_WARN, "%s/bank.waits: %s", c->run, strerror(errno));
	if (fd >= 0)
		close(fd);
}

void fare_bank_hold_off(const struct fare_conf *c, const char *why)
{
	int fd = waits_open(c);
	tell(fd, why);
	for (int ms = 0; fd >= 0 && ms < WAIT_MS / 4; ms += LOOK_MS) {
		(void)flock(fd, LOCK_EX | LOCK_NB);
		sleep_ms(LOOK_MS);
	}
	if (fd >= 0)
		close(fd);
}
