/* farebox-load: options, and the loop that keeps all connections busy. See load.h. */
#include "base/first.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "load.h"

enum { EVENTS_MAX = 256 };

static const char usage[] =
	"usage: farebox-load --url URL --keys FILE [options]\n"
	"  --url URL            the origin, without a path\n"
	"  --keys FILE          one key a line, used in turn\n"
	"  --calls N            calls to make (1; 0: as many as --run-seconds allows)\n"
	"  --connections C      calls at the same time (1)\n"
	"  --stream-every K     every K-th call is a stream (0: none)\n"
	"  --model M            (sandbox-chat)\n"
	"  --stream-model M     (the same)\n"
	"  --max-tokens N       (0: not said)\n"
	"  --prompt TEXT        (\"Say something.\")\n"
	"  --out FILE           a line per call: index, key index, HTTP status, Farebox-Call-Id, stream 0/1, complete 0/1,\n"
	"                       input tokens, output tokens, error code, curl result, milliseconds; '-' for none\n"
	"  --timeout S          for one call (120)\n"
	"  --run-seconds S      begin no call after that\n"
	"Prints: calls N ok N http_402 N http_other N broken N streams_complete N. Exits 0 if all calls were made.\n";

struct loop {
	struct load *load;
	int poll;
	int64_t timer_ms;              /* when curl wants to be called; -1: not */
	int64_t end_ms;                /* -1: none */
	long next;                     /* index of the next call */
	long running;
	bool is_failed;
};

static int fail(const char *what)
{
	fprintf(stderr, "farebox-load: %s: %s\n", what, errno ? strerror(errno) : "failed");
	return 1;
}

static bool number_parse(const char *text, long *number)
{
	char *end;

	errno = 0;
	*number = strtol(text, &end, 10);
	return !errno && !*end && end != text && *number >= 0 && *number <= 1000000000;
}

static int options_parse(int argc, char **argv, struct load_options *o)
{
	static const char *const names[] = {"url", "keys", "out", "model", "stream-model", "prompt",
		"calls", "connections", "stream-every", "max-tokens", "timeout", "run-seconds"};
	const char **texts[] = {&o->url, &o->keys_path, &o->out_path, &o->model, &o->stream_model, &o->prompt};
	long *numbers[] = {&o->calls, &o->connections, &o->stream_every, &o->max_tokens, &o->timeout_s, &o->run_s};
	struct option list[FARE_ARRAY_N(names) + 1] = {{0}};
	int c;

	for (size_t i = 0; i < FARE_ARRAY_N(names); i++)
		list[i] = (struct option){names[i], required_argument, NULL, 256 + (int)i};
	while ((c = getopt_long(argc, argv, "", list, NULL)) != -1) {
		size_t i = (size_t)c - 256;

		if (c < 256)
			return -1;
		if (i < FARE_ARRAY_N(texts))
			*texts[i] = optarg;
		else if (!number_parse(optarg, numbers[i - FARE_ARRAY_N(texts)]))
			return -1;
	}
	if (!o->stream_model)
		o->stream_model = o->model;
	return optind == argc && o->url && o->keys_path && o->connections && (o->calls || o->run_s) ? 0 : -1;
}

/* The headers of each key. */
static int keys_read(struct load *load)
{
	FILE *f = fopen(load->o.keys_path, "r");
	char *line = NULL, *field = NULL;
	size_t max = 0;
	int rc = f ? 0 : -1;

	while (!rc && getline(&line, &max, f) > 0) {
		struct curl_slist **headers = realloc(load->headers, (load->key_n + 1) * sizeof *headers), *list;

		line[strcspn(line, "\r\n")] = 0;
		if (!headers || asprintf(&field, "Authorization: Bearer %s", line) < 0) {
			rc = -1;
			break;
		}
		load->headers = headers;
		list = curl_slist_append(NULL, field);
		list = curl_slist_append(list, "Content-Type: application/json");
		list = curl_slist_append(list, "Expect:");
		free(field);
		if (*line)
			load->headers[load->key_n++] = list;
		else
			curl_slist_free_all(list);
	}
	free(line);
	if (f)
		fclose(f);
	return rc || !load->key_n ? -1 : 0;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct loop *loop = arg;
	struct epoll_event event = {.data.fd = fd};

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(loop->poll, EPOLL_CTL_DEL, fd, &event);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	/* curl's idea of known and the kernel's differ when a descriptor was closed and its number came back. */
	if (epoll_ctl(loop->poll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event))
		epoll_ctl(loop->poll, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
	curl_multi_assign(loop->load->multi, fd, loop);
	return 0;
}

static int on_timer(CURLM *multi, long wait_ms, void *arg)
{
	struct loop *loop = arg;

	(void)multi;
	loop->timer_ms = wait_ms < 0 ? -1 : load_now_ms() + wait_ms;
	return 0;
}

static bool call_next(struct loop *loop, struct load_call *call)
{
	const struct load_options *o = &loop->load->o;

	if ((o->calls && loop->next >= o->calls) || (loop->end_ms >= 0 && load_now_ms() >= loop->end_ms))
		return false;
	if (load_call_start(call, loop->next)) {
		loop->is_failed = true;
		return false;
	}
	loop->next++;
	loop->running++;
	return true;
}

static void ended_take(struct loop *loop)
{
	struct CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(loop->load->multi, &left)) != NULL) {
		CURLcode result = message->data.result; /* the message dies with the handle's removal */
		CURL *easy = message->easy_handle;
		struct load_call *call = NULL;

		curl_easy_getinfo(easy, CURLINFO_PRIVATE, &call);
		load_call_end(call, result);
		curl_multi_remove_handle(loop->load->multi, easy);
		loop->running--;
		call_next(loop, call);
	}
}

