/* Doormen. One at a time stands at the door, the others wait in line for it: one arrival wakes one thread. */
#include "base/first.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"

#include "doormen.h"
#include "io.h"

enum { STACK_N = 512 * 1024, PAUSE_MS = 50, LOOK_MS = 1000 };

struct fare_doormen {
	struct fare_gate *gate;
	int listen_fd, stop_fd, poll_fd; /* poll_fd waits for both */
	unsigned most;
	pthread_mutex_t door; /* held by the one that waits for a request */
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t left;
	unsigned all, idle;
	bool stopped;
};

static _Thread_local struct fare_doormen *at_door; /* whose door this thread stands at */

static void *doorman_run(void *arg);

/* With the lock held. */
static bool doorman_start(struct fare_doormen *d)
{
	pthread_attr_t attr;
	pthread_t thread;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_N);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	int failed = pthread_create(&thread, &attr, doorman_run, d);
	pthread_attr_destroy(&attr);
	if (failed) {
		fare_log(FARE_WARN, "no further doorman: %s", strerror(failed));
		return false;
	}
	d->all++;
	d->idle++;
	return true;
}

/* A connection, or -1: stop. */
static int door_wait(struct fare_doormen *d)
{
	for (;;) {
		struct epoll_event seen[2];
		int n = epoll_wait(d->poll_fd, seen, 2, LOOK_MS); /* and a look: the worker that was woken for an arrival may have been killed before it took it */
		if (n < 0 && errno != EINTR) {
			fare_log(FARE_ALARM, "epoll_wait: %s", strerror(errno));
			poll(NULL, 0, PAUSE_MS);
		}
		for (int i = 0; i < n; i++)
			if (seen[i].data.fd == d->stop_fd)
				return -1;
		int fd = accept4(d->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			return fd;
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) /* another worker was faster */
			continue;
		fare_log(FARE_ALARM, "accept: %s", strerror(errno));
		poll(NULL, 0, PAUSE_MS);
	}
}

/* Out of the idle ones into work; if nobody is left at the door, one more is started. */
static void doorman_busy(struct fare_doormen *d)
{
	pthread_mutex_lock(&d->lock);
	d->idle--;
	if (d->idle == 0 && d->all < d->most && !d->stopped)
		doorman_start(d);
	pthread_mutex_unlock(&d->lock);
}

/* Back to the door, or, when enough stand there, home. */
static bool doorman_stays(struct fare_doormen *d)
{
	pthread_mutex_lock(&d->lock);
	bool stays = !d->stopped && d->idle < FARE_DOORMEN_LEAST;
	if (stays)
		d->idle++;
	pthread_mutex_unlock(&d->lock);
	return stays;
}

void fare_doormen_step_aside(void)
{
	struct fare_doormen *d = at_door;
	if (!d)
		return;
	at_door = NULL;
	pthread_mutex_unlock(&d->door);
	doorman_busy(d);
}

static void *doorman_run(void *arg)
{
	struct fare_doormen *d = arg;
	prctl(PR_SET_NAME, "farebox-doorman");
	do {
		if (!at_door)
			pthread_mutex_lock(&d->door);
		at_door = d;
		int fd = door_wait(d);
		if (fd < 0 || !fare_io_is_whole(fd))
			fare_doormen_step_aside();
		if (fd < 0)
			break;
		struct fare_io *io = fare_io_begin(fd);
		if (io)
			fare_gate_serve(d->gate, &fare_io_ops, io);
	} while (at_door || doorman_stays(d));
	pthread_mutex_lock(&d->lock);
	d->all--;
	pthread_cond_broadcast(&d->left);
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

/* Exclusive: an arrival wakes one worker, not all that share the socket. */
static bool door_open(struct fare_doormen *d)
{
	struct epoll_event arrival = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = d->listen_fd}, stop = {.events = EPOLLIN};
	d->stop_fd = stop.data.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	d->poll_fd = epoll_create1(EPOLL_CLOEXEC);
	return d->stop_fd >= 0 && d->poll_fd >= 0 && fare_fd_nonblock(d->listen_fd, true) && epoll_ctl(d->poll_fd, EPOLL_CTL_ADD, d->listen_fd, &arrival) == 0 &&
	       epoll_ctl(d->poll_fd, EPOLL_CTL_ADD, d->stop_fd, &stop) == 0;
}

struct fare_doormen *fare_doormen_new(struct fare_gate *g, int listen_fd, unsigned most)
{
	struct fare_doormen *d = fare_alloc(sizeof *d);
	pthread_condattr_t monotonic;
	d->gate = g;
	d->listen_fd = listen_fd;
	d->most = most;
	pthread_mutex_init(&d->door, NULL);
	pthread_mutex_init(&d->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&d->left, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_mutex_lock(&d->lock);
	bool good = door_open(d);
	while (good && d->all < FARE_DOORMEN_LEAST && d->all < most)
		if (!doorman_start(d))
			break;
	good = d->all > 0;
	pthread_mutex_unlock(&d->lock);
	if (!good)
		fare_doormen_free(&d);
	return d;
}

void fare_doormen_stop(struct fare_doormen *d)
{
	uint64_t one = 1;
	pthread_mutex_lock(&d->lock);
	d->stopped = true;
	pthread_mutex_unlock(&d->lock);
	while (write(d->stop_fd, &one, sizeof one) < 0 && errno == EINTR) /* nobody reads it: it stays readable for all */
		;
}

bool fare_doormen_wait(struct fare_doormen *d, uint64_t timeout_ms)
{
	struct timespec end;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += (time_t)(timeout_ms / 1000);
	end.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (end.tv_nsec >= 1000000000) {
		end.tv_sec++;
		end.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&d->lock);
	while (d->all > 0 && pthread_cond_timedwait(&d->left, &d->lock, &end) == 0)
		;
	bool none = d->all == 0;
	pthread_mutex_unlock(&d->lock);
	return none;
}

void fare_doormen_free(struct fare_doormen **at)
{
	struct fare_doormen *d = *at;
	if (!d)
		return;
	*at = NULL;
	if (d->stop_fd >= 0)
		close(d->stop_fd);
	if (d->poll_fd >= 0)
		close(d->poll_fd);
	pthread_mutex_destroy(&d->door);
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->left);
	free(d);
}
