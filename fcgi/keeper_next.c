/*
 * A reload: the keeper becomes the program that its file has now, with the same process id, so that after an upgrade everything is of the new version and nobody noticed.
 * What it has goes along: the listening socket, the lock, and the workers, which are its children still; their pipes stay open. Told in a memory file, in text:
 *
 *   {"version":1,"listen_fd":7,"listen":"/run/...","own":1,"lock_fd":5,"workers":[{"pid":..,"number":..,"pipe_fd":..,"since":..,"boot":..,"end":..}]}   youngest first
 *
 * The next program is asked first whether it understands this, the settings and the store (--check).
 */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "conf/program.h"

#include "keeper.h"

enum { TEXT_MAX = 1024 * 1024 };

static bool inherit(int fd, bool on)
{
	return fd < 0 || fcntl(fd, F_SETFD, on ? 0 : FD_CLOEXEC) == 0;
}

/* All that goes along; the rest closes by itself. */
static bool inherit_all(const struct fare_keeper *k, bool on)
{
	bool ok = inherit(k->lock_fd, on) && (k->listen_fd == STDIN_FILENO || inherit(k->listen_fd, on));
	for (const struct fare_kept *w = k->kept; ok && w; w = w->next)
		ok = inherit(w->pipe_fd, on);
	return ok;
}

/* The memory file's descriptor, or -1. */
static int state_pass(const struct fare_keeper *k)
{
	struct fare_buf b;
	fare_buf_init(&b, TEXT_MAX);
	fare_buf_addf(&b, "{\"version\":%d,\"listen_fd\":%d,\"own\":%d,\"lock_fd\":%d,\"listen\":", FARE_HANDOVER_VERSION, k->listen_fd, k->own_socket, k->lock_fd);
	fare_buf_add_json(&b, fare_span_of(k->conf.listen));
	fare_buf_add_str(&b, ",\"workers\":[");
	for (const struct fare_kept *w = k->kept; w; w = w->next)
		fare_buf_addf(&b, "%s{\"pid\":%d,\"number\":%d,\"pipe_fd\":%d,\"since\":%llu,\"boot\":%llu,\"end\":%llu}", w == k->kept ? "" : ",", (int)w->pid, w->number, w->pipe_fd,
			(unsigned long long)w->since_ms, (unsigned long long)w->boot_ms, (unsigned long long)w->end_boot_ms);
	fare_buf_add_str(&b, "]}");
	int fd = b.failed ? -1 : memfd_create("farebox-keeper", 0);
	if (fd >= 0 && !fare_write_all(fd, b.p, b.n)) {
		close(fd);
		fd = -1;
	}
	fare_buf_release(&b);
	return fd;
}

/* Returns only when it failed. */
static void become(const struct fare_keeper *k, char *path, int state_fd, char error[FARE_CONF_ERROR_N])
{
	char number[16], home[] = "--home", own[] = "--own", after[] = "--after";
	char *argv[8] = {path, after, number};
	size_t n = 3;
	sigset_t all, before;
	snprintf(number, sizeof number, "%d", state_fd);
	if (k->home_arg) {
		argv[n++] = home;
		argv[n++] = (char *)(uintptr_t)k->home_arg;
	}
	if (k->own_socket)
		argv[n++] = own;
	/* Those that come meanwhile wait until the next program listens to them. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &before);
	if (inherit_all(k, true))
		execv(path, argv);
	snprintf(error, FARE_CONF_ERROR_N, "%.300s: %s", path, strerror(errno));
	inherit_all(k, false);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

void fare_keeper_next(const struct fare_keeper *k, char error[FARE_CONF_ERROR_N])
{
	char path[FARE_PATH_N], version[16], home[] = "--home", check[] = "--check";
	char *argv[] = {path, check, version, home, (char *)(uintptr_t)k->conf.home, NULL};
	snprintf(version, sizeof version, "%d", FARE_HANDOVER_VERSION);
	if (!fare_conf_program("farebox.fcgi", path)) /* gone: the one that runs goes on */
		snprintf(path, sizeof path, "/proc/self/exe");
	if (!fare_program_check(argv, error))
		return;
	int fd = state_pass(k);
	if (fd < 0) {
		snprintf(error, FARE_CONF_ERROR_N, "what runs cannot be handed on: %s", strerror(errno));
		return;
	}
	become(k, path, fd, error);
	close(fd);
}

