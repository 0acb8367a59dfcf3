/*
 * Speaks FastCGI to a socket, as a web server would, with nothing in between that repairs or refuses what is sent:
 *
 *   farebox-fcgi SOCKET [NAME=VALUE | NAME:BYTES]... <BODY
 *
 * NAME:BYTES is a parameter of that many letters. The answer (CGI headers, blank line, body) goes to stdout. FCGI_BODY_PAUSE_MS in the environment: so long between pieces of
 * 4 KiB of the body. Exits 0 when the application ended the request in time, 1 otherwise. Shares no code with the gateway. FastCGI specification 1.0.
 */
#include "base/first.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BEGIN = 1, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6, PIECE_MAX = 32768, WAIT_MS = 60000 };

static bool send_all(int fd, const uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
		if (k < 0 && errno == EINTR)
			continue;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static bool record_send(int fd, uint8_t type, const void *p, size_t n)
{
	uint8_t head[8] = {1, type, 0, 1, (uint8_t)(n >> 8), (uint8_t)n, 0, 0};
	return send_all(fd, head, sizeof head) && send_all(fd, p, n);
}

static bool stream_send(int fd, uint8_t type, const uint8_t *p, size_t n)
{
	for (size_t k; n > 0; p += k, n -= k) {
		k = n < PIECE_MAX ? n : PIECE_MAX;
		if (!record_send(fd, type, p, k))
			return false;
	}
	return true;
}

static size_t length_put(uint8_t *out, size_t n)
{
	if (n < 128) {
		out[0] = (uint8_t)n;
		return 1;
	}
	out[0] = (uint8_t)(0x80 | (n >> 24));
	out[1] = (uint8_t)(n >> 16);
	out[2] = (uint8_t)(n >> 8);
	out[3] = (uint8_t)n;
	return 4;
}

static bool param_send(int fd, const char *word)
{
	size_t name_n = strcspn(word, "=:");
	bool filled = word[name_n] == ':';
	const char *value = word[name_n] ? word + name_n + 1 : "";
	size_t value_n = filled ? strtoull(value, NULL, 10) : strlen(value), at = 0;
	uint8_t *p = malloc(8 + name_n + value_n);
	bool sent;

	if (!p)
		return false;
	at += length_put(p, name_n);
	at += length_put(p + at, value_n);
	memcpy(p + at, word, name_n);
	at += name_n;
	if (filled)
		memset(p + at, 'x', value_n);
	else
		memcpy(p + at, value, value_n);
	sent = stream_send(fd, PARAMS, p, at + value_n);
	free(p);
	return sent;
}

static bool answer_ready(int fd, int wait_ms)
{
	struct pollfd p = {fd, POLLIN, 0};
	return poll(&p, 1, wait_ms) > 0;
}

/* An application that answers early may not read the rest: what it said then counts, not that the sending failed. */
static void body_send(int fd)
{
	const char *pause = getenv("FCGI_BODY_PAUSE_MS");
	int pause_ms = pause ? (int)strtol(pause, NULL, 10) : 0;
	uint8_t piece[PIECE_MAX];
	ssize_t n;

	while ((n = read(0, piece, pause_ms ? 4096 : sizeof piece)) > 0)
		if (!record_send(fd, STDIN, piece, (size_t)n) || (pause_ms && answer_ready(fd, pause_ms)))
			return;
	(void)!record_send(fd, STDIN, NULL, 0);
}

static bool read_all(int fd, uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t k = answer_ready(fd, WAIT_MS) ? read(fd, p, n) : -1;
		if (k <= 0)
			return false;
		p += k;
		n -= (size_t)k;
	}
	return true;
}

static bool answer_read(int fd)
{
	uint8_t head[8], body[65535 + 255];

	for (;;) {
		if (!read_all(fd, head, sizeof head))
			return false;
		size_t n = (size_t)(head[4] << 8 | head[5]);
		if (!read_all(fd, body, n + head[6]))
			return false;
		if (head[1] == STDOUT)
			fwrite(body, 1, n, stdout);
		if (head[1] == END)
			return true;
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	static const uint8_t begin[8] = {0, 1};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool sent;

	setvbuf(stdout, NULL, _IONBF, 0); /* who reads it wants to see each piece as it comes */
	if (argc < 2 || strlen(argv[1]) >= sizeof to.sun_path) {
		fprintf(stderr, "usage: farebox-fcgi SOCKET [NAME=VALUE | NAME:BYTES]... <BODY\n");
		return 2;
	}
	memcpy(to.sun_path, argv[1], strlen(argv[1]));
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) {
		fprintf(stderr, "farebox-fcgi: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	sent = record_send(fd, BEGIN, begin, sizeof begin);
	for (int i = 2; sent && i < argc; i++)
		sent = param_send(fd, argv[i]);
	if (sent && record_send(fd, PARAMS, NULL, 0))
		body_send(fd);
	return answer_read(fd) ? 0 : 1;
}
