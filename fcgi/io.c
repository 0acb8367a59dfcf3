/* FastCGI: libfcgi reads, we write. */
#include "base/first.h"

#include <errno.h>
#include <fcgiapp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"

#include "io.h"
#include "io_body.h"

enum { RECORD_HEAD_N = 8, END_N = 3 * RECORD_HEAD_N, RECORD_MAX = 65528, RESPONDER = 1, BEGIN_REQUEST = 1, END_REQUEST = 3, PARAMS = 4, STDIN = 5, STDOUT = 6, PEEK_N = 64 * 1024, LINGER_MS = 2000 };

struct fare_io {
	struct fare_input in; /* first */
	FCGX_Request req;
	int fd;
	uint16_t id;
	bool attached, gone;
	/* The record that is being written: what is left of its head, and of the content that was promised in it. */
	uint8_t head[END_N];
	size_t head_n, head_at, content_left;
	bool ending;
};

bool fare_io_init(void)
{
	/* Closing must not wait for the other side: where an answer could be lost by it, we linger ourselves. */
	return setenv("LIBFCGI_OS_CLOSE_POLL_TIMEOUT", "0", 1) == 0 && FCGX_Init() == 0;
}

/* Never more than libfcgi has in hand, else it waits until all of it is there. */
static size_t read_piece(struct fare_input *input, char *out, size_t room)
{
	FCGX_Stream *in = ((struct fare_io *)input)->req.in;
	size_t ready = in->rdNext < in->stop ? (size_t)(in->stop - in->rdNext) : 0, n;
	if (ready == 0)
		ready = 1;
	n = (size_t)FCGX_GetStr(out, (int)(ready < room ? ready : room), in);
	int why = n == 0 ? FCGX_GetError(in) : 0;
	input->done = n == 0 && why == 0;
	if (n == 0 && why != 0)
		input->stopped = why == EAGAIN || why == EWOULDBLOCK ? FARE_BODY_SLOW : FARE_BODY_GONE;
	input->read_n += n;
	return n;
}

/* By a look at the records that are there: of one request, its parameters to their end, then its input to its end. */
bool fare_io_is_whole(int fd)
{
	uint8_t p[PEEK_N];
	ssize_t n = recv(fd, p, sizeof p, MSG_PEEK | MSG_DONTWAIT);
	bool params_end = false;
	for (size_t at = 0; n > 0 && at + RECORD_HEAD_N <= (size_t)n; ) {
		const uint8_t *h = p + at;
		size_t content = fare_get_u16(h + 4);
		if (memcmp(h + 2, p + 2, 2) != 0 || h[1] != (at == 0 ? BEGIN_REQUEST : params_end ? STDIN : PARAMS))
			return false;
		if (params_end && content == 0)
			return fare_get_u16(p + RECORD_HEAD_N) == RESPONDER;
		params_end = params_end || (at && content == 0);
		at += RECORD_HEAD_N + content + h[6];
	}
	return false;
}

struct fare_io *fare_io_begin(int fd)
{
	struct fare_io *io = fare_alloc(sizeof *io);
	struct timeval wait = {.tv_sec = FARE_BODY_WAIT_S};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
	FCGX_InitRequest(&io->req, -1, 0); /* no socket to accept on: after a bad start of this connection there is no other */
	io->req.ipcFd = fd;
	io->req.keepConnection = 1;
	if (FCGX_Accept_r(&io->req) != 0) {
		free(io);
		return NULL;
	}
	io->req.keepConnection = 0;
	io->fd = fd;
	io->id = (uint16_t)io->req.requestId;
	io->attached = true;
	io->in = (struct fare_input){.piece = read_piece, .started_ms = fare_clock_boot_ms()};
	return io;
}

static const char *io_param(void *p, const char *name)
{
	struct fare_io *io = p;
	return io->attached ? FCGX_GetParam(name, io->req.envp) : NULL;
}

static const char *io_param_at(void *p, size_t i)
{
	struct fare_io *io = p;
	return io->attached ? io->req.envp[i] : NULL;
}

static enum fare_body_end io_read(void *p, const struct fare_body_limits *l, struct fare_body *out)
{
	struct fare_io *io = p;
	return fare_input_read(&io->in, io_param(io, "CONTENT_LENGTH"), l, out);
}

static void io_discard(void *p)
{
	struct fare_io *io = p;
	if (io->attached)
		fare_input_discard(&io->in);
}

static void io_detach(void *p)
{
	struct fare_io *io = p;
	if (!io->attached)
		return;
	FCGX_Free(&io->req, 0); /* libfcgi's memory only: the connection is ours */
	io->attached = false;
}

