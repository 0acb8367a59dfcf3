/* One request as CGI. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "flow/gate.h"
#include "flow/relay.h"
#include "flow/secrets.h"

#include "cgi.h"
#include "io_cgi.h"
#include "isolate.h"

enum {
	PIECE_N = PIPE_BUF,  /* what a pipe that is ready takes without blocking */
	LOOK_MS = 200,       /* how often the porter sees whether there is a bank */
	SETTLE_MS = 1000,    /* after the answer; what the bank has not said by then it takes from the meter */
	JOURNAL_MS = 1000,   /* after that; what the disk has not taken by then is lost */
	GONE_MS = 1500,      /* Apache kills what has not ended 3 s after SIGTERM */
	NO_BANK_MS = 1000
};

extern char **environ;

/* The porter: from the relay's end of the pair to standard output. */
struct porter {
	struct fare_link *link;
	int from, to, signals, child;
	pthread_t thread;
};

bool fare_cgi_is(void)
{
	const char *gateway = getenv("GATEWAY_INTERFACE");
	int listening = 0;
	socklen_t n = sizeof listening;
	return gateway && strncmp(gateway, "CGI/", 4) == 0 && !(getsockopt(STDIN_FILENO, SOL_SOCKET, SO_ACCEPTCONN, &listening, &n) == 0 && listening);
}

static void look_for_bank(const struct porter *p)
{
	char word;
	if (fare_link_connected(p->link))
		return;
	while (recv(p->child, &word, 1, MSG_DONTWAIT) == 1) /* its earlier answers */
		;
	fare_cgi_bank_want(p->child);
}

/* Waits until fd is ready; false: SIGTERM, or nobody reads standard output any more. */
static bool porter_wait(const struct porter *p, int fd, short events)
{
	for (;;) {
		struct pollfd w[] = {{.fd = fd, .events = events}, {.fd = p->signals, .events = POLLIN}, {.fd = p->to}};
		int n = poll(w, 3, LOOK_MS);
		if (n < 0 && errno != EINTR)
			return false;
		if (n == 0)
			look_for_bank(p);
		if (n > 0 && (w[1].revents || w[2].revents))
			return false;
		if (n > 0 && w[0].revents)
			return true;
	}
}

static bool porter_put(const struct porter *p, const char *bytes, size_t n)
{
	while (n) {
		if (!porter_wait(p, p->to, POLLOUT))
			return false;
		ssize_t k = write(p->to, bytes, n < PIECE_N ? n : PIECE_N);
		if (k < 0 && errno != EINTR && errno != EAGAIN)
			return false;
		bytes += k > 0 ? k : 0;
		n -= k > 0 ? (size_t)k : 0;
	}
	return true;
}

/* Closing our end tells the relay that the caller is gone; closing standard output, that the answer is whole. */
static void *porter_run(void *arg)
{
	struct porter *p = arg;
	static char bytes[64 * 1024]; /* one thread */
	prctl(PR_SET_NAME, "farebox-porter");
	while (porter_wait(p, p->from, POLLIN)) {
		ssize_t n = read(p->from, bytes, sizeof bytes);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || !porter_put(p, bytes, (size_t)n))
			break;
	}
	close(p->from);
	close(p->to);
	return NULL;
}

/* Standard input and output out of the way of all that is started or opened from here on. False: there are none. */
static bool streams_take(int *in, int *out)
{
	int null = open("/dev/null", O_RDWR);
	*in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
	*out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	bool ok = null >= 0 && *in >= 0 && *out >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(null, STDOUT_FILENO) >= 0;
	if (null > STDERR_FILENO)
		close(null);
	return ok;
}

/* Before there is anything that could say more. */
static int unavailable(int out)
{
	static const char text[] = "Status: 503 Service Unavailable\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nRetry-After: 1\r\n\r\n"
		"{\"error\": {\"message\": \"The gateway is not usable as it is set up; its log says why.\", \"type\": \"server_error\", \"code\": \"store_unavailable\"}}\n";
	if (write(out, text, sizeof text - 1) < 0)
		fare_log(FARE_WARN, "standard output: %s", strerror(errno));
	return 1;
}

static int signals_take(void)
{
	sigset_t set;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool gate_open(struct fare_gate *g, const struct fare_conf *c)
{
	char error[FARE_ERROR_N] = "";
	*g = (struct fare_gate){.conf = c, .budget = {.max = (size_t)c->body_memory_bytes}, .brief = true};
	g->secrets = fare_secrets_new();
	fare_secrets_no_env(g->secrets);
	g->catalogs = fare_catalogs_new(c->run);
	g->journal = fare_journal_new(c->home, c->run);
	g->relay = g->journal ? fare_relay_new(g) : NULL;
	g->link = g->relay ? fare_link_new(c->run, 0, 1, fare_relay_loop(g->relay), error) : NULL;
	if (g->relay && !g->link)
		fare_log(FARE_ALARM, "%s", error);
	return g->link;
}

static int serve(struct fare_gate *g, struct porter *p, char **params, int in)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return unavailable(p->to);
	p->from = pair[1];
	p->link = g->link;
	if (pthread_create(&p->thread, NULL, porter_run, p) != 0)
		return unavailable(p->to);
	fare_gate_serve(g, &fare_io_cgi_ops, fare_io_cgi_new(params, in, pair[0]));
	pthread_join(p->thread, NULL); /* the answer is out, or its caller gone */
	while (fare_relay_running(g->relay))
		poll(NULL, 0, 5);
	if (!fare_link_drain(g->link, SETTLE_MS))
		fare_log(FARE_INFO, "left before the bank's last word: it settles by the meter");
	if (!fare_journal_drain(g->journal, JOURNAL_MS))
		fare_log(FARE_WARN, "the log of calls: the disk does not keep up, a line is lost");
	return 0;
}

static void settings_adapt(struct fare_conf *c, bool bank)
{
	c->slots = 1;
	if (c->client_gone_ms > GONE_MS)
		c->client_gone_ms = GONE_MS;
	if (!bank && c->admit_timeout_ms > NO_BANK_MS)
		c->admit_timeout_ms = NO_BANK_MS;
}

int fare_cgi_run(void)
{
	static struct fare_conf conf;
	static char *no_env[] = {NULL};
	static struct fare_gate gate;
	char error[FARE_CONF_ERROR_N];
	char **params = environ;
	struct porter porter = {0};
	int in, log_folder;
	fare_log_role("cgi");
	umask(077);
	if (!streams_take(&in, &porter.to))
		fare_fatal("no standard input and output: %s", strerror(errno));
	if (!fare_conf_load(&conf, NULL, error)) {
		fare_log(FARE_ALARM, "%s", error);
		return unavailable(porter.to);
	}
	fare_conf_log(&conf);
	porter.child = fare_cgi_bank_child(&conf);
	if (porter.child < 0)
		return unavailable(porter.to);
	fare_cgi_bank_want(porter.child);
	bool bank = fare_cgi_bank_wait(porter.child);
	environ = no_env; /* what a caller can put words into is nobody's setting */
	settings_adapt(&conf, bank);
	log_folder = fare_journal_folder(conf.home); /* before it is out of reach; where it cannot be had, the first call says so */
	if (log_folder >= 0)
		close(log_folder);
	porter.signals = signals_take();
	if (porter.signals < 0 || !fare_isolate(conf.home, conf.run, fare_isolate_level(conf.home, geteuid())) || !gate_open(&gate, &conf))
		return unavailable(porter.to);
	_exit(serve(&gate, &porter, params, in)); /* threads may be at work still; the kernel takes it all */
}
