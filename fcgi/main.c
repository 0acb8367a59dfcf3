/* farebox.fcgi: the keeper, or, started by it with --worker, a worker; or, started by a web server as CGI, the one request. */
#include "base/first.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#include "cgi.h"
#include "keeper.h"
#include "worker.h"

static const char usage[] =
	"usage: farebox.fcgi [--home DIR] [--own]\n"
	"  Serves on the listening socket it finds on descriptor 0 (lighttpd, spawn-fcgi) or is handed by systemd, else on the path `listen` of the settings.\n"
	"  Started by a web server as CGI it serves that one request, for the instance FAREBOX_HOME.\n"
	"  --home DIR  the instance (default: FAREBOX_HOME, else " FARE_LOCALSTATEDIR "/lib/farebox)\n"
	"  --own       makes its own socket whatever it is given\n"
	"  SIGHUP reloads, SIGTERM drains and stops, SIGINT stops at once.\n";

/* The copy of the settings that the keeper left on its descriptor. */
static const struct fare_worker_start *start_read(void)
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
	const struct fare_worker_start *s = start_read();
	fare_conf_log(&s->conf);
	if (!fare_isolate(s->conf.home, s->conf.run, (enum fare_isolation)s->isolation))
		fare_fatal("not isolated as it must be");
	return fare_worker_main(&s->conf, s->number, FARE_WORKER_LISTEN_FD, FARE_WORKER_PIPE_FD);
}

int main(int argc, char **argv)
{
	const char *home = NULL;
	bool own = false;
	if (fare_cgi_is())
		return fare_cgi_run();
	if (argc == 2 && strcmp(argv[1], "--worker") == 0)
		return worker_run();
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--home") == 0 && i + 1 < argc) {
			home = argv[++i];
		} else if (strcmp(argv[i], "--own") == 0) {
			own = true;
		} else if (strcmp(argv[i], "--help") == 0) {
			fputs(usage, stdout);
			return 0;
		} else {
			fputs(usage, stderr);
			return 2;
		}
	}
	fare_log_role("keeper");
	umask(027);
	return fare_keeper_run(home, own);
}
