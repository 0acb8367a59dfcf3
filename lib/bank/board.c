/* The board and the publishing of catalogues: the bank's side. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "bank/board_inner.h"

enum { CATALOG_BYTES_MAX = 64 * 1024 * 1024 };

struct fare_board {
	char run[FARE_PATH_N];
	struct fare_board_page *page;
};

struct fare_board_page *fare_board_page(struct fare_board *b) { return b->page; }

static void page_begin(struct fare_board_page *p, const uint8_t store[16], const uint8_t epoch[16])
{
	uint64_t generation = memcmp(p->magic, FARE_BOARD_MAGIC, sizeof p->magic) == 0 ? atomic_load(&p->catalogue) : 0;
	memcpy(p->store, store, sizeof p->store);
	memcpy(p->epoch, epoch, sizeof p->epoch);
	atomic_store(&p->catalogue, generation);
	memcpy(p->magic, FARE_BOARD_MAGIC, sizeof p->magic);
}

/* One that somebody else made could be cut short by him under our feet. */
static int open_own(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd >= 0 && fare_file_is_own(fd))
		return fd;
	if (fd >= 0)
		close(fd);
	return fare_file_make(path, 0644);
}

struct fare_board *fare_board_open(const char *run, const uint8_t store[16], const uint8_t epoch[16], char error[FARE_ERROR_N])
{
	struct fare_board *b = fare_alloc(sizeof *b);
	char path[FARE_PATH_N];
	int fd = -1, e = ENAMETOOLONG;
	void *p = MAP_FAILED;
	if (fare_span_copy(fare_span_of(run), b->run, sizeof b->run) && fare_path(path, sizeof path, run, "board")) {
		/* The same file for ever: workers that have it mapped see the next bank's figures. */
		fd = open_own(path);
		e = fd < 0 ? errno : posix_fallocate(fd, 0, FARE_BOARD_BYTES);
	}
	if (fd >= 0 && e == 0) {
		p = mmap(NULL, FARE_BOARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		e = errno;
	}
	if (fd >= 0)
		close(fd);
	if (p == MAP_FAILED) {
		snprintf(error, FARE_ERROR_N, "the board cannot be made in %.150s: %s", run, strerror(e));
		free(b);
		return NULL;
	}
	b->page = p;
	page_begin(b->page, store, epoch);
	return b;
}

void fare_board_close(struct fare_board **b)
{
	if (*b)
		munmap((*b)->page, FARE_BOARD_BYTES);
	free(*b);
	*b = NULL;
}

void fare_catalog_path(char out[FARE_PATH_N], const char *run, uint64_t generation)
{
	int n = snprintf(out, FARE_PATH_N, "%s/catalog.%llu", run, (unsigned long long)generation);
	if (n < 0 || n >= FARE_PATH_N)
		out[0] = '\0';
}

static bool pack(struct fare_buf *out, const struct fare_catalog_item *items, size_t n)
{
	struct fare_catalog_head head = {.count = n};
	uint64_t at = sizeof head + n * sizeof(struct fare_catalog_row);
	memcpy(head.magic, FARE_CATALOG_MAGIC, sizeof head.magic);
	fare_buf_add(out, &head, sizeof head);
	for (size_t i = 0; i < n; i++) {
		struct fare_catalog_row row = {.created_ms = items[i].created_ms, .name = (uint32_t)at};
		at += strlen(items[i].name) + 1;
		row.owner = (uint32_t)at;
		at += strlen(items[i].owner) + 1;
		fare_buf_add(out, &row, sizeof row);
	}
	for (size_t i = 0; i < n; i++) {
		fare_buf_add(out, items[i].name, strlen(items[i].name) + 1);
		fare_buf_add(out, items[i].owner, strlen(items[i].owner) + 1);
	}
	return !out->failed;
}

/* No fsync: the next bank writes it anew. */
static bool write_file(const char *path, const struct fare_buf *bytes)
{
	char other[FARE_PATH_N];
	int n = snprintf(other, sizeof other, "%s.new", path);
	if (n < 0 || (size_t)n >= sizeof other)
		return false;
	int fd = fare_file_make(other, 0644);
	if (fd < 0)
		return false;
	bool ok = fare_write_all(fd, bytes->p, bytes->n);
	return (close(fd) == 0) & ok && rename(other, path) == 0;
}

bool fare_board_publish(struct fare_board *b, const struct fare_catalog_item *items, size_t n)
{
	enum { KEPT = 2 };
	struct fare_buf bytes;
	char path[FARE_PATH_N];
	uint64_t next = atomic_load(&b->page->catalogue) + 1;
	fare_buf_init(&bytes, CATALOG_BYTES_MAX);
	fare_catalog_path(path, b->run, next);
	bool ok = path[0] && pack(&bytes, items, n) && write_file(path, &bytes);
	fare_buf_release(&bytes);
	if (!ok) {
		fare_log(FARE_ALARM, "the catalogue cannot be published in %s: %s", b->run, strerror(errno));
		return false;
	}
	atomic_store_explicit(&b->page->catalogue, next, memory_order_release);
	if (next > KEPT) {
		fare_catalog_path(path, b->run, next - KEPT);
		unlink(path);
	}
	return true;
}
