/*
 * farebox-bank: the one process that opens the store. Nobody's child: started by whoever needs it (bank/start.h), it takes the store's lock or leaves, and runs as the
 * store's owner, with nothing of its starter: no environment, no descriptors, no terminal.
 */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "bank/server.h"
#include "bank/start.h"

extern char **environ;

/* A service manager's bank runs in the foreground and logs to its standard error. */
struct options { const char *home; bool foreground, check; };

static bool options_read(int argc, char **argv, struct options *o)
{
	*o = (struct options){0};
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--home") == 0 && i + 1 < argc)
			o->home = argv[++i];
		else if (strcmp(argv[i], "--foreground") == 0)
			o->foreground = true;
		else if (strcmp(argv[i], "--check") == 0)
			o->check = true;
		else
			return false;
	}
	return true;
}

static void environment_empty(void)
{
	static const char *const kept[] = {"FAREBOX_FAULT", "FAREBOX_FAULT_FILE", "FAREBOX_LIBEXEC", "FAREBOX_PLANTED"};
	char *values[FARE_ARRAY_N(kept)];
	for (size_t i = 0; i < FARE_ARRAY_N(kept); i++) {
		const char *v = getenv(kept[i]);
		values[i] = v ? fare_strdup(v) : NULL;
	}
	clearenv();
	for (size_t i = 0; i < FARE_ARRAY_N(kept); i++) {
		if (values[i] && setenv(kept[i], values[i], 1) != 0)
			fare_fatal("no memory");
		free(values[i]);
	}
}

/* Root drops to the home's owner; others must be it. */
static void become_owner(const struct fare_conf *c)
{
	struct stat st;
	if (stat(c->home, &st) != 0)
		fare_fatal("%s: %s", c->home, strerror(errno));
	if (geteuid() != 0 && geteuid() != st.st_uid)
		fare_fatal("%s belongs to another user: the bank runs as its owner only", c->home);
	if (geteuid() != 0 || st.st_uid == 0)
		return;
	if (setgroups(0, NULL) != 0 || setgid(st.st_gid) != 0 || setuid(st.st_uid) != 0)
		fare_fatal("cannot become the owner of %s: %s", c->home, strerror(errno));
}

static bool log_missing; /* its disk is what the bank waits for */

static int log_open(const struct fare_conf *c)
{
	char path[FARE_PATH_N];
	if (!fare_path(path, sizeof path, c->run, "bank.log"))
		fare_fatal("the run folder's path is too long");
	int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	log_missing = log < 0 && (errno == EROFS || errno == ENOSPC);
	if (log < 0 && !log_missing)
		fare_fatal("%s: %s", path, strerror(errno));
	return log;
}

static void waited(const struct fare_conf *c)
{
	int log = log_missing ? log_open(c) : -1;
	if (log >= 0) {
		dup2(log, STDERR_FILENO);
		close(log);
	}
}

static void leave_starter(const struct fare_conf *c, bool foreground)
{
	int null = open("/dev/null", O_RDWR);
	int log = -1;
	if (!foreground) {
		setsid();
		log = log_open(c);
		if (log < 0)
			log = open("/dev/null", O_WRONLY);
	}
	if (null < 0 || chdir("/") != 0)
		fare_fatal("/dev/null or /: %s", strerror(errno));
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	if (log >= 0)
		dup2(log, STDERR_FILENO);
	if (close_range(STDERR_FILENO + 1, ~0u, 0) != 0)
		fare_fatal("close_range: %s", strerror(errno));
	umask(0077);
}

int main(int argc, char **argv)
{
	static struct fare_conf conf;
	char error[FARE_CONF_ERROR_N];
	struct options o;
	fare_log_role("bank");
	/* Being woken interrupts nobody at work: whoever asks goes on, and is found with more than one question. Costs at most a time slice, and only when all processors are busy. */
	(void)sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
	if (!options_read(argc, argv, &o)) {
		fprintf(stderr, "usage: farebox-bank --home DIR [--foreground | --check]\n");
		return 2;
	}
	if (o.check) { /* before a running bank makes room for this program */
		if (fare_conf_load(&conf, o.home, error) && fare_bank_fits(&conf, error))
			return 0;
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	if (!fare_conf_load(&conf, o.home, error))
		fare_fatal("%s", error);
	environment_empty();
	if (!fare_run_prepare(&conf, error))
		fare_fatal("%s", error);
	become_owner(&conf);
	leave_starter(&conf, o.foreground);
	fare_fd_limit_raise();
	return fare_bank_serve(&conf, waited);
}
