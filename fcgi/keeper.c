/* The keeper's life: start, watch, reload, drain, stop. */
#include "base/first.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/version.h"
#include "bank/start.h"

#include "keeper.h"

/* A worker that lived this long died of something new: it is started again at once. The pause doubles for those that did not. */
enum { LIVED_MS = 10 * 1000, PAUSE_FIRST_MS = 100, PAUSE_MAX_MS = 10 * 1000, HANDOVER_MS = 500, BACKLOG = 4096 };
/* A worker cuts what is left after drain_s and settles it; one that has not ended so much later is killed. */
enum { KILL_AFTER_MS = 30 * 1000 };

static void state_write(struct fare_keeper *k)
{
	/* One that has let the next keeper in no longer speaks for the home. */
	if (k->lock_fd >= 0 && !fare_keeper_state(k))
		fare_log(FARE_WARN, "status will not show the workers");
}

static void post_start(struct fare_post *p)
{
	struct fare_keeper *k = p->keeper;
	if (k->stopping || p->number >= k->conf.workers)
		return;
	if (!fare_kept_start(k, p->number)) {
		p->pause_ms = p->pause_ms ? p->pause_ms : PAUSE_FIRST_MS;
		fare_timer_set(p->again, p->pause_ms);
	}
}

static void on_again(void *arg)
{
	struct fare_post *p = arg;
	post_start(p);
	state_write(p->keeper);
}

/* One that was not told to end has died: its place is filled again after a pause that grows while it keeps dying young. */
static void post_vacant(struct fare_keeper *k, const struct fare_kept *w)
{
	struct fare_post *p = &k->posts[w->number];
	bool young = fare_clock_boot_ms() - w->boot_ms < LIVED_MS;
	p->pause_ms = !young ? 0 : p->pause_ms ? p->pause_ms * 2 : PAUSE_FIRST_MS;
	if (p->pause_ms > PAUSE_MAX_MS)
		p->pause_ms = PAUSE_MAX_MS;
	if (p->pause_ms)
		fare_timer_set(p->again, p->pause_ms);
	else
		post_start(p);
}

static void worker_ended(struct fare_keeper *k, struct fare_kept *w, int status)
{
	bool told = w->pipe_fd < 0 || k->stopping;
	if (WIFSIGNALED(status))
		fare_log(told ? FARE_INFO : FARE_ALARM, "worker %d[%d] ended by signal %d", w->number, (int)w->pid, WTERMSIG(status));
	else
		fare_log(told && status == 0 ? FARE_INFO : FARE_ALARM, "worker %d[%d] exited with %d", w->number, (int)w->pid, WEXITSTATUS(status));
	if (!told)
		post_vacant(k, w);
	fare_kept_remove(k, w);
}

static void on_child(void *arg, int signo)
{
	struct fare_keeper *k = arg;
	(void)signo;
	/* One by one: a child that the bank's starter waits for is not ours to take. */
	for (struct fare_kept *w = k->kept, *next; w; w = next) {
		int status;
		next = w->next;
		if (waitpid(w->pid, &status, WNOHANG) == w->pid)
			worker_ended(k, w, status);
	}
	state_write(k);
	if (k->stopping && !k->kept)
		fare_loop_stop(k->loop);
}

static void drain(struct fare_keeper *k, struct fare_kept *w)
{
	fare_kept_drain(w);
	w->end_boot_ms = fare_clock_boot_ms() + (uint64_t)k->conf.drain_s * 1000 + KILL_AFTER_MS;
}

/* Those whose time to drain is over are killed; the timer is set for the next. */
static void on_late(void *arg)
{
	struct fare_keeper *k = arg;
	uint64_t now = fare_clock_boot_ms(), next = UINT64_MAX;
	for (struct fare_kept *w = k->kept; w; w = w->next) {
		if (w->pipe_fd >= 0)
			continue;
		if (w->end_boot_ms <= now) {
			fare_log(FARE_WARN, "worker %d[%d] does not end after its time to drain: killed", w->number, (int)w->pid);
			kill(w->pid, SIGKILL);
		} else if (w->end_boot_ms < next) {
			next = w->end_boot_ms;
		}
	}
	if (next != UINT64_MAX)
		fare_timer_set(k->late, next - now);
}

