/*
 * The event loop: file descriptors, timers, signals and work handed in by other threads. Only fare_loop_post and fare_loop_stop may be called from another thread.
 * (The one user of libevent.)
 */
#ifndef FARE_BASE_LOOP_H
#define FARE_BASE_LOOP_H

#include "base/first.h"

#include <stdbool.h>
#include <stdint.h>

struct fare_loop;
struct fare_watch;
struct fare_timer;

enum { FARE_READ = 1, FARE_WRITE = 2, FARE_CLOSED = 4, FARE_EDGE = 8 };

struct fare_loop *fare_loop_new(void);          /* NULL: no memory or descriptors */
void fare_loop_free(struct fare_loop **l);
void fare_loop_run(struct fare_loop *l);        /* until stopped */
void fare_loop_stop(struct fare_loop *l);

/*
 * events: what happened (FARE_READ | FARE_WRITE | FARE_CLOSED). FARE_CLOSED is asked for together with FARE_READ or FARE_WRITE only: a hang-up
 * with unread bytes is told to readers and writers alone. The callback may free its own watch.
 * Sockets, pipes and the like: a descriptor that cannot be watched (a plain file, a closed one) is our bug and stops the process.
 */
typedef void fare_watch_fn(void *arg, int fd, unsigned events);
struct fare_watch *fare_watch_new(struct fare_loop *l, int fd, unsigned events, fare_watch_fn *fn, void *arg);
void fare_watch_set(struct fare_watch *w, unsigned events); /* 0: none */
void fare_watch_free(struct fare_watch **w);

/* One-shot; set again from its callback to repeat. */
typedef void fare_timer_fn(void *arg);
struct fare_timer *fare_timer_new(struct fare_loop *l, fare_timer_fn *fn, void *arg);
void fare_timer_set(struct fare_timer *t, uint64_t after_ms);
void fare_timer_clear(struct fare_timer *t);
void fare_timer_free(struct fare_timer **t);

typedef void fare_signal_fn(void *arg, int signo);
bool fare_loop_signal(struct fare_loop *l, int signo, fare_signal_fn *fn, void *arg) FARE_MUST;

/* Runs `fn` on the loop's thread, in the order posted; the node is the caller's, one post at a time. */
struct fare_post_node {
	struct fare_post_node *next;
	void (*fn)(struct fare_post_node *);
};
void fare_loop_post(struct fare_loop *l, struct fare_post_node *node);

#endif
