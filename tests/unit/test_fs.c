/* Files and Unix sockets, in a temporary folder. */
#include "base/first.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"

#include "unit.h"

static char top[] = "/tmp/farebox-test-fs.XXXXXX";
static char path[FARE_PATH_N];

static const char *in_top(const char *name)
{
	assert_true(fare_path(path, sizeof path, top, name));
	return path;
}

static int group_setup(void **state)
{
	(void)state;
	return mkdtemp(top) ? 0 : -1;
}

static int group_teardown(void **state)
{
	char command[128];
	(void)state;
	snprintf(command, sizeof command, "rm -rf %s", top);
	return system(command);
}

static size_t files_in(const char *dir)
{
	size_t n = 0;
	DIR *d = opendir(dir);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static mode_t mode_of(const char *file)
{
	struct stat st;
	assert_int_equal(lstat(file, &st), 0);
	return st.st_mode & 07777;
}

static void test_path(void **state)
{
	char out[8];
	(void)state;
	assert_true(fare_path(out, sizeof out, "abc", "def"));
	assert_string_equal(out, "abc/def");
	assert_false(fare_path(out, sizeof out, "abc", "defg"));
}

static void test_write_and_read(void **state)
{
	struct fare_buf b;
	(void)state;
	assert_true(fare_mkdirs(in_top("w"), 0700));
	assert_true(fare_file_write(in_top("w/f"), "first", 5, 0640));
	assert_int_equal(mode_of(in_top("w/f")), 0640);
	assert_true(fare_file_write(in_top("w/f"), "second", 6, 0600));
	assert_int_equal(mode_of(in_top("w/f")), 0600);
	fare_buf_init(&b, 6); /* fits exactly */
	assert_true(fare_file_read(in_top("w/f"), &b));
	assert_string_equal(fare_buf_cstr(&b), "second");
	fare_buf_release(&b);
	fare_buf_init(&b, 5);
	errno = 0;
	assert_false(fare_file_read(in_top("w/f"), &b));
	assert_int_equal(errno, EFBIG);
	fare_buf_release(&b);
	assert_true(fare_file_write(in_top("w/f"), NULL, 0, 0600));
	fare_buf_init(&b, 0);
	assert_true(fare_file_read(in_top("w/f"), &b));
	assert_int_equal(b.n, 0);
	fare_buf_release(&b);
	assert_int_equal(files_in(in_top("w")), 1); /* no other name is left */
}

static void test_large_file(void **state)
{
	enum { N = 1000000 };
	char *bytes = malloc(N);
	struct fare_buf b;
	(void)state;
	assert_non_null(bytes);
	for (int i = 0; i < N; i++)
		bytes[i] = (char)(i * 7);
	assert_true(fare_file_write(in_top("large"), bytes, N, 0600));
	fare_buf_init(&b, N);
	assert_true(fare_file_read(in_top("large"), &b));
	assert_true(fare_span_eq(fare_buf_span(&b), fare_span_at(bytes, N)));
	fare_buf_release(&b);
	free(bytes);
}

static void test_file_errors(void **state)
{
	struct fare_buf b;
	(void)state;
	fare_buf_init(&b, 100);
	assert_false(fare_file_read(in_top("missing"), &b));
	assert_int_equal(errno, ENOENT);
	assert_false(fare_file_read(top, &b));
	assert_int_equal(errno, EISDIR);
	assert_true(fare_file_read("/proc/self/comm", &b)); /* a file without a size */
	assert_true(b.n > 0);
	fare_buf_release(&b);
	assert_false(fare_file_write(in_top("missing/f"), "x", 1, 0600));
	assert_int_equal(errno, ENOENT);
	/* A folder with that name: refused, and the other name is cleaned away. */
	assert_true(fare_mkdirs(in_top("e/d"), 0700));
	assert_false(fare_file_write(in_top("e/d"), "x", 1, 0600));
	assert_int_equal(errno, EISDIR);
	assert_int_equal(files_in(in_top("e")), 1);
}

static void test_mkdirs(void **state)
{
	(void)state;
	assert_true(fare_mkdirs(in_top("a/b//c/"), 0700));
	assert_int_equal(mode_of(in_top("a/b/c")), 0700);
	assert_true(fare_mkdirs(in_top("a/b/c"), 0700));
	assert_true(fare_mkdirs("/", 0700));
	assert_true(fare_file_write(in_top("a/file"), "", 0, 0600));
	assert_false(fare_mkdirs(in_top("a/file"), 0700));
	assert_int_equal(errno, ENOTDIR);
	assert_false(fare_mkdirs(in_top("a/file/x"), 0700));
	assert_int_equal(errno, ENOTDIR);
}

static void test_nonblock(void **state)
{
	int fds[2];
	char c;
	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_true(fare_fd_nonblock(fds[0], true));
	assert_int_equal(read(fds[0], &c, 1), -1);
	assert_int_equal(errno, EAGAIN);
	assert_true(fare_fd_nonblock(fds[0], false));
	assert_int_equal(fcntl(fds[0], F_GETFL) & O_NONBLOCK, 0);
	close(fds[0]);
	close(fds[1]);
	assert_false(fare_fd_nonblock(fds[0], true));
	assert_false(fare_write_all(fds[1], "x", 1));
}

/* Listens there, connects, and speaks both ways. */
static void talk(const char *where, int type)
{
	uid_t uid;
	pid_t pid;
	char byte;
	int on = fare_unix_listen(where, type, 0600, 8);
	assert_true(on >= 0);
	assert_int_equal(mode_of(where), 0600);
	assert_true(fcntl(on, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(on, F_GETFD) & FD_CLOEXEC);
	int to = fare_unix_connect(where, type);
	assert_true(to >= 0);
	assert_true(fcntl(to, F_GETFD) & FD_CLOEXEC);
	assert_false(fcntl(to, F_GETFL) & O_NONBLOCK);
	int from = accept(on, NULL, NULL);
	assert_true(from >= 0);
	assert_true(fare_peer_uid(from, &uid, &pid));
	assert_int_equal(uid, getuid());
	assert_int_equal(pid, getpid());
	assert_true(fare_write_all(to, "x", 1));
	assert_int_equal(read(from, &byte, 1), 1);
	close(from);
	close(to);
	close(on);
}

static void test_sockets(void **state)
{
	char deep[FARE_PATH_N], name[200];
	(void)state;
	talk(in_top("s.sock"), SOCK_STREAM);
	talk(in_top("s.sock"), SOCK_SEQPACKET); /* the old socket file is replaced */
	/* Longer than any sockaddr_un holds. */
	memset(name, 'n', sizeof name);
	name[sizeof name - 1] = '\0';
	assert_true(fare_path(deep, sizeof deep, top, name));
	assert_true(fare_mkdirs(deep, 0700));
	size_t n = strlen(deep);
	snprintf(deep + n, sizeof deep - n, "/call.sock");
	talk(deep, SOCK_STREAM);
	talk(deep, SOCK_STREAM);
}

/* Around the length where the way changes. */
static void test_socket_path_lengths(void **state)
{
	(void)state;
	for (size_t n = 100; n < 112; n++) {
		char name[128] = "", where[FARE_PATH_N];
		memset(name, 'd', n - strlen(top) - strlen("//s"));
		assert_true(fare_mkdirs(in_top(name), 0700));
		assert_true(fare_path(where, sizeof where, path, "s"));
		assert_int_equal(strlen(where), n);
		talk(where, SOCK_STREAM);
	}
}

static void test_socket_errors(void **state)
{
	char long_name[FARE_PATH_N];
	(void)state;
	assert_int_equal(fare_unix_connect(in_top("none.sock"), SOCK_STREAM), -1);
	assert_int_equal(errno, ENOENT);
	assert_true(fare_file_write(in_top("plain"), "keep", 4, 0600));
	assert_int_equal(fare_unix_listen(in_top("plain"), SOCK_STREAM, 0600, 8), -1); /* only sockets are replaced */
	assert_int_equal(errno, EADDRINUSE);
	struct stat st;
	assert_int_equal(stat(in_top("plain"), &st), 0);
	assert_int_equal(st.st_size, 4);
	memset(long_name, 'n', 150);
	long_name[150] = '\0';
	assert_int_equal(fare_unix_connect(in_top(long_name), SOCK_STREAM), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(fare_unix_connect(long_name, SOCK_STREAM), -1);
	assert_int_equal(errno, ENAMETOOLONG);
}

/* A full pipe that does not block: waited for, nothing lost. */
static void test_write_all_waits(void **state)
{
	enum { N = 300000 };
	int fds[2];
	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		static char bytes[N];
		close(fds[0]);
		_exit(fare_fd_nonblock(fds[1], true) && fare_write_all(fds[1], bytes, N) ? 0 : 1);
	}
	close(fds[1]);
	size_t total = 0;
	char piece[4096];
	for (ssize_t n; (n = read(fds[0], piece, sizeof piece)) > 0;)
		total += (size_t)n;
	assert_int_equal(total, N);
	close(fds[0]);
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* A process is named by its id and when it began; one that has ended is none, even before it is waited for. */
static void test_process_start(void **state)
{
	(void)state;
	uint64_t mine = fare_process_start(getpid());
	assert_true(mine > 0);
	assert_int_equal(fare_process_start(getpid()), mine);
	assert_int_equal(fare_process_start(INT32_MAX), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(0);
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(fare_process_start(child), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_path), cmocka_unit_test(test_write_and_read), cmocka_unit_test(test_large_file), cmocka_unit_test(test_file_errors), cmocka_unit_test(test_mkdirs),
		cmocka_unit_test(test_nonblock), cmocka_unit_test(test_sockets), cmocka_unit_test(test_socket_path_lengths), cmocka_unit_test(test_socket_errors), cmocka_unit_test(test_write_all_waits),
		cmocka_unit_test(test_process_start),
	};
	umask(027);
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
