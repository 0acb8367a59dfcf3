/* The event loop, over libevent. */
#include "base/first.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/loop.h"

struct signal_watch {
	struct signal_watch *next;
	struct event *ev;
	fare_signal_fn *fn;
	void *arg;
};

struct fare_loop {
	struct event_base *base;
	struct signal_watch *signals;
	/* Other threads write the eventfd after a post or stop; it stays readable until the loop has seen it, so neither is lost before or between runs. */
	int wake_fd;
	struct event *wake_ev;
	atomic_bool stop;
	pthread_mutex_t lock; /* of the posted nodes */
	struct fare_post_node *first, **tail;
};

struct fare_watch {
	struct fare_loop *loop;
	struct event *ev;
	int fd;
	unsigned events;
	fare_watch_fn *fn;
	void *arg;
};

struct fare_timer {
	struct event *ev;
	fare_timer_fn *fn;
	void *arg;
};

static void loop_wake(struct fare_loop *l)
{
	uint64_t one = 1;
	while (write(l->wake_fd, &one, sizeof one) < 0 && errno == EINTR) /* EAGAIN: it is readable anyway */
		;
}

static struct fare_post_node *take_posts(struct fare_loop *l)
{
	pthread_mutex_lock(&l->lock);
	struct fare_post_node *node = l->first;
	l->first = NULL;
	l->tail = &l->first;
	pthread_mutex_unlock(&l->lock);
	return node;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct fare_loop *l = arg;
	uint64_t count;
	(void)what;
	while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
		;
	for (struct fare_post_node *node = take_posts(l), *next; node; node = next) {
		next = node->next; /* the node may be posted again, or gone, once it has run */
		node->fn(node);
	}
	if (atomic_load(&l->stop))
		event_base_loopbreak(l->base);
}

void fare_loop_post(struct fare_loop *l, struct fare_post_node *node)
{
	node->next = NULL;
	pthread_mutex_lock(&l->lock);
	bool was_empty = !l->first;
	*l->tail = node;
	l->tail = &node->next;
	pthread_mutex_unlock(&l->lock);
	if (was_empty)
		loop_wake(l);
}

static void log_libevent(int severity, const char *text)
{
	if (severity >= EVENT_LOG_WARN)
		fare_log(severity == EVENT_LOG_WARN ? FARE_WARN : FARE_ALARM, "libevent: %s", text);
}

static void libevent_init(void)
{
	event_set_log_callback(log_libevent);
	if (evthread_use_pthreads() != 0)
		fare_fatal("libevent has no thread support");
}

struct fare_loop *fare_loop_new(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, libevent_init);
	struct fare_loop *l = fare_alloc(sizeof *l);
	pthread_mutex_init(&l->lock, NULL);
	l->tail = &l->first;
	l->base = event_base_new();
	l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->base && l->wake_fd >= 0)
		l->wake_ev = event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
	if (!l->wake_ev || event_add(l->wake_ev, NULL) != 0)
		fare_loop_free(&l);
	return l;
}

void fare_loop_free(struct fare_loop **at)
{
	struct fare_loop *l = *at;
	if (!l)
		return;
	for (struct signal_watch *s = l->signals, *next; s; s = next) {
		next = s->next;
		event_free(s->ev);
		free(s);
	}
	if (l->wake_ev)
		event_free(l->wake_ev);
	if (l->base)
		event_base_free(l->base);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	pthread_mutex_destroy(&l->lock);
	free(l);
	*at = NULL;
}

void fare_loop_run(struct fare_loop *l)
{
	if (event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY) < 0)
		fare_fatal("the event loop failed");
	atomic_store(&l->stop, false);
}

void fare_loop_stop(struct fare_loop *l)
{
	atomic_store(&l->stop, true);
	loop_wake(l);
}

static const struct { unsigned ours; short theirs; } event_names[] = {
	{FARE_READ, EV_READ}, {FARE_WRITE, EV_WRITE}, {FARE_CLOSED, EV_CLOSED}, {FARE_EDGE, EV_ET},
};

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct fare_watch *w = arg;
	unsigned events = 0;
	for (size_t i = 0; i < FARE_ARRAY_N(event_names); i++)
		if (what & event_names[i].theirs && event_names[i].ours != FARE_EDGE)
			events |= event_names[i].ours;
	w->fn(w->arg, fd, events);
}

void fare_watch_set(struct fare_watch *w, unsigned events)
{
	/* A hang-up with unread bytes is told to readers and writers only: watching for closing alone would spin. */
	FARE_ASSERT(!(events & FARE_CLOSED) || events & (FARE_READ | FARE_WRITE));
	if (events == w->events)
		return;
	w->events = events;
	event_del(w->ev);
	if (events == 0)
		return;
	short theirs = EV_PERSIST;
	for (size_t i = 0; i < FARE_ARRAY_N(event_names); i++)
		if (events & event_names[i].ours)
			theirs = (short)(theirs | event_names[i].theirs);
	if (event_assign(w->ev, w->loop->base, w->fd, theirs, on_watch, w) != 0 || event_add(w->ev, NULL) != 0)
		fare_panic_at(__FILE__, __LINE__, "a descriptor that cannot be watched");
}

struct fare_watch *fare_watch_new(struct fare_loop *l, int fd, unsigned events, fare_watch_fn *fn, void *arg)
{
	struct fare_watch *w = fare_alloc(sizeof *w);
	*w = (struct fare_watch){.loop = l, .fd = fd, .fn = fn, .arg = arg};
	w->ev = event_new(l->base, fd, EV_PERSIST, on_watch, w);
	FARE_ASSERT(w->ev);
	fare_watch_set(w, events);
	return w;
}

void fare_watch_free(struct fare_watch **at)
{
	struct fare_watch *w = *at;
	if (!w)
		return;
	*at = NULL;
	event_free(w->ev);
	free(w);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct fare_timer *t = arg;
	(void)fd;
	(void)what;
	t->fn(t->arg);
}

struct fare_timer *fare_timer_new(struct fare_loop *l, fare_timer_fn *fn, void *arg)
{
	struct fare_timer *t = fare_alloc(sizeof *t);
	*t = (struct fare_timer){.fn = fn, .arg = arg};
	t->ev = evtimer_new(l->base, on_timer, t);
	FARE_ASSERT(t->ev);
	return t;
}

void fare_timer_set(struct fare_timer *t, uint64_t after_ms)
{
	struct timeval tv = {.tv_sec = (time_t)(after_ms / 1000), .tv_usec = (suseconds_t)(after_ms % 1000 * 1000)};
	FARE_ASSERT(evtimer_add(t->ev, &tv) == 0);
}

void fare_timer_clear(struct fare_timer *t) { evtimer_del(t->ev); }

void fare_timer_free(struct fare_timer **at)
{
	struct fare_timer *t = *at;
	if (!t)
		return;
	*at = NULL;
	event_free(t->ev);
	free(t);
}

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
	struct signal_watch *s = arg;
	(void)what;
	s->fn(s->arg, (int)signo);
}

bool fare_loop_signal(struct fare_loop *l, int signo, fare_signal_fn *fn, void *arg)
{
	struct signal_watch *s = fare_alloc(sizeof *s);
	*s = (struct signal_watch){.next = l->signals, .fn = fn, .arg = arg};
	s->ev = evsignal_new(l->base, signo, on_signal, s);
	l->signals = s;
	return s->ev && evsignal_add(s->ev, NULL) == 0;
}
