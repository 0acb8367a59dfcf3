/* The child of a CGI process that sees that a bank runs. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "bank/admin.h"
#include "bank/start.h"

#include "cgi.h"

enum { ANSWER_MS = FARE_START_TIMEOUT_MS + 5000 };

/* Another user's bank that runs already serves us too; only its owner may start one. */
static bool bank_runs(const struct fare_conf *c)
{
	char path[FARE_PATH_N];
	int fd = fare_path(path, sizeof path, c->run, FARE_CALL_SOCKET) ? fare_unix_connect(path, SOCK_SEQPACKET) : -1;
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool bank_there(const struct fare_conf *c)
{
	char error[FARE_ERROR_N] = "";
	if (bank_runs(c))
		return true;
	int fd = fare_bank_connect(c, error);
	if (fd >= 0)
		close(fd);
	else
		fare_log(FARE_ALARM, "no bank: %s", error);
	return fd >= 0;
}

/* Descriptors 0 to 2 are all it keeps: the socket to its parent, nothing, the log. */
FARE_NORETURN static void child_run(const struct fare_conf *c, int sock)
{
	char word;
	if (dup2(sock, STDIN_FILENO) < 0 || close_range(STDERR_FILENO + 1, ~0u, 0) != 0 || fcntl(STDIN_FILENO, F_SETFD, FD_CLOEXEC) != 0)
		_exit(1);
	while (recv(STDIN_FILENO, &word, 1, 0) == 1) {
		word = bank_there(c) ? 'y' : 'n';
		if (send(STDIN_FILENO, &word, 1, MSG_NOSIGNAL) != 1)
			break;
	}
	_exit(0);
}

int fare_cgi_bank_child(const struct fare_conf *c)
{
	int pair[2];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	pid_t child = fork();
	if (child == 0)
		child_run(c, pair[1]);
	close(pair[1]);
	if (child > 0)
		return pair[0];
	close(pair[0]);
	return -1;
}

void fare_cgi_bank_want(int child)
{
	if (send(child, "?", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
		fare_log(FARE_WARN, "the child that starts banks: %s", strerror(errno));
}

bool fare_cgi_bank_wait(int child)
{
	struct pollfd w = {.fd = child, .events = POLLIN};
	char word = 'n';
	return poll(&w, 1, ANSWER_MS) > 0 && recv(child, &word, 1, MSG_DONTWAIT) == 1 && word == 'y';
}
