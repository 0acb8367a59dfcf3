/* curl's multi interface on the loop: its sockets, its timer, and what has ended. */
#include "base/first.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/log.h"
#include "net/transfer.h"

/* Easy handles that wait for their next transfer: making one costs more than resetting it. */
enum { SPARE_MAX = 64 };

static void net_check(struct fare_net *n)
{
	int left;
	for (CURLMsg *m; (m = curl_multi_info_read(n->multi, &left));) {
		if (m->msg != CURLMSG_DONE)
			continue;
		struct fare_transfer *t;
		CURLcode code = m->data.result;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		fare_transfer_end(t, code);
	}
}

static void on_timer(void *arg)
{
	struct fare_net *n = arg;
	int running;
	curl_multi_socket_action(n->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	net_check(n);
}

static void on_gate(void *arg)
{
	fare_origin_open(arg);
}

static void on_socket(void *arg, int fd, unsigned events)
{
	struct fare_net *n = arg;
	int running, what = 0;
	if (events & FARE_READ)
		what |= CURL_CSELECT_IN;
	if (events & FARE_WRITE)
		what |= CURL_CSELECT_OUT;
	curl_multi_socket_action(n->multi, fd, what, &running);
	net_check(n);
}

static int timer_wanted(CURLM *multi, long after_ms, void *arg)
{
	struct fare_net *n = arg;
	(void)multi;
	if (after_ms < 0)
		fare_timer_clear(n->timer);
	else
		fare_timer_set(n->timer, (uint64_t)after_ms);
	return 0;
}

static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct fare_net *n = arg;
	struct fare_watch *w = socket_arg;
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		fare_watch_free(&w);
		curl_multi_assign(n->multi, fd, NULL);
		return 0;
	}
	unsigned events = (what & CURL_POLL_IN ? FARE_READ : 0u) | (what & CURL_POLL_OUT ? FARE_WRITE : 0u);
	if (w)
		fare_watch_set(w, events);
	else
		curl_multi_assign(n->multi, fd, fare_watch_new(n->loop, fd, events, on_socket, n));
	return 0;
}

CURL *fare_net_easy(struct fare_net *n)
{
	return n->spare_n ? n->spare[--n->spare_n] : curl_easy_init();
}

void fare_net_easy_back(struct fare_net *n, CURL *easy)
{
	if (n->spare_n == SPARE_MAX) {
		curl_easy_cleanup(easy);
		return;
	}
	curl_easy_reset(easy);
	n->spare[n->spare_n++] = easy;
}

static void curl_begin(void)
{
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		fare_fatal("libcurl cannot be used");
}

/* As the curl command does; the library itself does not look. */
static const char *ca_file_of(const struct fare_net_settings *s)
{
	const char *names[] = {"CURL_CA_BUNDLE", "SSL_CERT_FILE"};
	if (s->ca_file && *s->ca_file)
		return s->ca_file;
	for (size_t i = 0; i < FARE_ARRAY_N(names); i++) {
		const char *v = getenv(names[i]);
		if (v && *v)
			return v;
	}
	return NULL;
}

struct fare_net *fare_net_new(struct fare_loop *loop, const struct fare_net_settings *s)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, curl_begin);
	struct fare_net *n = fare_alloc(sizeof *n);
	n->loop = loop;
	n->multi = curl_multi_init();
	if (!n->multi) {
		free(n);
		return NULL;
	}
	n->spare = fare_alloc(SPARE_MAX * sizeof *n->spare);
	n->timer = fare_timer_new(loop, on_timer, n);
	n->gate = fare_timer_new(loop, on_gate, n);
	n->proxy = s->proxy && *s->proxy ? fare_strdup(s->proxy) : NULL;
	const char *ca = ca_file_of(s);
	n->ca_file = ca ? fare_strdup(ca) : NULL;
	n->held_max = s->held_max ? s->held_max : 256 * 1024 * 1024;
	n->tls_13 = s->tls_13;
	n->http1_only = s->http1_only;
	curl_multi_setopt(n->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
	curl_multi_setopt(n->multi, CURLMOPT_SOCKETDATA, n);
	curl_multi_setopt(n->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
	curl_multi_setopt(n->multi, CURLMOPT_TIMERDATA, n);
	curl_multi_setopt(n->multi, CURLMOPT_MAXCONNECTS, (long)s->connections_max);
	return n;
}

void fare_net_free(struct fare_net **at)
{
	struct fare_net *n = *at;
	if (!n)
		return;
	*at = NULL;
	while (n->first) {
		struct fare_transfer *t = n->first;
		fare_transfer_abort(&t);
	}
	while (n->spare_n)
		curl_easy_cleanup(n->spare[--n->spare_n]);
	curl_multi_cleanup(n->multi);
	fare_timer_free(&n->timer);
	fare_timer_free(&n->gate);
	fare_origins_free(n);
	free(n->spare);
	free(n->proxy);
	free(n->ca_file);
	free(n);
}
