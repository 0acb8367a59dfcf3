/* The writer: the only thread that changes the store. Batches: whatever has come in while the last one was flushed. And the checkpoints. */
#include "base/first.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "bank/server_inner.h"

enum { BATCH_MAX = 8192, CHECKPOINT_S = 60 };

struct batch {
	struct fare_post_node node;
	struct fare_bank *bank;
	struct fare_job *first;
};

FARE_NORETURN static void store_failed(const char *what)
{
	/* No acknowledgement leaves any more: as if killed. The next bank recovers. */
	fare_log(FARE_ALARM, "the store failed (%s): the bank ends here", what);
	_exit(1);
}

static void batch_durable(struct fare_post_node *node)
{
	struct batch *batch = (struct batch *)(void *)node; /* node is its first member */
	struct fare_bank *b = batch->bank;
	fare_bank_now(b);
	for (struct fare_job *job = batch->first, *next; job; job = next) {
		next = job->next;
		fare_decider_durable(&b->d, job);
	}
	fare_bank_publish(b);
	free(batch);
}

static struct fare_job *take(struct fare_writer *w, bool *stop)
{
	pthread_mutex_lock(&w->lock);
	while (!w->first && !w->stopping)
		pthread_cond_wait(&w->more, &w->lock);
	struct fare_job *first = w->first, *last = first;
	for (int n = 1; last && last->next && n < BATCH_MAX; n++)
		last = last->next;
	if (last) {
		w->first = last->next;
		last->next = NULL;
	}
	if (!w->first)
		w->last = &w->first;
	*stop = !first && w->stopping;
	pthread_mutex_unlock(&w->lock);
	return first;
}

/* Entries that a look finds are flushed: those of this batch by its commit, older ones by theirs (R6, R7). */
static void look(struct fare_books *books, struct fare_job *job)
{
	struct fare_entry e;
	int r = fare_books_find_call(books, job->op.u.post.call_id, &e);
	if (r < 0)
		store_failed("look for a call");
	job->op.applied = r > 0 ? FARE_ALREADY : FARE_APPLIED;
}

static void write_batch(struct fare_books *books, struct fare_job *first)
{
	if (fare_books_begin(books) != 0)
		store_failed("begin");
	for (struct fare_job *job = first; job; job = job->next)
		if (job->what == FARE_JOB_OP && fare_books_apply(books, &job->op) != 0)
			store_failed("apply");
	if (fare_books_commit(books) != 0)
		store_failed("commit");
	for (struct fare_job *job = first; job; job = job->next)
		if (job->what == FARE_JOB_LOOK)
			look(books, job);
}

static void *write_all(void *bank)
{
	struct fare_bank *b = bank;
	for (;;) {
		bool stop;
		struct fare_job *first = take(&b->writer, &stop);
		if (stop)
			return NULL;
		write_batch(b->books, first);
		struct batch *batch = fare_alloc(sizeof *batch);
		*batch = (struct batch){.node.fn = batch_durable, .bank = b, .first = first};
		fare_loop_post(b->loop, &batch->node);
	}
}

static void *checkpoint_all(void *bank)
{
	struct fare_bank *b = bank;
	struct fare_writer *w = &b->writer;
	for (;;) {
		struct timespec until;
		int e = 0;
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += CHECKPOINT_S;
		pthread_mutex_lock(&w->lock);
		while (!w->stopping && e != ETIMEDOUT)
			e = pthread_cond_timedwait(&w->stop, &w->lock, &until);
		bool stop = w->stopping;
		pthread_mutex_unlock(&w->lock);
		if (stop)
			return NULL;
		if (fare_books_checkpoint(b->books) != 0)
			store_failed("checkpoint");
	}
}

void fare_writer_start(struct fare_bank *b)
{
	struct fare_writer *w = &b->writer;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->more, NULL);
	pthread_cond_init(&w->stop, NULL);
	w->last = &w->first;
	if (pthread_create(&w->thread, NULL, write_all, b) != 0 || pthread_create(&w->checkpointer, NULL, checkpoint_all, b) != 0)
		fare_fatal("no thread for the writer");
}

void fare_writer_post(struct fare_bank *b, struct fare_job *job)
{
	struct fare_writer *w = &b->writer;
	job->next = NULL;
	pthread_mutex_lock(&w->lock);
	*w->last = job;
	w->last = &job->next;
	pthread_cond_signal(&w->more);
	pthread_mutex_unlock(&w->lock);
}

void fare_writer_stop(struct fare_bank *b)
{
	struct fare_writer *w = &b->writer;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_broadcast(&w->more);
	pthread_cond_broadcast(&w->stop);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
	pthread_join(w->checkpointer, NULL);
}
