/*
 * Logs that recovery no longer needs, kept in another folder: with a backup they make the store again as it was when the last of them was full. One goes from the store only
 * when its copy is whole, flushed and has its name; they go in order, so that none is missing between two. What cannot be copied stays where it is.
 */
#include "base/first.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fault.h"
#include "store/inner.h"

enum { PART_BYTES = 1 << 20, DAY_S = 24 * 60 * 60 };

bool fare_store_copy(int in, int out)
{
	static char part[PART_BYTES]; /* the start and the checkpointer: never both at once */
	ssize_t n;
	while ((n = read(in, part, sizeof part)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (fare_fault("store_copy")) {
			errno = ENOSPC;
			return false;
		}
		if (n < 0 || !fare_write_all(out, part, (size_t)n))
			return false;
	}
	return fsync(out) == 0;
}

static bool copy_into(int to, const char *path, const char *name)
{
	char other[64];
	int n = snprintf(other, sizeof other, "%s.part", name);
	if (n < 0 || (size_t)n >= sizeof other || (unlinkat(to, other, 0) != 0 && errno != ENOENT))
		return false;
	int in = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), out = in >= 0 ? openat(to, other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
	bool ok = out >= 0 && fare_store_copy(in, out);
	fare_fault("archive");
	ok = ok && renameat(to, other, to, name) == 0;
	fare_fault("archive");
	ok = ok && fsync(to) == 0;
	int e = errno;
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	if (!ok)
		unlinkat(to, other, 0);
	errno = e;
	return ok;
}

/* The folder may have been made just now: its name is on the disk before a log goes that it has. */
static int folder_open(const char *dir)
{
	int to = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), parent = to >= 0 ? openat(to, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	bool ok = parent >= 0 && fsync(parent) == 0;
	int e = errno;
	if (parent >= 0)
		close(parent);
	if (!ok && to >= 0)
		close(to);
	errno = e;
	return ok ? to : -1;
}

/* Of one that was copied already the copy is made anew: who made it may have been killed before it was flushed. */
int fare_store_archive_logs(struct fare_store *s, const char *dir)
{
	char **list = NULL;
	int r = s->env->log_archive(s->env, &list, DB_ARCH_ABS), to = -1, e = 0;
	if (r != 0)
		return r;
	if (list)
		to = folder_open(dir);
	for (char **path = list; path && *path && e == 0; path++) {
		const char *slash = strrchr(*path, '/');
		if (to < 0 || !copy_into(to, *path, slash ? slash + 1 : *path))
			e = errno;
		else if (unlink(*path) != 0)
			e = errno;
		fare_fault("archive");
	}
	if (to >= 0)
		close(to);
	free(list);
	s->archive_error = e;
	return 0;
}

static void expire_in(int parent, const char *name, time_t before)
{
	struct stat st;
	struct dirent *e;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	while (d && (e = readdir(d)))
		if (strncmp(e->d_name, "log.", 4) == 0 && fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) && st.st_mtime < before)
			unlinkat(fd, e->d_name, 0);
	if (d)
		closedir(d);
	unlinkat(parent, name, AT_REMOVEDIR); /* an earlier life's that has no log any more */
}

void fare_store_archive_expire(const char *parent, const char *names, unsigned days)
{
	DIR *d = opendir(parent);
	struct dirent *e;
	while (d && (e = readdir(d)))
		if (strncmp(e->d_name, names, strlen(names)) == 0)
			expire_in(dirfd(d), e->d_name, time(NULL) - (time_t)days * DAY_S);
	if (d)
		closedir(d);
}