static void loop_run(struct loop *loop)
{
	struct epoll_event events[EVENTS_MAX];
	int running;

	while (loop->running) {
		int64_t wait_ms = loop->timer_ms < 0 ? 1000 : loop->timer_ms - load_now_ms();
		int n = epoll_wait(loop->poll, events, EVENTS_MAX, wait_ms < 0 ? 0 : wait_ms > 1000 ? 1000 : (int)wait_ms);

		for (int i = 0; i < n; i++) {
			uint32_t e = events[i].events;
			int what = (e & EPOLLIN ? CURL_CSELECT_IN : 0) | (e & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
				(e & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

			curl_multi_socket_action(loop->load->multi, events[i].data.fd, what, &running);
		}
		if (loop->timer_ms >= 0 && load_now_ms() >= loop->timer_ms) {
			loop->timer_ms = -1;
			curl_multi_socket_action(loop->load->multi, CURL_SOCKET_TIMEOUT, 0, &running);
		}
		ended_take(loop);
	}
}

static int load_run(struct load *load)
{
	struct loop loop = {.load = load, .timer_ms = -1, .end_ms = load->o.run_s ? load_now_ms() + load->o.run_s * 1000 : -1};
	struct load_call *calls = calloc((size_t)load->o.connections, sizeof *calls);
	const struct load_totals *t = &load->totals;

	loop.poll = epoll_create1(EPOLL_CLOEXEC);
	if (!calls || loop.poll < 0) {
		free(calls);
		return fail("can't start");
	}
	curl_multi_setopt(load->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(load->multi, CURLMOPT_SOCKETDATA, &loop);
	curl_multi_setopt(load->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(load->multi, CURLMOPT_TIMERDATA, &loop);
	curl_multi_setopt(load->multi, CURLMOPT_MAXCONNECTS, load->o.connections);
	for (long i = 0; i < load->o.connections; i++)
		if (load_call_init(&calls[i], load))
			loop.is_failed = true;
		else if (!call_next(&loop, &calls[i]))
			break;
	loop_run(&loop);
	for (long i = 0; i < load->o.connections; i++)
		load_call_release(&calls[i]);
	/* Closing kept connections still calls on_socket, so this comes before the loop goes. */
	curl_multi_cleanup(load->multi);
	load->multi = NULL;
	close(loop.poll);
	free(calls);
	printf("calls %ld ok %ld http_402 %ld http_other %ld broken %ld streams_complete %ld\n", t->made, t->ok, t->paid_out, t->other,
		t->broken, t->streams);
	return loop.is_failed || (!load->o.run_s && t->made != load->o.calls);
}

static void load_release(struct load *load)
{
	for (size_t i = 0; i < load->key_n; i++)
		curl_slist_free_all(load->headers[i]);
	free(load->headers);
	free(load->json_body);
	free(load->stream_body);
	free(load->target);
	if (load->multi)
		curl_multi_cleanup(load->multi);
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
	struct load load = {.o = {.model = "sandbox-chat", .prompt = "Say something.", .calls = 1, .connections = 1, .timeout_s = 120}};
	int rc;

	if (options_parse(argc, argv, &load.o)) {
		fputs(usage, stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	descriptors_raise();
	curl_global_init(CURL_GLOBAL_DEFAULT);
	errno = 0;
	if (keys_read(&load))
		return fail(load.o.keys_path);
	if (load.o.out_path && !(load.out = fopen(load.o.out_path, "w")))
		return fail(load.o.out_path);
	load.multi = curl_multi_init();
	if (!load.multi || load_bodies_make(&load) || asprintf(&load.target, "%s/v1/chat/completions", load.o.url) < 0)
		return fail("can't start");
	rc = load_run(&load);
	if (load.out && fclose(load.out))
		rc = fail(load.o.out_path);
	load_release(&load);
	curl_global_cleanup();
	return rc;
}