static bool number(const struct fare_json *j, const struct fare_json_node *of, const char *name, int64_t min, int64_t *out)
{
	const struct fare_json_node *n = fare_json_member(j, of, name);
	return n && fare_json_i64(j, n, min, INT64_MAX, out);
}

static bool descriptor(const struct fare_json *j, const struct fare_json_node *of, const char *name, int *out)
{
	int64_t v;
	if (!number(j, of, name, -1, &v) || v > INT32_MAX)
		return false;
	*out = (int)v;
	return v <= STDIN_FILENO || fcntl(*out, F_SETFD, FD_CLOEXEC) == 0;
}

/* Into k->kept, in their order. */
static bool worker_take(struct fare_kept ***end, const struct fare_json *j, const struct fare_json_node *n)
{
	int64_t pid, no, since, boot, ends;
	struct fare_kept *w = fare_alloc(sizeof *w);
	bool ok = number(j, n, "pid", 1, &pid) && number(j, n, "number", 0, &no) && no < FARE_WORKERS_MAX && number(j, n, "since", 0, &since) && number(j, n, "boot", 0, &boot) &&
		number(j, n, "end", 0, &ends) && descriptor(j, n, "pipe_fd", &w->pipe_fd);
	if (!ok) {
		free(w);
		return false;
	}
	w->pid = (pid_t)pid;
	w->number = (int)no;
	w->since_ms = (uint64_t)since;
	w->boot_ms = (uint64_t)boot;
	w->end_boot_ms = (uint64_t)ends;
	**end = w;
	*end = &w->next;
	return true;
}

static bool state_take(struct fare_keeper *k, const struct fare_json *j, struct fare_buf *listen)
{
	const struct fare_json_node *root = fare_json_root(j), *path = fare_json_member(j, root, "listen"), *workers = fare_json_member(j, root, "workers");
	struct fare_kept **end = &k->kept;
	int64_t version, own;
	bool ok = number(j, root, "version", 1, &version) && version <= FARE_HANDOVER_VERSION && number(j, root, "own", 0, &own) && descriptor(j, root, "lock_fd", &k->lock_fd) &&
		descriptor(j, root, "listen_fd", &k->listen_fd) && path && fare_json_string(j, path, listen) && listen->n < sizeof k->conf.listen && workers;
	for (const struct fare_json_node *n = ok ? fare_json_first(j, workers) : NULL; ok && n; n = fare_json_next(j, n))
		ok = worker_take(&end, j, n);
	k->own_socket = ok && own;
	return ok;
}

bool fare_keeper_take(struct fare_keeper *k, int state_fd)
{
	char path[64];
	struct fare_json j = {0};
	struct fare_buf text, listen;
	fare_buf_init(&text, TEXT_MAX);
	fare_buf_init(&listen, FARE_PATH_N);
	snprintf(path, sizeof path, "/proc/self/fd/%d", state_fd);
	bool ok = fare_file_read(path, &text) && fare_json_parse(&j, fare_buf_span(&text)) && state_take(k, &j, &listen);
	if (!ok)
		fare_log(FARE_ALARM, "--after is for the keeper alone");
	if (ok && k->own_socket && strcmp(fare_buf_cstr(&listen), k->conf.listen) != 0) {
		fare_log(FARE_WARN, "reload: a new value of listen is used after a stop and start only");
		snprintf(k->conf.listen, sizeof k->conf.listen, "%s", fare_buf_cstr(&listen));
	}
	close(state_fd);
	fare_json_release(&j);
	fare_buf_release(&text);
	fare_buf_release(&listen);
	return ok;
}
