/* The checkpointer: a thread that has pages written back, and the logs that recovery then no longer needs removed, or put into the archive. */
#include "base/first.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/log.h"
#include "bank/server_inner.h"

enum { CHECKPOINT_S = 60 };

int fare_checkpointer_once(struct fare_bank *b)
{
	struct fare_checkpointer *c = &b->checkpointer;
	char archive[FARE_CONF_TEXT_N];
	int error = atomic_load(&c->archive_error);
	pthread_mutex_lock(&c->lock);
	memcpy(archive, c->archive, sizeof archive);
	unsigned days = c->archive_days;
	pthread_mutex_unlock(&c->lock);
	if (!archive[0])
		error = 0;
	int r = archive[0] ? fare_books_checkpoint_to(b->books, archive, days, &error) : fare_books_checkpoint(b->books);
	atomic_store(&c->archive_error, error);
	return r;
}

/* For a second. True: to the end. */
static bool rest(struct fare_checkpointer *c, bool *archives)
{
	struct timespec until;
	int e = 0;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec++;
	pthread_mutex_lock(&c->lock);
	while (!c->stopping && e != ETIMEDOUT)
		e = pthread_cond_timedwait(&c->stop, &c->lock, &until);
	bool stop = c->stopping;
	*archives = c->archive[0] != 0;
	pthread_mutex_unlock(&c->lock);
	return stop;
}

/* Each CHECKPOINT_S; with an archive also when a log is full: it shall have that soon. */
static void *checkpoint_all(void *bank)
{
	struct fare_bank *b = bank;
	bool archives;
	uint32_t log = fare_books_log_number(b->books);
	for (unsigned s = 1; !rest(&b->checkpointer, &archives); s++) {
		uint32_t now = archives ? fare_books_log_number(b->books) : log;
		if (s < CHECKPOINT_S && now == log)
			continue;
		if (fare_checkpointer_once(b) != 0)
			fare_writer_failed("checkpoint");
		log = now;
		s = 0;
	}
	return NULL;
}

void fare_checkpointer_settings(struct fare_bank *b)
{
	struct fare_checkpointer *c = &b->checkpointer;
	pthread_mutex_lock(&c->lock);
	memcpy(c->archive, b->conf.log_archive, sizeof c->archive);
	c->archive_days = (unsigned)b->conf.log_archive_days;
	pthread_mutex_unlock(&c->lock);
}

void fare_checkpointer_start(struct fare_bank *b)
{
	struct fare_checkpointer *c = &b->checkpointer;
	pthread_condattr_t monotonic;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&c->stop, &monotonic);
	pthread_condattr_destroy(&monotonic);
	fare_checkpointer_settings(b);
	if (pthread_create(&c->thread, NULL, checkpoint_all, b) != 0)
		fare_fatal("no thread for checkpoints");
}

void fare_checkpointer_stop(struct fare_bank *b)
{
	struct fare_checkpointer *c = &b->checkpointer;
	pthread_mutex_lock(&c->lock);
	c->stopping = true;
	pthread_cond_signal(&c->stop);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
}

/* ---- On the decider's thread */

void fare_checkpointer_say(const struct fare_bank *b, char *text, size_t size)
{
	snprintf(text, size, "logs cannot be put into the archive %.150s and stay in the store: %s", b->conf.log_archive, strerror(atomic_load(&b->checkpointer.archive_error)));
}

void fare_checkpointer_tick(struct fare_bank *b)
{
	struct fare_checkpointer *c = &b->checkpointer;
	char text[FARE_ERROR_N];
	bool fails = atomic_load(&c->archive_error) != 0;
	fare_checkpointer_say(b, text, sizeof text);
	if (fails && !c->told)
		fare_alarms_raise(b, &(struct fare_alarm){.what = FARE_ALARM_LOG_ARCHIVE, .text = text});
	else if (!fails && c->told)
		fare_log(FARE_WARN, "logs are put into the archive again");
	c->told = fails;
}
