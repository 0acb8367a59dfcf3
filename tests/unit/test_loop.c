/* The event loop: descriptors, timers, signals, posts from other threads. Time is waited for, never asserted. */
#include "base/first.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"

#include "unit.h"

static struct fare_loop *loop;

static int setup(void **state)
{
	(void)state;
	loop = fare_loop_new();
	return loop ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	fare_loop_free(&loop);
	fare_loop_free(&loop);
	return loop ? -1 : 0;
}

struct seen {
	int calls;
	unsigned events;
	bool read_it;
	struct fare_watch *watch;
};

static void on_event(void *arg, int fd, unsigned events)
{
	struct seen *s = arg;
	char bytes[16];
	s->calls++;
	s->events = events;
	if (s->read_it)
		assert_true(read(fd, bytes, sizeof bytes) >= 0);
	fare_loop_stop(loop);
}

static void test_watch(void **state)
{
	int fds[2];
	struct seen s = {.read_it = true};
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	s.watch = fare_watch_new(loop, fds[0], FARE_READ, on_event, &s);
	assert_int_equal(write(fds[1], "x", 1), 1);
	fare_loop_run(loop);
	assert_int_equal(s.calls, 1);
	assert_int_equal(s.events, FARE_READ);
	s.read_it = false;
	fare_watch_set(s.watch, FARE_WRITE);
	fare_loop_run(loop);
	assert_int_equal(s.events, FARE_WRITE);
	fare_watch_free(&s.watch);
	assert_null(s.watch);
	fare_watch_free(&s.watch);
	close(fds[0]);
	close(fds[1]);
}

static void stop_fn(struct fare_post_node *n)
{
	(void)n;
	fare_loop_stop(loop);
}

static void test_watch_none(void **state)
{
	int fds[2];
	struct seen s = {0};
	struct fare_post_node stop = {.fn = stop_fn};
	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	s.watch = fare_watch_new(loop, fds[0], 0, on_event, &s);
	for (int i = 0; i < 3; i++) { /* the loop turns, the descriptor is ready, nobody looks */
		fare_loop_post(loop, &stop);
		fare_loop_run(loop);
	}
	assert_int_equal(s.calls, 0);
	fare_watch_set(s.watch, FARE_READ);
	fare_loop_run(loop);
	assert_int_equal(s.calls, 1);
	fare_watch_set(s.watch, 0);
	fare_loop_post(loop, &stop);
	fare_loop_run(loop);
	assert_int_equal(s.calls, 1);
	fare_watch_free(&s.watch);
	close(fds[0]);
	close(fds[1]);
}

static void on_event_free(void *arg, int fd, unsigned events)
{
	struct seen *s = arg;
	(void)fd;
	(void)events;
	s->calls++;
	fare_watch_free(&s->watch);
	fare_loop_stop(loop);
}

static void test_watch_frees_itself(void **state)
{
	int fds[2];
	struct seen s = {0};
	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	s.watch = fare_watch_new(loop, fds[0], FARE_READ, on_event_free, &s);
	fare_loop_run(loop);
	assert_int_equal(s.calls, 1);
	assert_null(s.watch);
	close(fds[0]);
	close(fds[1]);
}

/* The peer leaves while bytes sent to it lie unread: seen, and the loop does not spin. */
static void test_hang_up(void **state)
{
	int fds[2];
	struct seen s = {0};
	struct fare_post_node stop = {.fn = stop_fn};
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	s.watch = fare_watch_new(loop, fds[0], FARE_READ | FARE_CLOSED | FARE_EDGE, on_event, &s);
	fare_loop_post(loop, &stop);
	fare_loop_run(loop);
	assert_int_equal(s.calls, 0);
	assert_int_equal(write(fds[0], "unread", 6), 6);
	close(fds[1]);
	fare_loop_run(loop);
	assert_int_equal(s.calls, 1);
	assert_true(s.events & (FARE_READ | FARE_CLOSED));
	assert_false(s.events & FARE_EDGE);
	for (int i = 0; i < 10; i++) {
		fare_loop_post(loop, &stop);
		fare_loop_run(loop);
	}
	assert_int_equal(s.calls, 1);
	fare_watch_free(&s.watch);
	close(fds[0]);
}

struct tick {
	struct fare_timer *timer;
	int left;
};

static void on_tick(void *arg)
{
	struct tick *t = arg;
	if (--t->left > 0)
		fare_timer_set(t->timer, 1);
	else
		fare_loop_stop(loop);
}

