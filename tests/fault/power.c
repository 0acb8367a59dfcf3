/* What was not synced is lost, and calls fail. */
#include "base/first.h"

#include <db.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "power.h"

enum { FILES_MAX = 256, PATH_N = 512, BYTES_MAX = 512 << 20, LOG_BLOCK = 512, PAGE_BLOCK = 4096 };

ssize_t __real_pread(int fd, void *b, size_t n, off_t at);

struct file { dev_t dev; ino_t ino; char path[PATH_N]; bool is_new, gone; off_t synced_size; };

/* A write or a truncation, with what it replaced. */
struct undo { size_t before; /* where the undo before it is */ unsigned file; bool synced, dropped; /* dropped: its sync failed, and no later one is for it */ off_t at, old_size; size_t n, old_n; uint8_t old[]; };

static struct state {
	unsigned ops, ops_max, files_n, removed_n;
	struct { enum power_kind kind; unsigned left; int error; bool for_ever, struck; } failing; /* left: until it strikes; 0: never */
	size_t used, last; /* 0: none */
	struct file files[FILES_MAX]; /* seen in this life of the process */
	char removed[FILES_MAX][PATH_N];
	uint8_t bytes[];
} *p;


static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "power: %s: %s\n", what, strerror(errno));
	_exit(99);
}