/* All that are not of the newest start: those whose number has a younger one, or no place any more. */
static void on_handover(void *arg)
{
	struct fare_keeper *k = arg;
	bool seen[FARE_WORKERS_MAX] = {false};
	for (struct fare_kept *w = k->kept; w; w = w->next) { /* youngest first */
		if (w->pipe_fd < 0)
			continue;
		if (seen[w->number] || w->number >= k->conf.workers)
			drain(k, w);
		else
			seen[w->number] = true;
	}
	on_late(k);
	state_write(k);
}

static void on_reload(void *arg, int signo)
{
	struct fare_keeper *k = arg;
	char error[FARE_CONF_ERROR_N];
	(void)signo;
	if (k->stopping)
		return;
	fare_keeper_next(k, error);
	fare_log(FARE_ALARM, "reload refused, the old settings and programs stay: %s", error);
}

/* From here on nobody new comes in: the socket's file goes first, so that the next keeper's is not taken for ours. */
static void stop_accepting(struct fare_keeper *k)
{
	k->stopping = true;
	fare_keeper_notify("STOPPING=1");
	if (k->own_socket)
		unlink(k->conf.listen);
	if (k->listen_fd >= 0)
		close(k->listen_fd);
	k->listen_fd = -1;
	for (struct fare_kept *w = k->kept; w; w = w->next)
		if (w->pipe_fd >= 0)
			drain(k, w);
	state_write(k);
	fare_keeper_unlock(k);
}

static void on_drain(void *arg, int signo)
{
	struct fare_keeper *k = arg;
	(void)signo;
	if (k->stopping)
		return;
	fare_log(FARE_INFO, "draining: at most %lld s", (long long)k->conf.drain_s);
	stop_accepting(k);
	on_late(k);
	if (!k->kept)
		fare_loop_stop(k->loop);
}

static void on_now(void *arg, int signo)
{
	struct fare_keeper *k = arg;
	(void)signo;
	fare_log(FARE_INFO, "stopping now");
	if (!k->stopping)
		stop_accepting(k);
	for (struct fare_kept *w = k->kept; w; w = w->next)
		kill(w->pid, SIGKILL);
	if (!k->kept)
		fare_loop_stop(k->loop);
}

static bool listens_already(int fd)
{
	int on = 0;
	socklen_t n = sizeof on;
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &n) == 0 && on;
}

/* A service manager hands the socket over as descriptor 3 (sd_listen_fds(3)); a web server on descriptor 0, where this puts it too. */
static void socket_take(void)
{
	enum { GIVEN_FD = 3 };
	const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
	if (pid && count && strtol(pid, NULL, 10) == getpid() && strcmp(count, "1") == 0 && listens_already(GIVEN_FD)) {
		dup2(GIVEN_FD, STDIN_FILENO);
		close(GIVEN_FD);
	}
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
}

/* The web server's user may connect through a group: root may give the socket to any. */
static bool socket_share(const struct fare_keeper *k, const char *path)
{
	const struct fare_conf *c = &k->conf;
	gid_t gid = k->user.gid;
	if (*c->listen_group) {
		const struct group *g = getgrnam(c->listen_group);
		if (!g) {
			fare_log(FARE_ALARM, "listen_group: there is no group %s", c->listen_group);
			return false;
		}
		gid = g->gr_gid;
	}
	if (chown(path, (uid_t)-1, gid) == 0)
		return true;
	fare_log(FARE_ALARM, "%s: cannot give it to group %u: %s", path, (unsigned)gid, strerror(errno));
	return false;
}

static bool socket_open(struct fare_keeper *k, bool own)
{
	if (!own && listens_already(STDIN_FILENO)) {
		struct sockaddr_un un;
		k->listen_fd = STDIN_FILENO;
		const char *path = fare_keeper_socket(k, &un);
		return (!k->user.change || !*k->conf.listen_group || !*path || socket_share(k, path)) && fare_fd_nonblock(k->listen_fd, true);
	}
	k->own_socket = true;
	k->listen_fd = fare_unix_listen(k->conf.listen, SOCK_STREAM, 0660, BACKLOG);
	if (k->listen_fd < 0) {
		fare_log(FARE_ALARM, "%s: %s", k->conf.listen, strerror(errno));
		return false;
	}
	return socket_share(k, k->conf.listen);
}

