/* Makes what is in the store's files durable, whoever wrote it. */
#include "base/first.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/inner.h"

static int sync_at(int folder, const char *name)
{
	struct stat st;
	int r = 0, fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return errno == ELOOP || errno == ENXIO ? 0 : errno; /* a link, a socket: nothing of ours */
	if (fstat(fd, &st) != 0 || (S_ISREG(st.st_mode) && fsync(fd) != 0))
		r = errno;
	close(fd);
	return r;
}

static int sync_folder(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;
	int r = dir ? 0 : errno;
	while (r == 0 && (errno = 0, e = readdir(dir)))
		r = sync_at(dirfd(dir), e->d_name);
	if (r == 0 && (errno != 0 || fsync(dirfd(dir)) != 0))
		r = errno;
	if (dir)
		closedir(dir);
	return r;
}

int fare_store_sync_files(const char *dir)
{
	char log_dir[FARE_PATH_N];
	if (!fare_path(log_dir, sizeof log_dir, dir, "log"))
		return ENAMETOOLONG;
	int r = sync_folder(log_dir);
	return r == 0 ? sync_folder(dir) : r;
}
