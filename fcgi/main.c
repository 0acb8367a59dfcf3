/* farebox.fcgi: the keeper, or, started by it with --worker, a worker; or, started by a web server as CGI, the one request. */
#include "base/first.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/num.h"
#include "base/version.h"
#include "bank/start.h"

#include "cgi.h"
#include "keeper.h"
#include "worker.h"

static const char usage[] =
	"usage: farebox.fcgi [--home DIR] [--own]\n"
	"  Serves on the listening socket it finds on descriptor 0 (lighttpd, spawn-fcgi) or is handed by systemd, else on the path `listen` of the settings.\n"
	"  Started by a web server as CGI it serves that one request, for the instance FAREBOX_HOME.\n"
	"  --home DIR  the instance (default: FAREBOX_HOME, else " FARE_LOCALSTATEDIR "/lib/farebox)\n"
	"  --own       makes its own socket whatever it is given\n"
	"  --check     only looks whether it could run: settings, and the format of the store\n"
	"  SIGHUP reloads, SIGTERM drains and stops, SIGINT stops at once.\n";

/* The copy of the settings that the keeper left on its descriptor. */
static struct fare_worker_start *start_read(void)
{
	struct fare_worker_start *s = fare_alloc(sizeof *s);
	ssize_t n = pread(FARE_WORKER_CONF_FD, s, sizeof *s, 0);
	if (n != (ssize_t)sizeof *s || s->size != sizeof *s)
		fare_fatal("--worker is for the keeper alone");
	close(FARE_WORKER_CONF_FD);
	return s;
}

static int worker_run(void)
{
	fare_log_role("worker");
	prctl(PR_SET_NAME, "farebox-worker");
	umask(077);
	(void)sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}); /* as the bank does, and why */
	struct fare_worker_start *s = start_read();
	fare_conf_log(&s->conf);
	if (!fare_isolate(s->conf.home, s->conf.run, (enum fare_isolation)s->isolation))
		fare_fatal("not isolated as it must be");
	int status = fare_worker_main(&s->conf, s->number, FARE_WORKER_LISTEN_FD, FARE_WORKER_PIPE_FD);
	free(s);
	return status;
}

static int check_run(const char *home, uint64_t handover)
{
	static struct fare_conf conf;
	struct fare_worker_user user;
	char error[FARE_CONF_ERROR_N];
	if (handover > FARE_HANDOVER_VERSION)
		snprintf(error, sizeof error, "farebox %s cannot take over from a later one while it runs: farebox stop, then start", fare_version);
	else if (fare_conf_load(&conf, home, error) && fare_worker_user_find(&user, &conf, error) && fare_bank_fits(&conf, error))
		return 0;
	fprintf(stderr, "%s\n", error);
	return 1;
}

int main(int argc, char **argv)
{
	const char *home = NULL;
	bool own = false, check = false;
	uint64_t after = UINT64_MAX, handover = 0;
	if (fare_cgi_is())
		return fare_cgi_run();
	if (argc == 2 && strcmp(argv[1], "--worker") == 0)
		return worker_run();
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--home") == 0 && i + 1 < argc) {
			home = argv[++i];
		} else if (strcmp(argv[i], "--own") == 0) {
			own = true;
		} else if (strcmp(argv[i], "--check") == 0) {
			check = true;
			/* from a keeper: the version of what it would hand on */
			if (i + 1 < argc && fare_num_u64(fare_span_of(argv[i + 1]), 1, INT32_MAX, &handover))
				i++;
		} else if (strcmp(argv[i], "--after") == 0 && i + 1 < argc && fare_num_u64(fare_span_of(argv[i + 1]), 1, INT32_MAX, &after)) {
			i++;
		} else if (strcmp(argv[i], "--help") == 0) {
			fputs(usage, stdout);
			return 0;
		} else {
			fputs(usage, stderr);
			return 2;
		}
	}
	if (check)
		return check_run(home, handover);
	fare_log_role("keeper");
	umask(027);
	return fare_keeper_run(home, own, after <= INT32_MAX ? (int)after : -1);
}