void power_init(void)
{
	p = mmap(NULL, sizeof *p + BYTES_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(p != MAP_FAILED, "mmap");
	p->used = 16;
}

unsigned power_ops(void) { return p->ops; }

static void doing(void)
{
	p->ops++;
	if (p->ops_max && p->ops >= p->ops_max)
		kill(getpid(), SIGKILL);
}

/* True, with errno: this call fails. */
static bool fails(enum power_kind kind)
{
	if (p->failing.left == 0 || p->failing.kind != kind || (p->failing.left > 1 && p->failing.left--))
		return false;
	p->failing.struck = true;
	if (!p->failing.for_ever)
		p->failing.left = 0;
	errno = p->failing.error;
	return true;
}

static unsigned file_of(int fd)
{
	struct stat st;
	char link[64];
	must(fstat(fd, &st) == 0, "fstat");
	for (unsigned i = 0; i < p->files_n; i++)
		if (!p->files[i].gone && p->files[i].dev == st.st_dev && p->files[i].ino == st.st_ino)
			return i;
	must(p->files_n < FILES_MAX, "too many files");
	struct file *f = &p->files[p->files_n];
	*f = (struct file){.dev = st.st_dev, .ino = st.st_ino, .synced_size = st.st_size};
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	must(readlink(link, f->path, PATH_N - 1) > 0, "readlink");
	return p->files_n++;
}

/* What stands in [at, at + n) now. */
static void note(int fd, off_t at, size_t n)
{
	struct stat st;
	must(fstat(fd, &st) == 0 && p->used + sizeof(struct undo) + n + 16 < BYTES_MAX, "no room for what was");
	struct undo *u = (struct undo *)(void *)(p->bytes + p->used);
	*u = (struct undo){.before = p->last, .file = file_of(fd), .at = at, .n = n, .old_size = st.st_size};
	ssize_t got = __real_pread(fd, u->old, n, at);
	must(got >= 0, "pread");
	u->old_n = (size_t)got;
	p->last = p->used;
	p->used += (sizeof *u + n + 15) & ~(size_t)15;
}

/* Recovery writes zeros over the rest of the log, block by block: of such a run only one in many counts, else cuts would fall nowhere else. */
static void doing_write(int fd, const uint8_t *b, size_t n)
{
	enum { RUN_COUNTS = 512 };
	static int last_fd = -1;
	static unsigned run;
	bool zeros = n > 0 && b[0] == 0 && memcmp(b, b + 1, n - 1) == 0;
	run = fd == last_fd && zeros ? run + 1 : 0;
	last_fd = fd;
	if (run % RUN_COUNTS == 0)
		doing();
}

static bool is_log(int fd)
{
	const char *path = p->files[file_of(fd)].path, *name = strrchr(path, '/');
	return name && strncmp(name, "/log.", 5) == 0;
}

/* One that fails has written some of it. */
static ssize_t on_pwrite(int fd, const void *b, size_t n, off_t at)
{
	doing_write(fd, b, n);
	note(fd, at, n);
	if (!fails(is_log(fd) ? POWER_WRITE_LOG : POWER_WRITE_DATA))
		return pwrite(fd, b, n, at);
	int e = errno;
	must(pwrite(fd, b, n / 2, at) >= 0, "pwrite");
	errno = e;
	return -1;
}

static ssize_t on_write(int fd, const void *b, size_t n)
{
	off_t at = lseek(fd, 0, SEEK_CUR);
	doing_write(fd, b, n);
	note(fd, at, n);
	return fails(is_log(fd) ? POWER_WRITE_LOG : POWER_WRITE_DATA) ? -1 : write(fd, b, n);
}

/* Berkeley DB tries once more, with read, and takes a hook of that for broken when it reads less than was asked for: so there is one only then. */
static ssize_t failing_read(int fd, void *b, size_t n)
{
	(void)fd;
	(void)b;
	(void)n;
	db_env_set_func_read(NULL);
	errno = p->failing.error;
	return -1;
}

ssize_t power_pread(int fd, void *b, size_t n, off_t at)
{
	if (!fails(POWER_READ))
		return __real_pread(fd, b, n, at);
	db_env_set_func_read(failing_read);
	return -1;
}

/* The real sync would only take time: this is what it is for. One that fails takes what it was for out of the kernel's memory of what is to be written. */
int power_fdatasync(int fd)
{
	struct stat st;
	doing();
	unsigned file = file_of(fd);
	bool failed = fails(is_log(fd) ? POWER_SYNC_LOG : POWER_SYNC_DATA);
	for (size_t at = p->last; at;) {
		struct undo *u = (struct undo *)(void *)(p->bytes + at);
		if (u->file == file && !u->synced && !u->dropped)
			*(failed ? &u->dropped : &u->synced) = true;
		at = u->before;
	}
	if (failed)
		return -1;
	must(fstat(fd, &st) == 0, "fstat");
	p->files[file].synced_size = st.st_size;
	p->files[file].is_new = false;
	return 0;
}

static int on_ftruncate(int fd, off_t size)
{
	struct stat st;
	doing();
	must(fstat(fd, &st) == 0, "fstat");
	if (fails(POWER_TRUNCATE))
		return errno;
	if (size < st.st_size)
		note(fd, size, (size_t)(st.st_size - size));
	else
		file_of(fd);
	return ftruncate(fd, size) == 0 ? 0 : errno;
}

static int on_open(const char *path, int flags, ...)
{
	va_list ap;
	va_start(ap, flags);
	mode_t mode = (flags & O_CREAT) ? va_arg(ap, mode_t) : 0;
	va_end(ap);
	bool is_new = (flags & O_CREAT) && access(path, F_OK) != 0;
	if (fails(POWER_OPEN))
		return -1;
	if (is_new)
		doing();
	int fd = open(path, flags, mode);
	if (fd >= 0 && is_new)
		p->files[file_of(fd)].is_new = true;
	return fd;
}

/* Kept under another name: it may come back. */
static int on_unlink(const char *path)
{
	char kept[PATH_N + 32];
	doing();
	must(p->removed_n < FILES_MAX && strlen(path) < PATH_N, "too many removed files");
	snprintf(kept, sizeof kept, "%s.removed.%u", path, p->removed_n);
	for (unsigned i = 0; i < p->files_n; i++)
		p->files[i].gone |= strcmp(p->files[i].path, path) == 0;
	if (rename(path, kept) != 0)
		return errno; /* Berkeley DB takes the error itself from these */
	snprintf(p->removed[p->removed_n++], PATH_N, "%s", path);
	return 0;
}

static int on_rename(const char *from, const char *to)
{
	doing();
	for (unsigned i = 0; i < p->files_n; i++)
		if (!p->files[i].gone && strcmp(p->files[i].path, from) == 0)
			snprintf(p->files[i].path, PATH_N, "%s", to);
	return rename(from, to) == 0 ? 0 : errno;
}

void power_hook(unsigned ops)
{
	p->ops = 0;
	p->ops_max = ops;
	memset(&p->failing, 0, sizeof p->failing);
	must(db_env_set_func_pwrite(on_pwrite) == 0 && db_env_set_func_write(on_write) == 0 && db_env_set_func_ftruncate(on_ftruncate) == 0 &&
		db_env_set_func_open(on_open) == 0 && db_env_set_func_unlink(on_unlink) == 0 && db_env_set_func_rename(on_rename) == 0, "hooks");
}

void power_fail(enum power_kind kind, unsigned nth, int error, bool for_ever)
{
	p->failing.kind = kind;
	p->failing.left = nth;
	p->failing.error = error;
	p->failing.for_ever = for_ever;
}

bool power_struck(void) { return p->failing.struck; }

void power_all_synced(void)
{
	p->files_n = 0;
	p->used = 16;
	p->last = 0;
}

/* ---- The cut */

enum { LOSE_NOTHING, LOSE_SOME, LOSE_ALL, LOSE_WAYS };

static bool lost(unsigned way, unsigned *seed) { return way == LOSE_ALL || (way == LOSE_SOME && rand_r(seed) % 2); }

static size_t block_of(const struct file *f)
{
	const char *name = strrchr(f->path, '/');
	return name && strncmp(name, "/log.", 5) == 0 ? LOG_BLOCK : PAGE_BLOCK;
}

static void take_back(int fd, const struct undo *u, size_t block, unsigned way, unsigned *seed)
{
	static const uint8_t zeros[PAGE_BLOCK];
	for (size_t i = 0; i < u->n;) {
		size_t n = block - (size_t)(u->at + (off_t)i) % block;
		if (n > u->n - i)
			n = u->n - i;
		size_t old = i >= u->old_n ? 0 : n > u->old_n - i ? u->old_n - i : n;
		if (lost(way, seed)) {
			must(pwrite(fd, u->old + i, old, u->at + (off_t)i) == (ssize_t)old, "take back");
			must(pwrite(fd, zeros, n - old, u->at + (off_t)(i + old)) == (ssize_t)(n - old), "take back");
		}
		i += n;
	}
}

static void cut_file(unsigned file, unsigned way, unsigned *seed)
{
	struct file *f = &p->files[file];
	struct stat st;
	int fd = f->gone ? -1 : open(f->path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	for (size_t at = p->last; at;) {
		const struct undo *u = (const struct undo *)(const void *)(p->bytes + at);
		if (u->file == file && !u->synced)
			take_back(fd, u, block_of(f), way, seed);
		at = u->before;
	}
	/* How long a file is may be lost too, and all of a file that nothing was synced of. */
	if (fstat(fd, &st) == 0 && st.st_size > f->synced_size && lost(way, seed))
		must(ftruncate(fd, f->synced_size) == 0, "ftruncate");
	close(fd);
	if (f->is_new && lost(way, seed))
		unlink(f->path);
}

void power_cut(unsigned *seed)
{
	unsigned way = (unsigned)rand_r(seed) % LOSE_WAYS;
	for (unsigned i = 0; i < p->files_n; i++)
		cut_file(i, way, seed);
	for (unsigned i = p->removed_n; i-- > 0;) {
		char kept[PATH_N + 32];
		snprintf(kept, sizeof kept, "%s.removed.%u", p->removed[i], i);
		if (lost(way, seed) && access(p->removed[i], F_OK) != 0)
			must(rename(kept, p->removed[i]) == 0 || errno == ENOENT, "rename");
		else
			unlink(kept);
	}
	p->removed_n = 0;
	power_all_synced();
}
