/* Meter files: made by a worker, read by the bank. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "store/records.h"
#include "bank/meter.h"

static const char magic[8] = {'F', 'B', 'M', 'E', 'T', 'E', 'R', '1'};

void fare_meter_name(char out[FARE_METER_NAME_N], unsigned worker_no, struct fare_id incarnation)
{
	char id[FARE_ID_TEXT_N];
	fare_id_text(incarnation, id);
	snprintf(out, FARE_METER_NAME_N, "meter.%u.%s", worker_no, id);
}

bool fare_meter_name_parse(const char *name, unsigned *worker_no, struct fare_id *incarnation)
{
	struct fare_span s = fare_span_of(name);
	if (!fare_span_starts(s, "meter."))
		return false;
	const char *number = name + 6, *dot = strchr(number, '.');
	uint64_t no;
	if (!dot || !fare_num_u64(fare_span_at(number, (size_t)(dot - number)), 0, UINT32_MAX, &no) || !fare_id_parse(fare_span_of(dot + 1), incarnation))
		return false;
	*worker_no = (unsigned)no;
	return true;
}

static size_t file_size(unsigned slots) { return sizeof(struct fare_meter_head) + slots * sizeof(struct fare_meter_slot); }

static bool file_begin(int fd, struct fare_id incarnation, unsigned worker_no, unsigned slots)
{
	struct fare_meter_head head = {.worker_no = worker_no, .slots = slots, .pid = (uint64_t)getpid()};
	memcpy(head.magic, magic, sizeof magic);
	memcpy(head.incarnation, incarnation.b, sizeof incarnation.b);
	if (!fare_clock_boot_id(head.boot))
		return false;
	/* Space is taken now: a full disk must not kill the worker with SIGBUS later. */
	int e = posix_fallocate(fd, 0, (off_t)file_size(slots));
	if (e) {
		errno = e;
		return false;
	}
	return pwrite(fd, &head, sizeof head, 0) == (ssize_t)sizeof head && flock(fd, LOCK_EX | LOCK_NB) == 0;
}

struct fare_meter_slot *fare_meter_make(const char *run, struct fare_id incarnation, unsigned worker_no, unsigned slots, int *fd)
{
	char name[FARE_METER_NAME_N], made[FARE_METER_NAME_N + 8], path[FARE_PATH_N], other[FARE_PATH_N];
	fare_meter_name(name, worker_no, incarnation);
	snprintf(made, sizeof made, "new.%s", name);
	if (!fare_path(path, sizeof path, run, name) || !fare_path(other, sizeof other, run, made)) {
		errno = ENAMETOOLONG;
		return NULL;
	}
	*fd = open(other, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (*fd < 0)
		return NULL;
	void *p = MAP_FAILED;
	if (file_begin(*fd, incarnation, worker_no, slots))
		p = mmap(NULL, file_size(slots), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
	if (p != MAP_FAILED && fchmod(*fd, 0644) == 0 && rename(other, path) == 0)
		return (struct fare_meter_slot *)(void *)((char *)p + sizeof(struct fare_meter_head));
	int saved = errno;
	if (p != MAP_FAILED)
		munmap(p, file_size(slots));
	unlink(other);
	close(*fd);
	*fd = -1;
	errno = saved;
	return NULL;
}

void fare_meter_unmap(struct fare_meter_slot *slots, unsigned count, int *fd)
{
	if (slots)
		munmap((char *)slots - sizeof(struct fare_meter_head), file_size(count));
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

bool fare_meter_head(int fd, struct fare_meter_head *head) { return pread(fd, head, sizeof *head, 0) == (ssize_t)sizeof *head; }

static bool head_fits(int fd, unsigned worker_no, struct fare_id incarnation, struct fare_meter_head *head)
{
	uint8_t boot[FARE_BOOT_ID_N];
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && fare_meter_head(fd, head) && memcmp(head->magic, magic, sizeof magic) == 0 &&
	       fare_clock_boot_id(boot) && memcmp(head->boot, boot, sizeof boot) == 0 && head->worker_no == worker_no &&
	       memcmp(head->incarnation, incarnation.b, sizeof incarnation.b) == 0;
}

int fare_meter_open(const char *run, unsigned worker_no, struct fare_id incarnation, struct fare_meter_head *head)
{
	char name[FARE_METER_NAME_N], path[FARE_PATH_N];
	fare_meter_name(name, worker_no, incarnation);
	if (!fare_path(path, sizeof path, run, name))
		return -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd >= 0 && !head_fits(fd, worker_no, incarnation, head)) {
		close(fd);
		fd = -1;
		errno = EINVAL;
	}
	return fd;
}

static bool sane(const struct fare_meter_slot *s)
{
	uint64_t most = 1ull << FARE_TOKENS_MAX_LOG2;
	uint64_t state = atomic_load(&s->state), ending = atomic_load(&s->ending);
	if (state < FARE_METER_IDLE || state > FARE_METER_FINAL || ending >= FARE_ENDING_N || (state == FARE_METER_FINAL && ending == FARE_ENDING_NONE))
		return false;
	if (atomic_load(&s->flags) & ~(uint64_t)(FARE_METER_REPORTED | FARE_METER_CLAMPED))
		return false;
	return atomic_load(&s->input) <= most && atomic_load(&s->output) <= most && atomic_load(&s->cached) <= most && atomic_load(&s->cache_write) <= most &&
	       atomic_load(&s->reasoning) <= most && atomic_load(&s->received) <= INT64_MAX && atomic_load(&s->relayed_text) <= INT64_MAX && atomic_load(&s->prompt_text) <= INT64_MAX && atomic_load(&s->upstream_status) <= 999 &&
	       atomic_load(&s->answer) <= FARE_ANSWER_MAX;
}

bool fare_meter_read(int fd, unsigned slot, struct fare_id expected, struct fare_meter_reading *out)
{
	struct fare_meter_slot s;
	*out = (struct fare_meter_reading){.call_id = expected};
	if (fd < 0 || pread(fd, &s, sizeof s, (off_t)file_size(slot)) != (ssize_t)sizeof s)
		return false;
	if (memcmp(s.call_id, expected.b, sizeof expected.b) != 0 || !sane(&s))
		return false;
	out->state = atomic_load(&s.state);
	out->ending = (uint8_t)(out->state == FARE_METER_FINAL ? atomic_load(&s.ending) : FARE_ENDING_NONE);
	out->answer_n = (uint32_t)(out->state == FARE_METER_FINAL ? atomic_load(&s.answer) : 0);
	out->flags = atomic_load(&s.flags);
	out->received = atomic_load(&s.received);
	out->relayed_text = atomic_load(&s.relayed_text);
	out->prompt_text = atomic_load(&s.prompt_text);
	out->upstream_status = atomic_load(&s.upstream_status);
	if (out->flags & FARE_METER_REPORTED)
		out->usage = (struct fare_usage){atomic_load(&s.input), atomic_load(&s.output), atomic_load(&s.cached), atomic_load(&s.cache_write), atomic_load(&s.reasoning)};
	return true;
}

bool fare_meter_is_dead(int fd) { return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0; }

const char *fare_meter_word(uint64_t state)
{
	static const char *const words[] = {"idle", "idle", "sent", "streaming", "final"};
	return state < FARE_ARRAY_N(words) ? words[state] : "idle";
}
