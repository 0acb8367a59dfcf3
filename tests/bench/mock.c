/* farebox-bench-mock: the upstream of the benchmark. Answers every POST on 127.0.0.1 with one fixed chat completion, kept alive; one thread, epoll.
 * It does as little as it can: what is measured is what stands before it. */
#include "base/first.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 4096, REQUEST_MAX = 64 * 1024, EVENTS_MAX = 256 };

#define ANSWER_BODY \
	"{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"bench\",\"choices\":[{\"index\":0,\"message\":" \
	"{\"role\":\"assistant\",\"content\":\"A fare box takes the money before the ride begins, counts it, and says what is missing when it is too little.\"}," \
	"\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":24,\"total_tokens\":36," \
	"\"prompt_tokens_details\":{\"cached_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0}},\"system_fingerprint\":\"fp_bench\"}"

struct connection { char bytes[REQUEST_MAX + 1]; size_t n; };

static struct connection *connections[CONNECTIONS_MAX];
static char answer[2048];
static size_t answer_n;

/* Length of the whole request in hand; 0: more is to come. */
static size_t request_length(struct connection *c)
{
	c->bytes[c->n] = 0;
	const char *end = strstr(c->bytes, "\r\n\r\n"), *field = strcasestr(c->bytes, "\r\nContent-Length:");
	if (!end)
		return 0;
	size_t head = (size_t)(end - c->bytes) + 4, body = field && field < end ? strtoul(field + 17, NULL, 10) : 0;
	return body <= REQUEST_MAX && c->n >= head + body ? head + body : 0;
}

/* False: it is over. */
static bool connection_serve(int fd)
{
	struct connection *c = connections[fd];
	ssize_t n = recv(fd, c->bytes + c->n, REQUEST_MAX - c->n, 0);
	if (n <= 0)
		return false;
	c->n += (size_t)n;
	for (size_t k; (k = request_length(c)) > 0;) {
		c->n -= k;
		memmove(c->bytes, c->bytes + k, c->n);
		if (send(fd, answer, answer_n, MSG_NOSIGNAL) != (ssize_t)answer_n)
			return false;
	}
	return c->n < REQUEST_MAX;
}

static void connection_accept(int listen_fd, int poll_fd)
{
	struct epoll_event e = {.events = EPOLLIN};
	int one = 1, fd = accept(listen_fd, NULL, NULL);
	if (fd < 0)
		return;
	if (fd >= CONNECTIONS_MAX) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	e.data.fd = fd;
	if (!connections[fd])
		connections[fd] = malloc(sizeof *connections[fd]);
	if (!connections[fd] || epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &e) != 0) {
		close(fd);
		return;
	}
	connections[fd]->n = 0;
}

int main(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof at;
	int listen_fd = socket(AF_INET, SOCK_STREAM, 0), poll_fd = epoll_create1(0);
	struct epoll_event e = {.events = EPOLLIN, .data.fd = listen_fd}, events[EVENTS_MAX];
	if (bind(listen_fd, (struct sockaddr *)&at, n) != 0 || listen(listen_fd, 1024) != 0 || getsockname(listen_fd, (struct sockaddr *)&at, &n) != 0 ||
	    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listen_fd, &e) != 0) {
		perror("farebox-bench-mock");
		return 1;
	}
	answer_n = (size_t)snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", sizeof ANSWER_BODY - 1, ANSWER_BODY);
	printf("%d\n", ntohs(at.sin_port));
	fflush(stdout);
	for (;;) {
		int count = epoll_wait(poll_fd, events, EVENTS_MAX, -1);
		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;
			if (fd == listen_fd)
				connection_accept(listen_fd, poll_fd);
			else if (!connection_serve(fd))
				close(fd);
		}
	}
}
