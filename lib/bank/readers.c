/* The readers' threads. */
#include "base/first.h"

#include "base/log.h"
#include "bank/server_inner.h"

static void came_back(struct fare_post_node *node)
{
	struct fare_reading *r = (struct fare_reading *)(void *)((char *)node - offsetof(struct fare_reading, node));
	r->bank->readers.busy--;
	r->back(r);
}

static void *read_all(void *bank)
{
	struct fare_bank *b = bank;
	struct fare_readers *all = &b->readers;
	for (;;) {
		pthread_mutex_lock(&all->lock);
		while (!all->first && !all->stopping)
			pthread_cond_wait(&all->more, &all->lock);
		struct fare_reading *r = all->stopping ? NULL : all->first;
		if (r) {
			all->first = r->next;
			if (!all->first)
				all->last = &all->first;
		}
		pthread_mutex_unlock(&all->lock);
		if (!r)
			return NULL;
		r->read(r);
		fare_loop_post(b->loop, &r->node);
	}
}

void fare_read(struct fare_bank *b, struct fare_reading *r)
{
	struct fare_readers *all = &b->readers;
	r->bank = b;
	r->next = NULL;
	r->node.fn = came_back;
	all->busy++;
	pthread_mutex_lock(&all->lock);
	*all->last = r;
	all->last = &r->next;
	pthread_cond_signal(&all->more);
	pthread_mutex_unlock(&all->lock);
}

void fare_readers_start(struct fare_bank *b)
{
	struct fare_readers *all = &b->readers;
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->more, NULL);
	all->last = &all->first;
	for (size_t i = 0; i < FARE_READERS_N; i++)
		if (pthread_create(&all->threads[i], NULL, read_all, b) != 0)
			fare_fatal("no thread for a reader");
}

void fare_readers_stop(struct fare_bank *b)
{
	struct fare_readers *all = &b->readers;
	pthread_mutex_lock(&all->lock);
	all->stopping = true;
	pthread_cond_broadcast(&all->more);
	pthread_mutex_unlock(&all->lock);
	for (size_t i = 0; i < FARE_READERS_N; i++)
		pthread_join(all->threads[i], NULL);
}
