/* A thread that keeps a connection to the bank open, and starts a bank when that ends. It is apart from the keeper's loop because starting one may take seconds. */
#include "base/first.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "bank/start.h"

#include "keeper.h"

enum { RETRY_MS = 1000, SAY_AGAIN_MS = 60 * 1000 };
static const char keep[] = "{\"op\":\"keep\"}\n";

static void signals_block(bool on)
{
	sigset_t all;
	sigfillset(&all);
	pthread_sigmask(on ? SIG_BLOCK : SIG_UNBLOCK, &all, NULL);
}

/* True: told to end. */
static bool wait_stop(const struct fare_minder *m, int timeout_ms)
{
	struct pollfd p = {.fd = m->stop_fd, .events = POLLIN};
	return poll(&p, 1, timeout_ms) > 0;
}

/* Until the bank hangs up, or the thread is told to end (true). Its answer to "keep" is read and thrown away. */
static bool wait_hangup(const struct fare_minder *m, int bank_fd)
{
	char bytes[512];
	struct pollfd p[2] = {{.fd = m->stop_fd, .events = POLLIN}, {.fd = bank_fd, .events = POLLIN}};
	for (;;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return false;
		if (p[0].revents)
			return true;
		ssize_t n = p[1].revents ? recv(bank_fd, bytes, sizeof bytes, MSG_DONTWAIT) : 1;
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
			return false;
	}
}

static int bank_connect(const struct fare_minder *m, char error[FARE_ERROR_N])
{
	/* A bank that is started must not inherit a mask. */
	signals_block(false);
	int fd = fare_bank_connect(&m->conf, error);
	signals_block(true);
	if (fd < 0)
		return -1;
	if (send(fd, keep, sizeof keep - 1, MSG_NOSIGNAL) == (ssize_t)(sizeof keep - 1))
		return fd;
	snprintf(error, FARE_ERROR_N, "the bank does not listen: %s", strerror(errno));
	close(fd);
	return -1;
}

static void *minder_run(void *arg)
{
	struct fare_minder *m = arg;
	char error[FARE_ERROR_N];
	uint64_t say_at_ms = 0;
	signals_block(true);
	for (;;) {
		bool stop = m->bank_fd >= 0 ? wait_hangup(m, m->bank_fd) : wait_stop(m, RETRY_MS);
		if (m->bank_fd >= 0)
			close(m->bank_fd);
		m->bank_fd = -1;
		if (stop)
			return NULL;
		m->bank_fd = bank_connect(m, error);
		uint64_t now_ms = fare_clock_boot_ms();
		if (m->bank_fd >= 0) {
			fare_log(FARE_WARN, "connected to the bank anew");
			say_at_ms = 0;
		} else if (now_ms >= say_at_ms) {
			fare_log(FARE_ALARM, "no bank: %s", error);
			say_at_ms = now_ms + SAY_AGAIN_MS;
		}
	}
}

bool fare_minder_start(struct fare_minder *m, const struct fare_conf *c, bool must, char error[FARE_CONF_ERROR_N])
{
	char why[FARE_ERROR_N] = "";
	m->conf = *c;
	m->bank_fd = fare_bank_connect(c, why);
	if (m->bank_fd < 0 && must) {
		snprintf(error, FARE_CONF_ERROR_N, "%s", why);
		return false;
	}
	if (m->bank_fd < 0)
		fare_log(FARE_ALARM, "no bank: %s", why);
	else if (send(m->bank_fd, keep, sizeof keep - 1, MSG_NOSIGNAL) < 0)
		fare_log(FARE_WARN, "the bank hung up: %s", strerror(errno));
	m->stop_fd = eventfd(0, EFD_CLOEXEC);
	m->running = m->stop_fd >= 0 && pthread_create(&m->thread, NULL, minder_run, m) == 0;
	if (!m->running)
		snprintf(error, FARE_CONF_ERROR_N, "no thread for the bank: %s", strerror(errno));
	return m->running;
}

void fare_minder_stop(struct fare_minder *m)
{
	uint64_t one = 1;
	if (!m->running)
		return;
	if (write(m->stop_fd, &one, sizeof one) == (ssize_t)sizeof one)
		pthread_join(m->thread, NULL);
	close(m->stop_fd);
	m->running = false;
}

void fare_bank_reload(const struct fare_conf *c)
{
	static const char reload[] = "{\"op\":\"reload\"}\n";
	int fd = fare_bank_try(c);
	if (fd < 0 || send(fd, reload, sizeof reload - 1, MSG_NOSIGNAL) < 0)
		fare_log(FARE_WARN, "reload: the bank was not reached: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}
