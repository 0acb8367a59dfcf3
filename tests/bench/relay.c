/* farebox-bench-relay SOCKET URL: what any gateway of this build must do, and no more: FastCGI by libfcgi on doormen's threads, the body handed to one loop thread, which
 * passes it on with curl_multi and gives back what comes. No key, no money, no checks, no deadlines, answers whole. The yardstick of the benchmark. */
#include "base/first.h"

#include <errno.h>
#include <fcgiapp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <curl/curl.h>

enum { DOORMEN = 8, BODY_MAX = 1024 * 1024, EVENTS_MAX = 256, SPARE_MAX = 256 };

struct call {
	struct call *next;
	FCGX_Request request;
	CURL *easy;
	char *body, *answer;
	size_t body_n, answer_n;
};

static const char *url;
static int listen_fd, wake_fd, poll_fd;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct call *first; /* handed over, newest first */
static CURLM *multi;
static long timer_ms = -1;
static CURL *spare[SPARE_MAX];
static unsigned spare_n;
static struct curl_slist *headers;

/* ---- Doormen */

static bool body_read(struct call *c)
{
	const char *text = FCGX_GetParam("CONTENT_LENGTH", c->request.envp);
	unsigned long n = text ? strtoul(text, NULL, 10) : 0;
	if (n > BODY_MAX || !(c->body = malloc(n + 1)))
		return false;
	c->body_n = (size_t)FCGX_GetStr(c->body, (int)n, c->request.in);
	return c->body_n == n;
}

static void call_free(struct call *c)
{
	FCGX_Finish_r(&c->request);
	free(c->body);
	free(c->answer);
	free(c);
}

static void *doorman_run(void *arg)
{
	uint64_t one = 1;
	(void)arg;
	for (;;) {
		struct call *c = calloc(1, sizeof *c);
		if (!c || FCGX_InitRequest(&c->request, listen_fd, 0) != 0 || FCGX_Accept_r(&c->request) != 0)
			exit(1);
		if (!body_read(c)) {
			call_free(c);
			continue;
		}
		pthread_mutex_lock(&lock);
		bool was_empty = !first;
		c->next = first;
		first = c;
		pthread_mutex_unlock(&lock);
		if (was_empty && write(wake_fd, &one, sizeof one) < 0)
			exit(1);
	}
}

/* ---- The loop */

static size_t on_data(char *p, size_t size, size_t count, void *arg)
{
	struct call *c = arg;
	char *more = realloc(c->answer, c->answer_n + size * count + 1);
	if (!more)
		return 0;
	c->answer = more;
	memcpy(c->answer + c->answer_n, p, size * count);
	c->answer_n += size * count;
	return size * count;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct epoll_event e = {.data.fd = fd};
	(void)easy, (void)arg;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(poll_fd, EPOLL_CTL_DEL, fd, &e);
		return 0;
	}
	e.events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) | (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
	if (epoll_ctl(poll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &e) != 0)
		epoll_ctl(poll_fd, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &e);
	curl_multi_assign(multi, fd, &multi);
	return 0;
}

static int on_timer(CURLM *m, long after_ms, void *arg)
{
	(void)m, (void)arg;
	timer_ms = after_ms;
	return 0;
}

static void call_start(struct call *c)
{
	c->easy = spare_n ? spare[--spare_n] : curl_easy_init();
	curl_easy_setopt(c->easy, CURLOPT_URL, url);
	curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->body);
	curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE, (long)c->body_n);
	curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(c->easy, CURLOPT_PRIVATE, c);
	curl_multi_add_handle(multi, c->easy);
}

static void calls_take(void)
{
	uint64_t count;
	if (read(wake_fd, &count, sizeof count) < 0 && errno != EAGAIN)
		exit(1);
	pthread_mutex_lock(&lock);
	struct call *c = first;
	first = NULL;
	pthread_mutex_unlock(&lock);
	for (struct call *next; c; c = next) {
		next = c->next;
		call_start(c);
	}
}

static void call_end(struct call *c, CURLcode result)
{
	long status = 502;
	if (result == CURLE_OK)
		curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_multi_remove_handle(multi, c->easy);
	if (spare_n < SPARE_MAX) {
		curl_easy_reset(c->easy);
		spare[spare_n++] = c->easy;
	} else {
		curl_easy_cleanup(c->easy);
	}
	FCGX_FPrintF(c->request.out, "Status: %ld\r\nContent-Type: application/json\r\nContent-Length: %lu\r\n\r\n", status, (unsigned long)c->answer_n);
	FCGX_PutStr(c->answer, (int)c->answer_n, c->request.out);
	call_free(c);
}

static void ended_take(void)
{
	int left;
	for (CURLMsg *m; (m = curl_multi_info_read(multi, &left));) {
		struct call *c = NULL;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
		call_end(c, m->data.result);
	}
}

static void loop_run(void)
{
	struct epoll_event events[EVENTS_MAX];
	int running;
	for (;;) {
		int n = epoll_wait(poll_fd, events, EVENTS_MAX, timer_ms < 0 ? -1 : (int)timer_ms);
		for (int i = 0; i < n; i++) {
			uint32_t e = events[i].events;
			int what = (e & (EPOLLIN | EPOLLHUP) ? CURL_CSELECT_IN : 0) | (e & EPOLLOUT ? CURL_CSELECT_OUT : 0) | (e & EPOLLERR ? CURL_CSELECT_ERR : 0);
			if (events[i].data.fd == wake_fd)
				calls_take();
			else
				curl_multi_socket_action(multi, events[i].data.fd, what, &running);
		}
		if (n == 0 || timer_ms == 0) {
			timer_ms = -1;
			curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
		}
		ended_take();
	}
}

int main(int argc, char **argv)
{
	struct epoll_event e = {.events = EPOLLIN};
	if (argc != 4) {
		fprintf(stderr, "usage: farebox-bench-relay SOCKET URL PROCESSES\n");
		return 2;
	}
	url = argv[2];
	setenv("LIBFCGI_OS_CLOSE_POLL_TIMEOUT", "0", 1); /* else it waits for the web server to close first */
	if (FCGX_Init() != 0 || (listen_fd = FCGX_OpenSocket(argv[1], 1024)) < 0 || chmod(argv[1], 0666) != 0)
		return 1;
	signal(SIGTERM, SIG_DFL); /* libfcgi only notes it */
	for (long i = strtol(argv[3], NULL, 10); i > 1; i--)
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			break;
		}
	curl_global_init(CURL_GLOBAL_DEFAULT);
	headers = curl_slist_append(curl_slist_append(NULL, "Content-Type: application/json"), "Expect:");
	wake_fd = e.data.fd = eventfd(0, EFD_NONBLOCK);
	poll_fd = epoll_create1(0);
	multi = curl_multi_init();
	if (!headers || !multi || epoll_ctl(poll_fd, EPOLL_CTL_ADD, wake_fd, &e) != 0)
		return 1;
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 2048L);
	for (int i = 0; i < DOORMEN; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, doorman_run, NULL) != 0)
			return 1;
	}
	loop_run();
}
