/* One try to deliver an alarm. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "net/net.h"

#include "alarm.h"
#include "isolate.h"
#include "keeper.h"

FARE_NORETURN static void give_up(const char *what)
{
	fare_log(FARE_WARN, "%s: %s", what, strerror(errno));
	_exit(1);
}

FARE_NORETURN void fare_alarm_run(const struct fare_conf *c, struct fare_span line)
{
	static char home[sizeof "FAREBOX_HOME=" + FARE_PATH_N], path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", root[] = "HOME=/";
	char *env[] = {path, root, home, NULL}, *argv[] = {(char *)(uintptr_t)c->alarm_command, NULL};
	int in = memfd_create("farebox-alarm", MFD_CLOEXEC), null = open("/dev/null", O_RDWR | O_CLOEXEC);
	snprintf(home, sizeof home, "FAREBOX_HOME=%s", c->home);
	if (in < 0 || null < 0 || !fare_write_all(in, line.p, line.n) || !fare_write_all(in, "\n", 1) || lseek(in, 0, SEEK_SET) != 0)
		give_up("alarm_command");
	int log = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	if (log < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		give_up("alarm_command");
	execve(c->alarm_command, argv, env);
	int e = errno;
	dup2(log, STDERR_FILENO);
	errno = e;
	give_up(c->alarm_command);
}

/* ---- The webhook */

struct posting {
	struct fare_loop *loop;
	struct fare_transfer *transfer;
	int status;
	enum fare_net_result result;
	char error[FARE_NET_ERROR_N];
};

static void on_head(void *arg, int status) { ((struct posting *)arg)->status = status; }

static void on_done(void *arg, enum fare_net_result result)
{
	struct posting *p = arg;
	p->result = result;
	snprintf(p->error, sizeof p->error, "%s", fare_transfer_error(p->transfer));
	fare_loop_stop(p->loop);
}

static void confine(const struct fare_conf *c)
{
	struct fare_worker_user u;
	char error[FARE_CONF_ERROR_N];
	if (!fare_worker_user_find(&u, c, error)) {
		fare_log(FARE_WARN, "alarm_webhook: %s", error);
		_exit(1);
	}
	if (!fare_worker_user_become(&u))
		give_up("alarm_webhook");
	if (!fare_isolate(c->home, c->run, fare_isolate_level(c->home, geteuid())))
		_exit(1);
}

/* The address is not logged: it may hold a secret. */
FARE_NORETURN void fare_alarm_post(const struct fare_conf *c, struct fare_span line)
{
	enum { ANSWER_MAX = 64 * 1024 };
	static const struct fare_net_events events = {.head = on_head, .done = on_done};
	static const struct fare_net_header headers[] = {{"Content-Type", "application/json"}, {"User-Agent", "farebox/" PACKAGE_VERSION}};
	const struct fare_net_settings settings = {.connections_max = 1, .proxy = c->proxy, .ca_file = c->ca_file, .tls_13 = strcmp(c->tls_min_version, "1.3") == 0};
	uint64_t ms = (uint64_t)c->alarm_timeout_ms;
	const struct fare_net_request request = {
		.url = c->alarm_webhook, .post = true, .headers = headers, .header_count = FARE_ARRAY_N(headers), .body = &line, .body_count = 1,
		.timeouts = {.connect_ms = ms, .first_byte_ms = ms, .idle_ms = ms, .total_ms = ms}, .body_max = ANSWER_MAX,
	};
	struct posting p = {0};
	confine(c);
	p.loop = fare_loop_new();
	struct fare_net *net = p.loop ? fare_net_new(p.loop, &settings) : NULL;
	if (!net)
		give_up("alarm_webhook");
	p.transfer = fare_net_start(net, &request, &events, &p);
	fare_loop_run(p.loop);
	bool ok = p.status >= 200 && p.status < 300; /* whatever becomes of the rest of its answer */
	if (!ok && p.status)
		fare_log(FARE_WARN, "alarm_webhook: it answers %d", p.status);
	else if (!ok)
		fare_log(FARE_WARN, "alarm_webhook: %s", fare_net_result_text(p.result));
	_exit(ok ? 0 : 1);
}
