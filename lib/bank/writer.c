/* The writer: the only thread that changes the store. Batches: whatever has come in while the last one was flushed. */
#include "base/first.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "bank/answer.h"
#include "bank/server_inner.h"

/*
 * Nobody waits for a call's entry: under load batches of such begin BATCH_GAP_MS apart (sooner when BATCH_ENOUGH have come), because a flush costs the same for one as for
 * many. What somebody waits for is written at once.
 */
enum { BATCH_MAX = 8192, BATCH_ENOUGH = 256, BATCH_GAP_MS = 5, BATCH_ANSWERS_MAX = 16 * 1024 * 1024 /* the store locks each page of them */ };

struct batch {
	struct fare_post_node node;
	struct fare_bank *bank;
	struct fare_job *first;
};

void fare_writer_failed(const char *what)
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

static bool must_write(const struct fare_writer *w) { return w->hurry || w->stopping || w->waiting >= BATCH_ENOUGH; }

/* With the lock held, which is given up meanwhile. */
static void rest(struct fare_writer *w, const struct timespec *until)
{
	w->resting = true;
	while (!must_write(w) && pthread_cond_timedwait(&w->more, &w->lock, until) == 0)
		;
	w->resting = false;
}

static struct fare_job *take(struct fare_writer *w, const struct timespec *not_before, bool *stop)
{
	pthread_mutex_lock(&w->lock);
	rest(w, not_before);
	while (!w->first && !w->stopping)
		pthread_cond_wait(&w->more, &w->lock);
	struct fare_job *first = w->first, *last = first;
	unsigned n = first ? 1 : 0;
	size_t answers = first ? first->answer_n : 0;
	for (; last && last->next && n < BATCH_MAX && answers < BATCH_ANSWERS_MAX; n++) {
		last = last->next;
		answers += last->answer_n;
	}
	w->waiting -= n;
	w->hurry = w->hurry && w->waiting;
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
		fare_writer_failed("look for a call");
	job->op.applied = r > 0 ? FARE_ALREADY : FARE_APPLIED;
}

/* Answers that are to be kept: before the batch begins, so that nobody waits for them. */
static void read_answers(const char *run, struct fare_job *first)
{
	for (struct fare_job *job = first; job; job = job->next) {
		const struct fare_entry *e = &job->op.u.post;
		if (job->answer_n == 0 || e->amount.nano == 0)
			continue;
		job->op.keyed.answer = fare_answer_read(run, e->call_id, job->incarnation, job->worker_no, job->answer_n);
		if (job->op.keyed.answer)
			job->op.keyed.answer_n = job->answer_n;
		else
			fare_log(FARE_WARN, "the answer of a call cannot be kept: its file is not there, or not what its worker said");
	}
}

/* Durable, with the entries. A parked charge keeps its file: the next bank tries again. */
static void drop_answers(const char *run, struct fare_job *first)
{
	for (struct fare_job *job = first; job; job = job->next) {
		if (job->answer_n == 0)
			continue;
		free((char *)(uintptr_t)job->op.keyed.answer);
		job->op.keyed.answer = NULL;
		if (job->op.applied != FARE_REFUSED_OP)
			fare_answer_remove(run, job->op.u.post.call_id, job->incarnation);
	}
}

static void write_batch(struct fare_books *books, const char *run, struct fare_job *first)
{
	read_answers(run, first);
	if (fare_books_begin(books) != 0)
		fare_writer_failed("begin");
	for (struct fare_job *job = first; job; job = job->next)
		if (job->what == FARE_JOB_OP && fare_books_apply(books, &job->op) != 0)
			fare_writer_failed("apply");
	for (struct fare_job *job = first; job && fare_planted("hold_before_commit"); job = job->next)
		if (job->hold)
			atomic_store(&job->hold->state, FARE_HOLD_FREE);
	if (fare_books_commit(books) != 0)
		fare_writer_failed("commit");
	drop_answers(run, first);
	for (struct fare_job *job = first; job; job = job->next)
		if (job->what == FARE_JOB_LOOK)
			look(books, job);
}

static void *write_all(void *bank)
{
	struct fare_bank *b = bank;
	struct timespec next;
	clock_gettime(CLOCK_MONOTONIC, &next);
	for (;;) {
		bool stop;
		struct fare_job *first = take(&b->writer, &next, &stop);
		if (stop)
			return NULL;
		clock_gettime(CLOCK_MONOTONIC, &next);
		next.tv_nsec += BATCH_GAP_MS * 1000000L;
		if (next.tv_nsec >= 1000000000L) {
			next.tv_sec++;
			next.tv_nsec -= 1000000000L;
		}
		write_batch(b->books, b->writer.run, first);
		struct batch *batch = fare_alloc(sizeof *batch);
		*batch = (struct batch){.node.fn = batch_durable, .bank = b, .first = first};
		fare_loop_post(b->loop, &batch->node);
	}
}

void fare_writer_start(struct fare_bank *b)
{
	struct fare_writer *w = &b->writer;
	pthread_condattr_t monotonic;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&w->more, &monotonic);
	pthread_condattr_destroy(&monotonic);
	memcpy(w->run, b->conf.run, sizeof w->run);
	w->last = &w->first;
	if (pthread_create(&w->thread, NULL, write_all, b) != 0)
		fare_fatal("no thread for the writer");
}

void fare_writer_post(struct fare_bank *b, struct fare_job *job)
{
	struct fare_writer *w = &b->writer;
	job->next = NULL;
	pthread_mutex_lock(&w->lock);
	*w->last = job;
	w->last = &job->next;
	w->waiting++;
	w->hurry = w->hurry || !(job->hold || job->patient);
	bool wake = w->resting ? must_write(w) : w->waiting == 1;
	pthread_mutex_unlock(&w->lock);
	if (wake)
		pthread_cond_signal(&w->more);
}

void fare_writer_stop(struct fare_bank *b)
{
	struct fare_writer *w = &b->writer;
	pthread_mutex_lock(&w->lock);
	w->stopping = true;
	pthread_cond_broadcast(&w->more);
	pthread_mutex_unlock(&w->lock);
	pthread_join(w->thread, NULL);
}
