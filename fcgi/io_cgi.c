/* CGI. */
#include "base/first.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#include "io_body.h"
#include "io_cgi.h"

struct fare_io_cgi {
	struct fare_input in; /* first */
	char **env;
	int input, output;
	bool said;     /* the body's length */
	uint64_t left; /* of it */
	bool gone;
};

static const char *cgi_param(void *p, const char *name)
{
	struct fare_io_cgi *io = p;
	size_t n = strlen(name);
	for (char **e = io->env; *e; e++)
		if (strncmp(*e, name, n) == 0 && (*e)[n] == '=')
			return *e + n + 1;
	return NULL;
}

static const char *cgi_param_at(void *p, size_t i)
{
	return ((struct fare_io_cgi *)p)->env[i];
}

/* Never beyond the length that was said: what comes after it may never end. */
static size_t cgi_piece(struct fare_input *in, char *out, size_t room)
{
	struct fare_io_cgi *io = (struct fare_io_cgi *)in;
	struct pollfd w = {.fd = io->input, .events = POLLIN};
	size_t n = io->said && io->left < room ? (size_t)io->left : room;
	if (n == 0) {
		in->done = true;
		return 0;
	}
	int ready;
	do
		ready = poll(&w, 1, FARE_BODY_WAIT_S * 1000);
	while (ready < 0 && errno == EINTR);
	ssize_t k = ready > 0 ? read(io->input, out, n) : -1;
	if (k <= 0) {
		in->done = k == 0 && !io->said;
		in->stopped = ready == 0 ? FARE_BODY_SLOW : FARE_BODY_GONE;
		return 0;
	}
	io->left -= io->said ? (uint64_t)k : 0;
	in->read_n += (uint64_t)k;
	return (size_t)k;
}

struct fare_io_cgi *fare_io_cgi_new(char **env, int input, int output)
{
	struct fare_io_cgi *io = fare_alloc(sizeof *io);
	*io = (struct fare_io_cgi){.env = env, .input = input, .output = output, .in = {.piece = cgi_piece, .started_ms = fare_clock_boot_ms()}};
	const char *length = cgi_param(io, "CONTENT_LENGTH"), *method = cgi_param(io, "REQUEST_METHOD");
	/* No length: to the end, but a GET has no body, and its input may be anything. */
	io->said = (length && *length) || (method && strcmp(method, "POST") != 0);
	if (io->said && !(length && fare_num_u64(fare_span_of(length), 0, UINT64_MAX, &io->left)))
		io->left = 0;
	return io;
}

static enum fare_body_end cgi_read(void *p, const struct fare_body_limits *l, struct fare_body *out)
{
	struct fare_io_cgi *io = p;
	return fare_input_read(&io->in, cgi_param(io, "CONTENT_LENGTH"), l, out);
}

static void cgi_discard(void *p)
{
	struct fare_io_cgi *io = p;
	if (io->input >= 0)
		fare_input_discard(&io->in);
}

static void cgi_detach(void *p)
{
	struct fare_io_cgi *io = p;
	if (io->input >= 0)
		close(io->input);
	io->input = -1;
}

static int cgi_fd(void *p)
{
	return ((struct fare_io_cgi *)p)->output;
}

static ssize_t cgi_write(void *p, const char *bytes, size_t n, bool last)
{
	(void)last;
	struct fare_io_cgi *io = p;
	ssize_t k;
	do
		k = send(io->output, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (k < 0 && errno == EINTR);
	if (k < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	io->gone = k < 0;
	return k;
}

static int cgi_finish(void *p)
{
	struct fare_io_cgi *io = p;
	return io->gone || shutdown(io->output, SHUT_WR) != 0 ? -1 : 1;
}

static void cgi_close(void *p)
{
	struct fare_io_cgi *io = p;
	cgi_detach(io);
	close(io->output);
	free(io);
}

const struct fare_io_ops fare_io_cgi_ops = {
	.param = cgi_param, .param_at = cgi_param_at, .read = cgi_read, .discard = cgi_discard, .detach = cgi_detach,
	.fd = cgi_fd, .write = cgi_write, .finish = cgi_finish, .close = cgi_close,
};
