/* Worker processes: who they run as, start, drain. Between fork and exec only calls that are safe there: the keeper has a second thread. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "flow/journal.h"

#include "keeper.h"

bool fare_worker_user_find(struct fare_worker_user *u, const struct fare_conf *c, char error[FARE_CONF_ERROR_N])
{
	*u = (struct fare_worker_user){.change = geteuid() == 0, .uid = geteuid(), .gid = getegid()};
	if (!u->change)
		return true;
	const struct passwd *pw = getpwnam(c->worker_user);
	if (!pw) {
		snprintf(error, FARE_CONF_ERROR_N, "worker_user: there is no user %.200s", c->worker_user);
		return false;
	}
	if (pw->pw_uid == 0) {
		snprintf(error, FARE_CONF_ERROR_N, "worker_user: workers read what strangers send and never run as root; name another user");
		return false;
	}
	u->uid = pw->pw_uid;
	u->gid = pw->pw_gid;
	u->groups_n = FARE_WORKER_GROUPS_MAX;
	if (getgrouplist(c->worker_user, pw->pw_gid, u->groups, &u->groups_n) < 0) {
		snprintf(error, FARE_CONF_ERROR_N, "worker_user: %.200s is in more than %d groups", c->worker_user, FARE_WORKER_GROUPS_MAX);
		return false;
	}
	return true;
}

/* A sealed copy of what the worker needs: a settings file edited meanwhile does not change what a restarted worker reads. */
static int start_fd(const struct fare_keeper *k, int number)
{
	struct fare_worker_start *s = fare_alloc(sizeof *s);
	s->size = sizeof *s;
	s->number = number;
	s->isolation = (uint8_t)k->isolation;
	s->conf = k->conf;
	s->conf.alarm_webhook[0] = '\0'; /* may hold a secret, and is none of its business */
	int fd = memfd_create("farebox-settings", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd >= 0 && (!fare_write_all(fd, s, sizeof *s) || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)) {
		close(fd);
		fd = -1;
	}
	free(s);
	return fd;
}

/* The descriptors may stand in each other's place: they are first moved out of the way. */
static bool place_fds(int listen_fd, int pipe_fd, int conf_fd)
{
	int l = fcntl(listen_fd, F_DUPFD, 10), p = fcntl(pipe_fd, F_DUPFD, 10), c = fcntl(conf_fd, F_DUPFD, 10);
	if (l < 0 || p < 0 || c < 0)
		return false;
	if (dup2(l, FARE_WORKER_LISTEN_FD) < 0 || dup2(p, FARE_WORKER_PIPE_FD) < 0 || dup2(c, FARE_WORKER_CONF_FD) < 0)
		return false;
	close(l);
	close(p);
	close(c);
	return true;
}

void fare_worker_log_prepare(const struct fare_worker_user *u, const struct fare_conf *c)
{
	int fd = fare_journal_folder(c->home);
	if (fd < 0 || (u->change && fchown(fd, u->uid, u->gid) != 0))
		fare_log(FARE_WARN, "%s/" FARE_JOURNAL_FOLDER ": %s: no calls will be logged", c->home, strerror(errno));
	if (fd >= 0)
		close(fd);
}

bool fare_worker_user_become(const struct fare_worker_user *u)
{
	if (!u->change)
		return true;
	return setgroups((size_t)u->groups_n, u->groups) == 0 && setresgid(u->gid, u->gid, u->gid) == 0 && setresuid(u->uid, u->uid, u->uid) == 0;
}

FARE_NORETURN static void run_worker(const struct fare_keeper *k, int pipe_fd, int conf_fd)
{
	sigset_t none;
	char name[] = "farebox.fcgi", option[] = "--worker";
	char *argv[] = {name, option, NULL};
	sigemptyset(&none);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* The program that runs now, even if its file has been replaced: it understands our struct. A reload goes over to the new one, workers and all. */
	if (place_fds(k->listen_fd, pipe_fd, conf_fd) && fare_worker_user_become(&k->user))
		execv("/proc/self/exe", argv);
	_exit(126);
}

bool fare_kept_start(struct fare_keeper *k, int number)
{
	int pipe_fds[2] = {-1, -1};
	int conf_fd = start_fd(k, number);
	pid_t pid = conf_fd >= 0 && pipe2(pipe_fds, O_CLOEXEC) == 0 ? fork() : -1;
	int saved = errno;
	if (pid == 0)
		run_worker(k, pipe_fds[0], conf_fd);
	if (conf_fd >= 0)
		close(conf_fd);
	if (pipe_fds[0] >= 0)
		close(pipe_fds[0]);
	if (pid < 0) {
		if (pipe_fds[1] >= 0)
			close(pipe_fds[1]);
		fare_log(FARE_ALARM, "cannot start worker %d: %s", number, strerror(saved));
		return false;
	}
	struct fare_kept *w = fare_alloc(sizeof *w);
	*w = (struct fare_kept){.next = k->kept, .pid = pid, .number = number, .pipe_fd = pipe_fds[1], .since_ms = fare_clock_wall_ms(), .boot_ms = fare_clock_boot_ms()};
	k->kept = w;
	return true;
}

void fare_kept_drain(struct fare_kept *w)
{
	if (w->pipe_fd >= 0)
		close(w->pipe_fd);
	w->pipe_fd = -1;
}

void fare_kept_remove(struct fare_keeper *k, struct fare_kept *w)
{
	for (struct fare_kept **at = &k->kept; *at; at = &(*at)->next)
		if (*at == w) {
			*at = w->next;
			break;
		}
	fare_kept_drain(w);
	free(w);
}
