/* The store's lock. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "bank/lock.h"

/* A restore puts another folder in the place of the store's: a lock on a file that is no longer there is none. */
static bool is_at(int fd, const char *path)
{
	struct stat held, there;
	return fstat(fd, &held) == 0 && stat(path, &there) == 0 && held.st_dev == there.st_dev && held.st_ino == there.st_ino;
}

int fare_bank_lock(const char *home, char error[FARE_ERROR_N])
{
	char dir[FARE_PATH_N], path[FARE_PATH_N];
	if (!fare_path(dir, sizeof dir, home, "store") || !fare_path(path, sizeof path, dir, "LOCK") || !fare_mkdirs(dir, 0700)) {
		snprintf(error, FARE_ERROR_N, "%.150s/store: %s", home, strerror(errno));
		return -2;
	}
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 && errno == EROFS) /* may be written again later: whoever waits for that has the lock */
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	bool got = fd >= 0 && (flock(fd, LOCK_EX | LOCK_NB) == 0 || fare_planted("two_banks"));
	bool other = !got && fd >= 0 && errno == EWOULDBLOCK;
	if (got && is_at(fd, path))
		return fd;
	if (!got && !other)
		snprintf(error, FARE_ERROR_N, "%.150s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return got || other ? -1 : -2;
}
