/* Files. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/num.h"

enum { READ_PIECE_N = 64 * 1024 };

bool fare_path(char *out, size_t size, const char *dir, const char *name)
{
	int n = snprintf(out, size, "%s/%s", dir, name);
	return n >= 0 && (size_t)n < size;
}

bool fare_fd_nonblock(int fd, bool on)
{
	int flags = fcntl(fd, F_GETFL);
	if (flags < 0)
		return false;
	flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, flags) == 0;
}

bool fare_write_all(int fd, const void *p, size_t n)
{
	const char *at = p;
	while (n > 0) {
		ssize_t put = write(fd, at, n);
		if (put >= 0) {
			at += put;
			n -= (size_t)put;
		} else if (errno == EAGAIN) {
			struct pollfd w = {.fd = fd, .events = POLLOUT};
			poll(&w, 1, -1);
		} else if (errno != EINTR) {
			return false;
		}
	}
	return true;
}

void fare_fd_limit_raise(void)
{
	struct rlimit r;
	if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= r.rlim_max)
		return;
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) != 0)
		fare_log(FARE_WARN, "descriptors stay limited: %s", strerror(errno));
}

static bool set_errno(int e)
{
	errno = e;
	return false;
}

/* Reads until the end; a full buffer is asked for one byte more, to tell "fits exactly" from "too large". */
static bool read_to_end(int fd, struct fare_buf *out)
{
	for (;;) {
		char extra;
		size_t room = out->max - out->n < READ_PIECE_N ? out->max - out->n : READ_PIECE_N;
		if (!fare_buf_reserve(out, room))
			return set_errno(ENOMEM);
		ssize_t got = room > 0 ? read(fd, out->p + out->n, room) : read(fd, &extra, 1);
		if (got == 0)
			return true;
		if (got < 0 && errno != EINTR)
			return false;
		if (got > 0 && room == 0)
			return set_errno(EFBIG);
		if (got > 0)
			out->n += (size_t)got;
	}
}

bool fare_file_read(const char *path, struct fare_buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool ok = read_to_end(fd, out);
	int saved = errno;
	close(fd);
	errno = saved;
	return ok;
}

/* Makes a rename in that folder durable. */
static bool sync_folder_of(const char *path)
{
	char dir[FARE_PATH_N];
	const char *slash = strrchr(path, '/');
	size_t n = !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
	if (!fare_span_copy(n > 0 ? fare_span_at(path, n) : fare_span_of("."), dir, sizeof dir))
		return set_errno(ENAMETOOLONG);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false;
	bool ok = fsync(fd) == 0;
	int saved = errno;
	close(fd);
	errno = saved;
	return ok;
}

bool fare_file_write(const char *path, const void *p, size_t n, mode_t mode)
{
	char other[FARE_PATH_N];
	int len = snprintf(other, sizeof other, "%s.XXXXXX", path);
	if (len < 0 || (size_t)len >= sizeof other)
		return set_errno(ENAMETOOLONG);
	int fd = mkostemp(other, O_CLOEXEC);
	if (fd < 0)
		return false;
	bool ok = fchmod(fd, mode) == 0 && fare_write_all(fd, p, n) && fsync(fd) == 0;
	int saved = errno;
	close(fd);
	errno = saved;
	if (ok && rename(other, path) == 0)
		return sync_folder_of(path);
	saved = errno;
	unlink(other);
	return set_errno(saved);
}

int fare_file_make(const char *path, mode_t mode)
{
	if (unlink(path) != 0 && errno != ENOENT)
		return -1;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	if (fd < 0 || fchmod(fd, mode) == 0) /* whatever the umask */
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

bool fare_file_is_own(int fd)
{
	struct stat st;
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

static bool mkdir_if_missing(const char *path, mode_t mode)
{
	struct stat st;
	if (mkdir(path, mode) == 0)
		return true;
	int saved = errno; /* EEXIST, but also EROFS or EACCES for a folder that is there */
	if (stat(path, &st) == 0)
		return S_ISDIR(st.st_mode) || set_errno(ENOTDIR);
	return set_errno(saved);
}

bool fare_mkdirs(const char *path, mode_t mode)
{
	char part[FARE_PATH_N];
	if (!fare_span_copy(fare_span_of(path), part, sizeof part))
		return set_errno(ENAMETOOLONG);
	for (char *p = part; *p; p++) {
		if (*p != '/' || p == part || p[-1] == '/')
			continue;
		*p = '\0';
		if (!mkdir_if_missing(part, mode))
			return false;
		*p = '/';
	}
	return mkdir_if_missing(part, mode);
}

uint64_t fare_process_start(pid_t pid)
{
	enum { STATE_FIELD = 3, START_FIELD = 22 };
	char path[64], text[1024];
	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	/* The name in brackets may hold anything: count fields after its end. */
	const char *at = strrchr(text, ')');
	for (int field = STATE_FIELD; at && field <= START_FIELD; field++) {
		at = strchr(at + 1, ' ');
		if (at && field == STATE_FIELD && (at[1] == 'Z' || at[1] == 'X'))
			return 0;
	}
	uint64_t start;
	return at && fare_num_u64(fare_span_at(at + 1, strcspn(at + 1, " ")), 0, UINT64_MAX, &start) ? start : 0;
}
