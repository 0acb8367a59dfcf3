/* Catalogues as workers see them. */
#include "base/first.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "bank/board_inner.h"

struct fare_catalog {
	const char *map;
	size_t n, count;
	uint64_t generation;
	unsigned users;
	bool current;
};

struct fare_catalogs {
	char run[FARE_PATH_N];
	pthread_mutex_t lock;
	const struct fare_board_page *page; /* NULL: not mapped yet */
	struct fare_catalog *current;
};

static const void *map_file(const char *path, size_t least, size_t *n)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return NULL;
	void *p = MAP_FAILED;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (size_t)st.st_size >= least) {
		*n = (size_t)st.st_size;
		p = mmap(NULL, *n, PROT_READ, MAP_SHARED, fd, 0);
	}
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

struct fare_catalogs *fare_catalogs_new(const char *run)
{
	struct fare_catalogs *c = fare_alloc(sizeof *c);
	if (!fare_span_copy(fare_span_of(run), c->run, sizeof c->run))
		fare_fatal("the run folder's path is too long");
	pthread_mutex_init(&c->lock, NULL);
	return c;
}

static void drop(struct fare_catalog *k)
{
	munmap((void *)(uintptr_t)k->map, k->n);
	free(k);
}

void fare_catalogs_free(struct fare_catalogs **catalogs)
{
	struct fare_catalogs *c = *catalogs;
	*catalogs = NULL;
	if (!c)
		return;
	if (c->current)
		drop(c->current);
	if (c->page)
		munmap((void *)(uintptr_t)c->page, FARE_BOARD_BYTES);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static bool board_look(struct fare_catalogs *c, uint64_t *generation)
{
	char path[FARE_PATH_N];
	size_t n;
	if (!c->page && fare_path(path, sizeof path, c->run, "board"))
		c->page = map_file(path, FARE_BOARD_BYTES, &n);
	if (!c->page || memcmp(c->page->magic, FARE_BOARD_MAGIC, sizeof c->page->magic) != 0)
		return false;
	*generation = atomic_load_explicit(&c->page->catalogue, memory_order_acquire);
	return *generation > 0;
}

static struct fare_catalog *load(const char *run, uint64_t generation)
{
	char path[FARE_PATH_N];
	struct fare_catalog *k = fare_alloc(sizeof *k);
	const struct fare_catalog_head *head;
	fare_catalog_path(path, run, generation);
	k->generation = generation;
	k->map = map_file(path, sizeof *head, &k->n);
	head = (const void *)k->map;
	if (head && memcmp(head->magic, FARE_CATALOG_MAGIC, sizeof head->magic) == 0 && head->count <= (k->n - sizeof *head) / sizeof(struct fare_catalog_row) &&
		(head->count == 0 || k->map[k->n - 1] == '\0')) {
		k->count = (size_t)head->count;
		return k;
	}
	if (k->map)
		drop(k);
	else
		free(k);
	return NULL;
}

static void replace(struct fare_catalogs *c, struct fare_catalog *k)
{
	if (c->current && c->current->users == 0)
		drop(c->current);
	else if (c->current)
		c->current->current = false;
	k->current = true;
	c->current = k;
}

const struct fare_catalog *fare_catalog_get(struct fare_catalogs *c)
{
	enum { TRIES = 3 }; /* a generation may go away between the look at the board and the opening */
	uint64_t generation;
	pthread_mutex_lock(&c->lock);
	for (int i = 0; i < TRIES && board_look(c, &generation) && !(c->current && c->current->generation == generation); i++) {
		struct fare_catalog *k = load(c->run, generation);
		if (k)
			replace(c, k);
	}
	if (c->current)
		c->current->users++;
	const struct fare_catalog *got = c->current;
	pthread_mutex_unlock(&c->lock);
	return got;
}

void fare_catalog_put(struct fare_catalogs *c, const struct fare_catalog *held)
{
	if (!held)
		return;
	struct fare_catalog *k = (struct fare_catalog *)(uintptr_t)held;
	pthread_mutex_lock(&c->lock);
	if (--k->users == 0 && !k->current)
		drop(k);
	pthread_mutex_unlock(&c->lock);
}

size_t fare_catalog_count(const struct fare_catalog *k) { return k->count; }

bool fare_catalog_item(const struct fare_catalog *k, size_t i, struct fare_catalog_item *out)
{
	struct fare_catalog_row row;
	if (i >= k->count)
		return false;
	memcpy(&row, k->map + sizeof(struct fare_catalog_head) + i * sizeof row, sizeof row);
	if (row.name >= k->n || row.owner >= k->n)
		return false;
	*out = (struct fare_catalog_item){k->map + row.name, k->map + row.owner, row.created_ms};
	return true;
}

bool fare_catalog_find(const struct fare_catalog *k, struct fare_span name, struct fare_catalog_item *out)
{
	size_t low = 0, high = k->count;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (!fare_catalog_item(k, mid, out))
			return false;
		struct fare_span have = fare_span_of(out->name);
		int order = memcmp(have.p, name.p, have.n < name.n ? have.n : name.n);
		if (order == 0 && have.n == name.n)
			return true;
		if (order < 0 || (order == 0 && have.n < name.n))
			low = mid + 1;
		else
			high = mid;
	}
	return false;
}
