/* The holds file. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "bank/holds.h"

struct head {
	char magic[8];
	uint8_t store[16], epoch[16], boot[16];
	uint64_t count;
	uint8_t reserved[192];
};
_Static_assert(sizeof(struct head) == 256, "the layout of holds is fixed");
static const char magic[8] = {'F', 'B', 'H', 'O', 'L', 'D', 'S', '1'};

static size_t file_size(uint64_t count) { return sizeof(struct head) + (size_t)count * sizeof(struct fare_hold); }

static bool ours(int fd, const struct head *want)
{
	struct head have;
	struct stat st;
	if (!fare_file_is_own(fd) || pread(fd, &have, sizeof have, 0) != (ssize_t)sizeof have || fstat(fd, &st) != 0)
		return false;
	return memcmp(&have, want, sizeof have) == 0 && (uint64_t)st.st_size == file_size(have.count);
}

static bool set_aside(const char *path)
{
	char other[FARE_PATH_N];
	int n = snprintf(other, sizeof other, "%s.aside.%llu", path, (unsigned long long)fare_clock_wall_ms());
	if (n < 0 || (size_t)n >= sizeof other || rename(path, other) != 0)
		return false;
	fare_log(FARE_WARN, "the holds file was of another store or boot: set aside as %s", other);
	return true;
}

/* Made under another name: a holds file that has its name is whole. */
static int make(const char *path, const struct head *head)
{
	char other[FARE_PATH_N];
	int n = snprintf(other, sizeof other, "%s.new", path);
	if (n < 0 || (size_t)n >= sizeof other)
		return -1;
	int fd = fare_file_make(other, 0600);
	if (fd < 0)
		return -1;
	int e = posix_fallocate(fd, 0, (off_t)file_size(head->count));
	if (e == 0 && pwrite(fd, head, sizeof *head, 0) == (ssize_t)sizeof *head && rename(other, path) == 0)
		return fd;
	if (e)
		errno = e;
	close(fd);
	return -1;
}

static int open_or_make(const char *path, const struct head *head)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno == ENOENT ? make(path, head) : -1;
	if (ours(fd, head))
		return fd;
	close(fd);
	return set_aside(path) ? make(path, head) : -1;
}

static void list_free(struct fare_holds *h)
{
	h->free = fare_alloc(h->count * sizeof *h->free);
	uint32_t n = 0;
	for (uint32_t i = h->count; i-- > 0;) {
		if (atomic_load(&h->records[i].state) == FARE_HOLD_FREE)
			h->free[n++] = i;
	}
	h->used = h->count - n;
}

static bool head_of(struct head *head, const uint8_t store[16], const uint8_t epoch[16], uint32_t count)
{
	*head = (struct head){.count = count};
	memcpy(head->magic, magic, sizeof magic);
	memcpy(head->store, store, sizeof head->store);
	memcpy(head->epoch, epoch, sizeof head->epoch);
	return fare_clock_boot_id(head->boot);
}

bool fare_holds_are_there(const char *path, const uint8_t store[16], const uint8_t epoch[16], uint32_t count)
{
	struct head head;
	int fd = head_of(&head, store, epoch, count) ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	bool there = fd >= 0 && ours(fd, &head);
	if (fd >= 0)
		close(fd);
	return there;
}

bool fare_holds_open(struct fare_holds *h, const char *path, const uint8_t store[16], const uint8_t epoch[16], uint32_t count, char error[FARE_ERROR_N])
{
	struct head head;
	*h = (struct fare_holds){.count = count, .fd = -1};
	if (!path) {
		h->records = fare_alloc(count * sizeof *h->records);
		list_free(h);
		return true;
	}
	bool ok = head_of(&head, store, epoch, count);
	h->fd = ok ? open_or_make(path, &head) : -1;
	h->map = h->fd >= 0 ? mmap(NULL, file_size(count), PROT_READ | PROT_WRITE, MAP_SHARED, h->fd, 0) : MAP_FAILED;
	if (h->map == MAP_FAILED) {
		snprintf(error, FARE_ERROR_N, "the holds file %.150s cannot be opened: %s", path, strerror(errno));
		if (h->fd >= 0)
			close(h->fd);
		return false;
	}
	h->records = (struct fare_hold *)(void *)((char *)h->map + sizeof(struct head));
	list_free(h);
	return true;
}

void fare_holds_close(struct fare_holds *h)
{
	if (h->map)
		munmap(h->map, file_size(h->count));
	else
		free(h->records);
	if (h->fd >= 0)
		close(h->fd);
	free(h->free);
	*h = (struct fare_holds){.fd = -1};
}

struct fare_hold *fare_holds_take(struct fare_holds *h)
{
	if (h->used == h->count)
		return NULL;
	h->used++;
	return &h->records[h->free[h->count - h->used]];
}

void fare_holds_write_live(struct fare_hold *r) { atomic_store_explicit(&r->state, FARE_HOLD_LIVE, memory_order_release); }
void fare_holds_write_grown(struct fare_hold *r, int64_t hold_nano, uint64_t held_output)
{
	__atomic_store_n(&r->hold_nano, hold_nano, __ATOMIC_RELEASE);
	__atomic_store_n(&r->held_output, held_output, __ATOMIC_RELEASE);
}

void fare_holds_write_decided(struct fare_hold *r) { atomic_store_explicit(&r->state, FARE_HOLD_DECIDED, memory_order_release); }

void fare_holds_free(struct fare_holds *h, struct fare_hold *r)
{
	atomic_store_explicit(&r->state, FARE_HOLD_FREE, memory_order_release);
	h->free[h->count - h->used] = (uint32_t)(r - h->records);
	h->used--;
}
