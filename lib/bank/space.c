/* How much room the store has: looked at each second, on a thread of its own, because a file system may take its time to say so. */
#include "base/first.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "bank/server_inner.h"

/* A run folder with a file system of its own needs room for meters, a catalogue and logs only: it may be small. */
enum { LOOK_S = 1, RUN_RESERVE_BYTES = 4 << 20, BACK_PART = 8 /* good again with this part more than the reserve */ };

struct room { uint64_t dev, free; bool read_only; };

static bool room_of(const char *path, struct room *r)
{
	struct stat st;
	struct statvfs fs;
	if (stat(path, &st) != 0 || statvfs(path, &fs) != 0)
		return false;
	*r = (struct room){.dev = st.st_dev, .free = (uint64_t)fs.f_bavail * fs.f_frsize, .read_only = (fs.f_flag & ST_RDONLY) != 0};
	return true;
}

static bool is_short(uint64_t free, uint64_t reserve, bool before) { return free < (before ? reserve + reserve / BACK_PART : reserve); }

/* What cannot be looked at stays as it was seen last. */
void fare_space_look(struct fare_bank *b)
{
	struct fare_space *s = &b->space;
	char store[FARE_PATH_N], log[FARE_PATH_N];
	struct room in, logs, run;
	uint64_t reserve = atomic_load(&s->reserve), run_reserve = reserve < RUN_RESERVE_BYTES ? reserve : RUN_RESERVE_BYTES;
	bool before = atomic_load(&s->room) == FARE_ROOM_FULL;
	if (!fare_path(store, sizeof store, s->home, "store") || !fare_path(log, sizeof log, store, "log") || !room_of(store, &in) || !room_of(log, &logs) || !room_of(s->run, &run))
		return;
	uint64_t least = in.free < logs.free ? in.free : logs.free;
	bool full = is_short(least, reserve, before) || (run.dev != in.dev && is_short(run.free, run_reserve, before));
	atomic_store(&s->free, least);
	atomic_store(&s->run_free, run.free);
	atomic_store(&s->room, in.read_only || logs.read_only ? FARE_ROOM_READ_ONLY : full ? FARE_ROOM_FULL : FARE_ROOM_GOOD);
}

static void *look_all(void *bank)
{
	struct fare_bank *b = bank;
	struct fare_space *s = &b->space;
	for (;;) {
		struct timespec until;
		int e = 0;
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_sec += LOOK_S;
		pthread_mutex_lock(&s->lock);
		while (!s->stopping && e != ETIMEDOUT)
			e = pthread_cond_timedwait(&s->stop, &s->lock, &until);
		bool stop = s->stopping;
		pthread_mutex_unlock(&s->lock);
		if (stop)
			return NULL;
		fare_space_look(b);
	}
}

void fare_space_start(struct fare_bank *b)
{
	struct fare_space *s = &b->space;
	pthread_condattr_t monotonic;
	memcpy(s->home, b->conf.home, sizeof s->home);
	memcpy(s->run, b->conf.run, sizeof s->run);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&s->stop, &monotonic);
	pthread_condattr_destroy(&monotonic);
	fare_space_look(b); /* before the first admission */
	if (pthread_create(&s->thread, NULL, look_all, b) != 0)
		fare_fatal("no thread to watch the disk");
}

void fare_space_stop(struct fare_bank *b)
{
	struct fare_space *s = &b->space;
	pthread_mutex_lock(&s->lock);
	s->stopping = true;
	pthread_cond_signal(&s->stop);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
}

/* ---- On the decider's thread */

static const char *const states[] = {[FARE_ROOM_GOOD] = "good", [FARE_ROOM_FULL] = "full", [FARE_ROOM_READ_ONLY] = "read_only"};

void fare_space_say(const struct fare_bank *b, char *text, size_t size)
{
	const struct fare_space *s = &b->space;
	if (b->d.room == FARE_ROOM_READ_ONLY)
		snprintf(text, size, "the store's disk is read-only: nothing new is taken until it can be written");
	else
		snprintf(text, size, "the disk is nearly full: %llu MiB are free for the store and %llu MiB for the run folder, the reserve (store_reserve_bytes) is %llu MiB: nothing new is taken until there is room",
			(unsigned long long)(atomic_load(&s->free) >> 20), (unsigned long long)(atomic_load(&s->run_free) >> 20), (unsigned long long)(atomic_load(&s->reserve) >> 20));
}

void fare_space_tick(struct fare_bank *b)
{
	uint8_t was = b->d.room;
	char text[FARE_ERROR_N];
	b->d.room = atomic_load(&b->space.room);
	if (b->d.room == was)
		return;
	fare_space_say(b, text, sizeof text);
	if (b->d.room == FARE_ROOM_GOOD)
		fare_log(FARE_WARN, "the store's disk has room again: calls are admitted");
	else
		fare_alarms_raise(b, &(struct fare_alarm){.what = FARE_ALARM_STORE_FULL, .text = text});
}

void fare_space_json(const struct fare_bank *b, struct fare_buf *out)
{
	const struct fare_space *s = &b->space;
	fare_buf_addf(out, ", \"disk\": {\"room\": \"%s\", \"free_bytes\": %llu, \"run_free_bytes\": %llu, \"reserve_bytes\": %llu}", states[b->d.room], (unsigned long long)atomic_load(&s->free),
		(unsigned long long)atomic_load(&s->run_free), (unsigned long long)atomic_load(&s->reserve));
}
