/* The keeper's two files in the run folder: the locked pid file, and the state that `farebox status` reads. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#include "keeper.h"

enum { LOCK_TRIES_LONG = 100, LOCK_TRIES = 5, LOCK_PAUSE_US = 100 * 1000, STAT_START_FIELD = 20 };

/* When a process began, in the kernel's ticks since boot: with it a pid names one process for ever. 0: unknown. */
static uint64_t process_start(void)
{
	char text[1024];
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	/* The name in brackets may hold anything: count fields after its end. */
	const char *at = strrchr(text, ')');
	for (int i = 0; at && i < STAT_START_FIELD; i++)
		at = strchr(at + 1, ' ');
	uint64_t v = 0;
	if (!at || !fare_num_u64(fare_span_at(at + 1, strcspn(at + 1, " ")), 0, UINT64_MAX, &v))
		return 0;
	return v;
}

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
	int n = snprintf(text, sizeof text, "%d\n%llu\n", (int)getpid(), (unsigned long long)process_start());
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

bool fare_keeper_state(const struct fare_keeper *k)
{
	char path[FARE_PATH_N], since[FARE_TIME_TEXT_N];
	struct fare_buf b;
	fare_buf_init(&b, 64 * 1024);
	fare_buf_addf(&b, "{\"pid\":%d,\"state\":\"%s\",\"isolation\":\"%s\",\"fastcgi_socket\":", (int)getpid(), k->stopping ? "draining" : "running",
		fare_isolate_name(k->isolation));
	fare_buf_add_json(&b, fare_span_of(k->own_socket ? k->conf.listen : ""));
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