static int io_fd(void *p)
{
	return ((struct fare_io *)p)->fd;
}

static void put_record(const struct fare_io *io, uint8_t *h, uint8_t type, size_t content_n)
{
	memset(h, 0, RECORD_HEAD_N);
	h[0] = 1;
	h[1] = type;
	fare_put_u16(h + 2, io->id);
	fare_put_u16(h + 4, (uint16_t)content_n);
}

/* The end of standard output and of the request, in place of a record's head. */
static void put_end(struct fare_io *io, uint8_t end[END_N])
{
	put_record(io, end, STDOUT, 0);
	put_record(io, end + RECORD_HEAD_N, END_REQUEST, RECORD_HEAD_N); /* its content: application status 0, request complete */
	memset(end + 2 * RECORD_HEAD_N, 0, RECORD_HEAD_N);
}

/* What is left of the record's head, up to n bytes of content, and with `last`, when all of them are taken, the end. Content bytes taken; 0: full; -1: gone. */
static ssize_t record_send(struct fare_io *io, const char *p, size_t n, bool last)
{
	size_t head_left = io->head_n - io->head_at;
	uint8_t end[END_N];
	struct iovec parts[3] = {{io->head + io->head_at, head_left}, {(void *)(uintptr_t)p, n}, {end, END_N}};
	struct msghdr m = {.msg_iov = parts, .msg_iovlen = last ? 3 : 2};
	if (last)
		put_end(io, end);
	ssize_t k;
	do
		k = sendmsg(io->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (k < 0 && errno == EINTR);
	if (k < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -1;
	size_t head_part = (size_t)k < head_left ? (size_t)k : head_left;
	io->head_at += head_part;
	k -= (ssize_t)head_part;
	if (!last || (size_t)k < n)
		return k;
	io->ending = true;
	io->head_n = END_N;
	io->head_at = (size_t)k - n;
	memcpy(io->head, end, END_N);
	return (ssize_t)n;
}

static ssize_t io_write(void *p, const char *bytes, size_t n, bool last)
{
	struct fare_io *io = p;
	size_t taken = 0;
	while (!io->gone && taken < n) {
		if (io->content_left == 0) {
			size_t content = n - taken < RECORD_MAX ? n - taken : RECORD_MAX;
			put_record(io, io->head, STDOUT, content);
			io->head_n = RECORD_HEAD_N;
			io->head_at = 0;
			io->content_left = content;
		}
		size_t offer = n - taken < io->content_left ? n - taken : io->content_left;
		ssize_t k = record_send(io, bytes + taken, offer, last && taken + offer == n && offer == io->content_left);
		io->gone = k < 0;
		if (k <= 0)
			break;
		io->content_left -= (size_t)k;
		taken += (size_t)k;
	}
	return io->gone ? -1 : (ssize_t)taken;
}

static int io_finish(void *p)
{
	struct fare_io *io = p;
	if (io->gone)
		return -1;
	FARE_ASSERT(io->content_left == 0);
	if (!io->ending) {
		io->ending = true;
		io->head_n = END_N;
		io->head_at = 0;
		put_end(io, io->head);
	}
	while (io->head_at < io->head_n) {
		size_t before = io->head_at;
		if (record_send(io, NULL, 0, false) < 0) {
			io->gone = true;
			return -1;
		}
		if (io->head_at == before)
			return 0;
	}
	return 1;
}

/* Closing with input unread would take the answer back on the other side: say that we are done, and read on for a moment. */
static void linger(int fd)
{
	char trash[8192];
	uint64_t end = fare_clock_boot_ms() + LINGER_MS;
	shutdown(fd, SHUT_WR);
	for (uint64_t now; (now = fare_clock_boot_ms()) < end;) {
		struct pollfd w = {.fd = fd, .events = POLLIN};
		int ready = poll(&w, 1, (int)(end - now));
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0 || recv(fd, trash, sizeof trash, MSG_DONTWAIT) <= 0)
			return;
	}
}

static void io_close(void *p)
{
	struct fare_io *io = p;
	if (!io->in.done && !io->gone)
		linger(io->fd);
	io_detach(io);
	close(io->fd);
	free(io);
}

const struct fare_io_ops fare_io_ops = {
	.param = io_param, .param_at = io_param_at, .read = io_read, .discard = io_discard, .detach = io_detach,
	.fd = io_fd, .write = io_write, .finish = io_finish, .close = io_close,
};