static void test_timer(void **state)
{
	struct tick t = {.left = 3}, never = {.left = 1}, soon = {.left = 1};
	(void)state;
	t.timer = fare_timer_new(loop, on_tick, &t);
	never.timer = fare_timer_new(loop, on_tick, &never);
	soon.timer = fare_timer_new(loop, on_tick, &soon);
	fare_timer_clear(soon.timer);
	fare_timer_set(never.timer, 3600 * 1000);
	fare_timer_set(t.timer, 0);
	fare_loop_run(loop);
	assert_int_equal(t.left, 0);
	fare_timer_set(never.timer, 1); /* set again: moved */
	fare_loop_run(loop);
	assert_int_equal(never.left, 0);
	fare_timer_set(soon.timer, 0);
	fare_timer_clear(soon.timer);
	t.left = 2;
	fare_timer_set(t.timer, 1);
	fare_loop_run(loop);
	assert_int_equal(soon.left, 1);
	fare_timer_free(&t.timer);
	fare_timer_free(&t.timer);
	fare_timer_free(&never.timer);
	fare_timer_free(&soon.timer);
}

static void on_signal(void *arg, int signo)
{
	*(int *)arg = signo;
	fare_loop_stop(loop);
}

static void test_signal(void **state)
{
	int usr1 = 0, usr2 = 0;
	(void)state;
	assert_true(fare_loop_signal(loop, SIGUSR1, on_signal, &usr1));
	assert_true(fare_loop_signal(loop, SIGUSR2, on_signal, &usr2));
	assert_int_equal(raise(SIGUSR2), 0);
	fare_loop_run(loop);
	assert_int_equal(usr1, 0);
	assert_int_equal(usr2, SIGUSR2);
}

enum { THREADS = 4, EACH = 5000 };

struct item {
	struct fare_post_node node; /* first: the node is the item */
	int thread, number;
};

static struct item items[THREADS][EACH];
static int next_number[THREADS], items_left;

static void on_item(struct fare_post_node *n)
{
	struct item *i = (struct item *)n;
	assert_int_equal(i->number, next_number[i->thread]++);
	if (--items_left == 0)
		fare_loop_stop(loop);
}

static void *post_all(void *arg)
{
	struct item *mine = arg;
	for (int i = 0; i < EACH; i++)
		fare_loop_post(loop, &mine[i].node);
	return NULL;
}

static void test_posts(void **state)
{
	pthread_t threads[THREADS];
	(void)state;
	items_left = THREADS * EACH;
	for (int t = 0; t < THREADS; t++) {
		next_number[t] = 0;
		for (int i = 0; i < EACH; i++)
			items[t][i] = (struct item){.node = {.fn = on_item}, .thread = t, .number = i};
		assert_int_equal(pthread_create(&threads[t], NULL, post_all, items[t]), 0);
	}
	fare_loop_run(loop);
	assert_int_equal(items_left, 0);
	for (int t = 0; t < THREADS; t++)
		pthread_join(threads[t], NULL);
}

static int again_left;

static void post_again(struct fare_post_node *n)
{
	if (--again_left > 0)
		fare_loop_post(loop, n);
	else
		fare_loop_stop(loop);
}

static void test_post_again(void **state)
{
	struct fare_post_node n = {.fn = post_again};
	(void)state;
	again_left = 100;
	fare_loop_post(loop, &n);
	fare_loop_run(loop);
	assert_int_equal(again_left, 0);
}

static void *stop_soon(void *arg)
{
	(void)arg;
	fare_loop_stop(loop);
	return NULL;
}

static void test_stop(void **state)
{
	pthread_t thread;
	(void)state;
	fare_loop_stop(loop); /* before it runs: not lost */
	fare_loop_run(loop);
	for (int i = 0; i < 100; i++) {
		assert_int_equal(pthread_create(&thread, NULL, stop_soon, NULL), 0);
		fare_loop_run(loop);
		pthread_join(thread, NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_watch, setup, teardown), cmocka_unit_test_setup_teardown(test_watch_none, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watch_frees_itself, setup, teardown), cmocka_unit_test_setup_teardown(test_hang_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timer, setup, teardown), cmocka_unit_test_setup_teardown(test_signal, setup, teardown),
		cmocka_unit_test_setup_teardown(test_posts, setup, teardown), cmocka_unit_test_setup_teardown(test_post_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
