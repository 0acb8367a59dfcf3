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

static struct fare_reading *take(struct fare_reading_list *from)
{
	struct fare_reading *r = from->first;
	from->first = r->next;
	if (!from->first)
		from->last = &from->first;
	return r;
}

static void read_on(struct fare_bank *b, bool quick_only)
{
	struct fare_readers *all = &b->readers;
	for (;;) {
		pthread_mutex_lock(&all->lock);
		while (!all->quick.first && (quick_only || !all->slow.first) && !all->stopping)
			pthread_cond_wait(&all->more, &all->lock);
		/* Whoever may scan does that first: a flood of quick ones, which have a thread of their own, must not keep operators out. */
		struct fare_reading *r = all->stopping ? NULL : take(!quick_only && all->slow.first ? &all->slow : &all->quick);
		pthread_mutex_unlock(&all->lock);
		if (!r)
			return;
		r->read(r);
		fare_loop_post(b->loop, &r->node);
	}
}

static void *read_all(void *bank)
{
	read_on(bank, false);
	return NULL;
}

static void *read_quick(void *bank)
{
	read_on(bank, true);
	return NULL;
}

void fare_read(struct fare_bank *b, struct fare_reading *r)
{
	struct fare_readers *all = &b->readers;
	struct fare_reading_list *to = r->quick ? &all->quick : &all->slow;
	r->bank = b;
	r->next = NULL;
	r->node.fn = came_back;
	all->busy++;
	pthread_mutex_lock(&all->lock);
	*to->last = r;
	to->last = &r->next;
	pthread_cond_broadcast(&all->more);
	pthread_mutex_unlock(&all->lock);
}

void fare_readers_start(struct fare_bank *b)
{
	struct fare_readers *all = &b->readers;
	pthread_mutex_init(&all->lock, NULL);
	pthread_cond_init(&all->more, NULL);
	all->quick.last = &all->quick.first;
	all->slow.last = &all->slow.first;
	for (size_t i = 0; i < FARE_READERS_N; i++)
		if (pthread_create(&all->threads[i], NULL, i == 0 ? read_quick : read_all, b) != 0)
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
