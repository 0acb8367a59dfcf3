/* farebox-sandbox: the simulated provider's main. See sandbox.h for what it is and why it shares nothing with lib/. */
#include "base/first.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/listener.h>

#include "sandbox.h"

static const char usage[] =
	"usage: farebox-sandbox [--port N] [--port-file F] [--key-file F] [--record F] [--body-timeout-ms N]\n"
	"A simulated provider of OpenAI's API on 127.0.0.1, for tests and trials.\n"
	"  --port N              0 (the default): any free one; it is printed\n"
	"  --port-file F         write the port there too, once requests are taken\n"
	"  --key-file F          the only API key that is right (first line); without: any key\n"
	"  --record F            append a line there for each call that ended\n"
	"  --body-timeout-ms N   how long a request may stand still (10000)\n";

struct options {
	int port, body_timeout_ms;
	const char *port_file, *key_file, *record;
};

static int fail(const char *what)
{
	fprintf(stderr, "farebox-sandbox: %s: %s\n", what, strerror(errno));
	return 1;
}

static int number_parse(const char *text, int max)
{
	char *end;
	long n;

	errno = 0;
	n = strtol(text, &end, 10);
	return errno || *end || end == text || n < 0 || n > max ? -1 : (int)n;
}

/* 0, or the exit code. */
static int options_parse(int argc, char **argv, struct options *o, bool *is_help)
{
	static const struct option names[] = {
		{"port", required_argument, NULL, 'p'}, {"port-file", required_argument, NULL, 'f'},
		{"key-file", required_argument, NULL, 'k'}, {"record", required_argument, NULL, 'r'},
		{"body-timeout-ms", required_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 'p': o->port = number_parse(optarg, 65535); break;
		case 't': o->body_timeout_ms = number_parse(optarg, 86400000); break;
		case 'f': o->port_file = optarg; break;
		case 'k': o->key_file = optarg; break;
		case 'r': o->record = optarg; break;
		case 'h': *is_help = true; return 0;
		default: return 2;
		}
	}
	return optind < argc || o->port < 0 || o->body_timeout_ms < 1 ? 2 : 0;
}

static int key_read(struct fare_sb *sb, const char *path)
{
	FILE *f = fopen(path, "r");
	size_t max = 0;
	ssize_t n = f ? getline(&sb->key, &max, f) : -1;

	if (f)
		fclose(f);
	while (n > 0 && (sb->key[n - 1] == '\n' || sb->key[n - 1] == '\r'))
		sb->key[--n] = 0;
	if (n <= 0)
		return -1;
	sb->key_n = (size_t)n;
	return 0;
}

/* Written under another name first: who sees the file sees the whole number. */
static int port_write(const char *path, int port)
{
	char part[4096];
	FILE *f;
	int rc;

	if ((size_t)snprintf(part, sizeof part, "%s.part", path) >= sizeof part)
		return -1;
	f = fopen(part, "w");
	if (!f)
		return -1;
	fprintf(f, "%d\n", port);
	rc = fclose(f);
	return rc ? rc : rename(part, path);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer, int n, void *arg)
{
	(void)listener;
	(void)peer;
	(void)n;
	fare_sb_conn_accept(arg, fd);
}

/* No descriptors left: rest a moment instead of spinning on a queue that can't be served. */
static void on_rested(evutil_socket_t fd, short what, void *arg)
{
	struct fare_sb *sb = arg;

	(void)fd;
	(void)what;
	evconnlistener_enable(sb->listener);
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	struct fare_sb *sb = arg;
	struct timeval rest = {0, 50000};

	evconnlistener_disable(listener);
	event_base_once(sb->base, -1, EV_TIMEOUT, on_rested, sb, &rest);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	event_base_loopbreak(arg);
}

static int listen_start(struct fare_sb *sb, const struct options *o)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port)};
	socklen_t n = sizeof at;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sb->listener = evconnlistener_new_bind(sb->base, on_accept, sb, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
		4096, (struct sockaddr *)&at, sizeof at);
	if (!sb->listener || getsockname(evconnlistener_get_fd(sb->listener), (struct sockaddr *)&at, &n))
		return fail("can't listen");
	evconnlistener_set_error_cb(sb->listener, on_accept_error);
	if (o->port_file && port_write(o->port_file, ntohs(at.sin_port)))
		return fail(o->port_file);
	printf("%d\n", ntohs(at.sin_port));
	fflush(stdout);
	return 0;
}

static int serve(struct fare_sb *sb, const struct options *o)
{
	struct event *term = evsignal_new(sb->base, SIGTERM, on_signal, sb->base);
	struct event *interrupt = evsignal_new(sb->base, SIGINT, on_signal, sb->base);
	int rc = 1;

	if (term && interrupt && !event_add(term, NULL) && !event_add(interrupt, NULL))
		rc = listen_start(sb, o);
	if (!rc)
		rc = event_base_dispatch(sb->base) < 0;
	if (sb->listener)
		evconnlistener_free(sb->listener);
	if (term)
		event_free(term);
	if (interrupt)
		event_free(interrupt);
	return rc;
}

static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit); /* if it can't be raised, what there is must do */
}

int main(int argc, char **argv)
{
	struct options o = {.body_timeout_ms = 10000};
	struct fare_sb sb = {0};
	FILE *out = NULL;
	bool is_help = false;
	int rc = options_parse(argc, argv, &o, &is_help);

	if (rc || is_help) {
		fputs(usage, rc ? stderr : stdout);
		return rc;
	}
	umask(077);
	signal(SIGPIPE, SIG_IGN);
	descriptors_raise();
	sb.body_timeout_ms = o.body_timeout_ms;
	if (o.key_file && key_read(&sb, o.key_file))
		return fail(o.key_file);
	if (o.record && !(out = fopen(o.record, "a")))
		return fail(o.record);
	sb.record = fare_sb_record_new(out);
	sb.base = event_base_new();
	if (!sb.record || !sb.base)
		return fail("can't start");
	rc = serve(&sb, &o);
	event_base_free(sb.base);
	fare_sb_record_free(&sb.record);
	free(sb.key);
	if (out)
		fclose(out);
	return rc;
}