static bool loop_set_up(struct fare_keeper *k)
{
	k->loop = fare_loop_new();
	if (!k->loop)
		return false;
	k->late = fare_timer_new(k->loop, on_late, k);
	k->handover = fare_timer_new(k->loop, on_handover, k);
	for (int i = 0; i < FARE_WORKERS_MAX; i++)
		k->posts[i] = (struct fare_post){.keeper = k, .number = i, .again = fare_timer_new(k->loop, on_again, &k->posts[i])};
	return fare_loop_signal(k->loop, SIGCHLD, on_child, k) && fare_loop_signal(k->loop, SIGHUP, on_reload, k) && fare_loop_signal(k->loop, SIGTERM, on_drain, k) &&
		fare_loop_signal(k->loop, SIGINT, on_now, k) && fare_loop_signal(k->loop, SIGQUIT, on_now, k);
}

/* The program before blocked them while it became this one. */
static bool signals_unblock(void)
{
	sigset_t none;
	sigemptyset(&none);
	return sigprocmask(SIG_SETMASK, &none, NULL) == 0;
}

static void keeper_release(struct fare_keeper *k)
{
	fare_minder_stop(&k->minder);
	if (k->own_socket && k->lock_fd >= 0)
		unlink(k->conf.listen);
	if (k->listen_fd >= 0)
		close(k->listen_fd);
	fare_keeper_unlock(k);
	while (k->kept)
		fare_kept_remove(k, k->kept);
	for (int i = 0; i < FARE_WORKERS_MAX; i++)
		fare_timer_free(&k->posts[i].again);
	fare_timer_free(&k->late);
	fare_timer_free(&k->handover);
	fare_loop_free(&k->loop);
	free(k);
}

/* A mistyped home must not become an instance. */
static bool is_set_up(const struct fare_conf *c)
{
	char store[FARE_PATH_N];
	struct stat st;
	return fare_path(store, sizeof store, c->home, "store") && (stat(store, &st) == 0 || errno != ENOENT);
}

static bool keeper_start(struct fare_keeper *k, bool own, int after)
{
	char error[FARE_CONF_ERROR_N], why[FARE_ERROR_N];
	if (!fare_conf_load(&k->conf, k->home_arg, error) || !fare_worker_user_find(&k->user, &k->conf, error)) {
		fare_log(FARE_ALARM, "%s", error);
		return false;
	}
	fare_conf_log(&k->conf);
	if (after >= 0 && !fare_keeper_take(k, after))
		return false;
	if (!is_set_up(&k->conf)) {
		fare_log(FARE_ALARM, "%s: no store there; farebox setup makes it", k->conf.home);
		return false;
	}
	if (!fare_run_prepare(&k->conf, why)) {
		fare_log(FARE_ALARM, "%s", why);
		return false;
	}
	if (after < 0)
		k->lock_fd = fare_keeper_lock(&k->conf, !own && listens_already(STDIN_FILENO));
	if (k->lock_fd < 0)
		return false;
	if (!loop_set_up(k) || !signals_unblock())
		return false;
	if (!fare_minder_start(&k->minder, &k->conf, after < 0, error)) {
		fare_log(FARE_ALARM, "%s", error);
		return false;
	}
	fare_worker_log_prepare(&k->user, &k->conf);
	k->isolation = fare_isolate_level(k->conf.home, k->user.uid);
	return after >= 0 || socket_open(k, own);
}

/* New workers are there; those of the program before drain soon, and some may have ended while nobody looked. */
static void follow(struct fare_keeper *k)
{
	fare_log(FARE_INFO, "reload: farebox %s, %lld new workers", fare_version, (long long)k->conf.workers);
	fare_bank_reload(&k->conf);
	fare_timer_set(k->handover, HANDOVER_MS);
	on_child(k, SIGCHLD);
}

int fare_keeper_run(const char *home, bool own, int after)
{
	struct fare_keeper *k = fare_alloc(sizeof *k);
	k->home_arg = home;
	k->listen_fd = k->lock_fd = -1;
	signal(SIGPIPE, SIG_IGN);
	fare_fd_limit_raise();
	if (!own && after < 0)
		socket_take();
	if (!keeper_start(k, own, after)) {
		keeper_release(k);
		return 1;
	}
	for (int i = 0; i < k->conf.workers; i++)
		post_start(&k->posts[i]);
	state_write(k);
	fare_log(FARE_INFO, "%s: %lld workers on %s, isolation %s", k->conf.home, (long long)k->conf.workers, k->own_socket ? k->conf.listen : "the socket given",
		fare_isolate_name(k->isolation));
	if (after >= 0)
		follow(k);
	fare_keeper_notify("READY=1");
	fare_loop_run(k->loop);
	keeper_release(k);
	fare_log(FARE_INFO, "stopped");
	return 0;
}
