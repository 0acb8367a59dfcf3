/* What others see of a keeper: the locked pid file, the state that `farebox status` reads (both in the run folder), and what a service manager is told. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#include "keeper.h"

enum { LOCK_TRIES_LONG = 100, LOCK_TRIES = 5, LOCK_PAUSE_US = 100 * 1000 };

int fare_keeper_lock(const struct fare_conf *c, bool wait)
{
	char path[FARE_PATH_N], text[64];
	if (!fare_path(path, sizeof path, c->run, "keeper.pid"))
		return -1;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0) {
		fare_log(FARE_ALARM, "%s: %s", path, strerror(errno));
		return -1;
	}
	/* `farebox status` may hold it for a moment. A web server that restarts its children starts the new one while the old one is still being told. */
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; i++) {
		if (i == (wait ? LOCK_TRIES_LONG : LOCK_TRIES)) {
			fare_log(FARE_WARN, "%s is locked: a keeper runs already", path);
			close(fd);
			return -1;
		}
		usleep(LOCK_PAUSE_US);
	}
	int n = snprintf(text, sizeof text, "%d\n%llu\n", (int)getpid(), (unsigned long long)fare_process_start(getpid()));
	if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)n, 0) != n) {
		fare_log(FARE_ALARM, "%s: %s", path, strerror(errno));
		close(fd);
		return -1;
	}
	return fd;
}

void fare_keeper_unlock(struct fare_keeper *k)
{
	if (k->lock_fd >= 0)
		close(k->lock_fd);
	k->lock_fd = -1;
}

const char *fare_keeper_socket(const struct fare_keeper *k, struct sockaddr_un *un)
{
	socklen_t n = sizeof *un - 1;
	if (k->own_socket)
		return k->conf.listen;
	memset(un, 0, sizeof *un);
	if (k->listen_fd < 0 || getsockname(k->listen_fd, (struct sockaddr *)un, &n) != 0 || un->sun_family != AF_UNIX)
		return "";
	return un->sun_path;
}

void fare_keeper_notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	if (!path || (*path != '/' && *path != '@') || !fare_span_copy(fare_span_of(path), un.sun_path, sizeof un.sun_path))
		return;
	socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	if (*path == '@')
		un.sun_path[0] = 0;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&un, n) < 0)
		fare_log(FARE_WARN, "the service manager is not told %s: %s", text, strerror(errno));
	if (fd >= 0)
		close(fd);
}

bool fare_keeper_state(const struct fare_keeper *k)
{
	char path[FARE_PATH_N], since[FARE_TIME_TEXT_N];
	struct fare_buf b;
	struct sockaddr_un un;
	fare_buf_init(&b, 64 * 1024);
	fare_buf_addf(&b, "{\"pid\":%d,\"state\":\"%s\",\"isolation\":\"%s\",\"fastcgi_socket\":", (int)getpid(), k->stopping ? "draining" : "running",
		fare_isolate_name(k->isolation));
	fare_buf_add_json(&b, fare_span_of(fare_keeper_socket(k, &un)));
	fare_buf_add_str(&b, ",\"workers\":[");
	for (const struct fare_kept *w = k->kept; w; w = w->next) {
		fare_clock_text(w->since_ms, since);
		fare_buf_addf(&b, "%s{\"number\":%d,\"pid\":%d,\"state\":\"%s\",\"since\":\"%s\"}", w == k->kept ? "" : ",", w->number, (int)w->pid,
			w->pipe_fd >= 0 ? "running" : "draining", since);
	}
	fare_buf_add_str(&b, "]}\n");
	bool ok = !b.failed && fare_path(path, sizeof path, k->conf.run, "keeper.state") && fare_file_write(path, b.p, b.n, 0644);
	if (!ok)
		fare_log(FARE_WARN, "keeper.state: %s", strerror(errno));
	fare_buf_release(&b);
	return ok;
}
