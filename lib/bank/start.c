/* The way to a bank: connect, else start one and try again. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "store/store.h"
#include "bank/admin.h"
#include "bank/start.h"
#include "bank/wait.h"

enum { RETRY_FIRST_MS = 5, RETRY_MOST_MS = 200 };

int fare_bank_try(const struct fare_conf *c)
{
	char path[FARE_PATH_N];
	if (!fare_path(path, sizeof path, c->run, FARE_ADMIN_SOCKET)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return fare_unix_connect(path, SOCK_STREAM);
}

bool fare_bank_may(const struct fare_conf *c, char error[FARE_ERROR_N])
{
	struct stat st;
	if (stat(c->home, &st) != 0) {
		snprintf(error, FARE_ERROR_N, "%.150s: %s", c->home, strerror(errno));
		return false;
	}
	if (geteuid() == 0 || geteuid() == st.st_uid)
		return true;
	snprintf(error, FARE_ERROR_N, "%.150s belongs to another user: only they, or root, may do this", c->home);
	return false;
}

bool fare_bank_fits(const struct fare_conf *c, char error[FARE_ERROR_N])
{
	char store[FARE_PATH_N];
	if (fare_path(store, sizeof store, c->home, "store"))
		return fare_format_check(store, error);
	snprintf(error, FARE_ERROR_N, "%.150s: the name is too long", c->home);
	return false;
}

/* The bank's whole environment: what its starter has of secrets must not be found in the bank's. */
struct bank_env { char text[4][FARE_PATH_N]; char *list[5]; };

static void env_of_bank(struct bank_env *e)
{
	static const char *const kept[] = {"FAREBOX_LIBEXEC", "FAREBOX_FAULT", "FAREBOX_FAULT_FILE", "FAREBOX_PLANTED"};
	size_t n = 0;
	for (size_t i = 0; i < FARE_ARRAY_N(kept); i++) {
		const char *value = getenv(kept[i]);
		int len = value ? snprintf(e->text[n], sizeof e->text[n], "%s=%s", kept[i], value) : -1;
		if (len > 0 && (size_t)len < sizeof e->text[n]) {
			e->list[n] = e->text[n];
			n++;
		}
	}
	e->list[n] = NULL;
}

FARE_NORETURN static void become_bank(const char *program, const char *home, char **env)
{
	char *argv[] = {(char *)(uintptr_t)"farebox-bank", (char *)(uintptr_t)"--home", (char *)(uintptr_t)home, NULL};
	setsid();
	/* A second fork: the bank is no session leader, and nobody's child. */
	if (fork() == 0) {
		execve(program, argv, env);
		_exit(127);
	}
	_exit(0);
}

static bool start_bank(const struct fare_conf *c, char error[FARE_ERROR_N])
{
	char program[FARE_PATH_N];
	struct bank_env env;
	int status;
	if (!fare_conf_program("farebox-bank", program)) {
		snprintf(error, FARE_ERROR_N, "the program farebox-bank is not found");
		return false;
	}
	env_of_bank(&env); /* before the fork: the starter may have threads */
	pid_t child = fork();
	if (child == 0)
		become_bank(program, c->home, env.list);
	if (child < 0 || (waitpid(child, &status, 0) < 0 && errno != ECHILD)) {
		snprintf(error, FARE_ERROR_N, "a bank cannot be started: %s", strerror(errno));
		return false;
	}
	return true;
}

static void wait_ms(int ms)
{
	struct timespec t = {ms / 1000, (ms % 1000) * 1000000L};
	nanosleep(&t, NULL);
}

int fare_bank_connect(const struct fare_conf *c, char error[FARE_ERROR_N])
{
	uint64_t until_ms = fare_clock_boot_ms() + FARE_START_TIMEOUT_MS, start_again_ms = 0;
	int wait = RETRY_FIRST_MS;
	for (;;) {
		int fd = fare_bank_try(c);
		if (fd >= 0)
			return fd;
		bool absent = errno == ENOENT || errno == ECONNREFUSED;
		if (!absent && errno != EAGAIN) {
			snprintf(error, FARE_ERROR_N, "the bank cannot be reached in %.150s: %s", c->run, strerror(errno));
			return -1;
		}
		if (absent && fare_bank_waits(c, error))
			return -1;
		uint64_t now_ms = fare_clock_boot_ms();
		if (now_ms >= until_ms) {
			snprintf(error, FARE_ERROR_N, "no bank answers within %d seconds: see %.150s/bank.log", FARE_START_TIMEOUT_MS / 1000, c->run);
			return -1;
		}
		/* A bank that lost the race has left; one that is recovering takes its time: not a new one at every try. */
		if (absent && now_ms >= start_again_ms) {
			if (!fare_bank_may(c, error) || !fare_bank_fits(c, error) || !start_bank(c, error))
				return -1;
			start_again_ms = now_ms + 1000;
		}
		wait_ms(wait);
		wait = wait * 2 < RETRY_MOST_MS ? wait * 2 : RETRY_MOST_MS;
	}
}

static gid_t group_of_workers(const struct fare_conf *c, gid_t otherwise)
{
	const struct passwd *pw = c->worker_user[0] ? getpwnam(c->worker_user) : NULL;
	const struct group *gr = c->listen_group[0] ? getgrnam(c->listen_group) : NULL;
	return pw ? pw->pw_gid : gr ? gr->gr_gid : otherwise;
}

bool fare_run_prepare(const struct fare_conf *c, char error[FARE_ERROR_N])
{
	enum { MODE = 03771 };
	struct stat home, run;
	bool ok = fare_mkdirs(c->run, 0755) && stat(c->home, &home) == 0 && stat(c->run, &run) == 0;
	if (ok && geteuid() == 0) {
		gid_t group = group_of_workers(c, home.st_gid);
		/* Sockets and meters made in it get its group; sticky: nobody removes another's. */
		ok = (run.st_uid == home.st_uid && run.st_gid == group) || chown(c->run, home.st_uid, group) == 0;
		/* Where a service manager made it right, it may also forbid to set such a mode. */
		ok = ok && ((home.st_uid == 0 && group == 0) || (run.st_mode & 07777) == MODE || chmod(c->run, MODE) == 0);
	}
	/* Strangers pass through to a socket they may use, and see no names: whoever can open a meter can hold its lock, and so a dead worker's holds. */
	if (ok && geteuid() != 0 && run.st_uid == geteuid() && (run.st_mode & (S_IROTH | S_IWOTH)))
		ok = chmod(c->run, run.st_mode & 07777 & ~(mode_t)(S_IROTH | S_IWOTH)) == 0;
	if (!ok)
		snprintf(error, FARE_ERROR_N, "the run folder %.150s cannot be made: %s", c->run, strerror(errno));
	return ok;
}
