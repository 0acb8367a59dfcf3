/*
 * Unix sockets at paths of any length. A path that does not fit a sockaddr_un is named through a descriptor of its folder
 * (/proc/self/fd/N/NAME): changing the working folder would be seen by other threads.
 */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fs.h"

/* The address of a path, and a descriptor that must stay open while it is used (-1: none). */
struct address {
	struct sockaddr_un un;
	int dir;
};

static bool print_path(struct sockaddr_un *un, const char *path)
{
	un->sun_family = AF_UNIX;
	if (fare_span_copy(fare_span_of(path), un->sun_path, sizeof un->sun_path))
		return true;
	errno = ENAMETOOLONG;
	return false;
}

static bool address_open(struct address *a, const char *path)
{
	char dir[FARE_PATH_N], short_path[FARE_PATH_N];
	*a = (struct address){.dir = -1};
	if (strlen(path) < sizeof a->un.sun_path)
		return print_path(&a->un, path);
	const char *slash = strrchr(path, '/');
	size_t n = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
	if (!slash || !fare_span_copy(fare_span_at(path, n), dir, sizeof dir)) {
		errno = ENAMETOOLONG;
		return false;
	}
	a->dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (a->dir < 0)
		return false;
	snprintf(short_path, sizeof short_path, "/proc/self/fd/%d/%s", a->dir, slash + 1);
	if (print_path(&a->un, short_path))
		return true;
	close(a->dir);
	errno = ENAMETOOLONG;
	return false;
}

/* Closes what is open without losing errno. */
static int give_up(int fd, int dir)
{
	int saved = errno;
	if (fd >= 0)
		close(fd);
	if (dir >= 0)
		close(dir);
	errno = saved;
	return -1;
}

static bool bind_there(int fd, const struct address *a, const char *path, mode_t mode)
{
	struct stat st;
	if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode) && unlink(path) != 0 && errno != ENOENT)
		return false;
	/* The mode set before bind is what the file is made with (less the umask): nobody else can connect in between. */
	return fchmod(fd, mode) == 0 && bind(fd, (const struct sockaddr *)&a->un, sizeof a->un) == 0 && chmod(path, mode) == 0;
}

int fare_unix_listen(const char *path, int type, mode_t mode, int backlog)
{
	struct address a;
	if (!address_open(&a, path))
		return -1;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || !bind_there(fd, &a, path, mode) || listen(fd, backlog) != 0)
		return give_up(fd, a.dir);
	give_up(-1, a.dir);
	return fd;
}

int fare_unix_connect(const char *path, int type)
{
	struct address a;
	int rc = -1;
	if (!address_open(&a, path))
		return -1;
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	if (fd >= 0)
		do
			rc = connect(fd, (const struct sockaddr *)&a.un, sizeof a.un);
		while (rc != 0 && errno == EINTR);
	if (rc != 0)
		return give_up(fd, a.dir);
	give_up(-1, a.dir);
	return fd;
}

bool fare_peer_uid(int fd, uid_t *uid, pid_t *pid)
{
	struct ucred c;
	socklen_t n = sizeof c;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) != 0 || n != sizeof c)
		return false;
	*uid = c.uid;
	*pid = c.pid;
	return true;
}
