/* Answers' files: made by a worker, read by the bank's writer. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "store/records.h"
#include "bank/answer.h"
#include "bank/meter.h"

static const char being_made[] = "new.";

static bool path_of(char path[FARE_PATH_N], const char *run, const char *before, struct fare_id call_id, struct fare_id incarnation)
{
	char name[FARE_ANSWER_NAME_N], call[FARE_ID_TEXT_N], worker[FARE_ID_TEXT_N];
	fare_id_text(call_id, call);
	fare_id_text(incarnation, worker);
	snprintf(name, sizeof name, "%sanswer.%s.%s", before, call, worker);
	return fare_path(path, FARE_PATH_N, run, name);
}

bool fare_answer_name_parse(const char *name, struct fare_id *call_id, struct fare_id *incarnation)
{
	enum { CALL_AT = 7, DOT_AT = CALL_AT + FARE_ID_TEXT_N - 1 };
	struct fare_span s = fare_span_of(name);
	if (fare_span_starts(s, being_made))
		s = fare_span_at(s.p + sizeof being_made - 1, s.n - (sizeof being_made - 1));
	return fare_span_starts(s, "answer.") && s.n > DOT_AT && s.p[DOT_AT] == '.' && fare_id_parse(fare_span_at(s.p + CALL_AT, DOT_AT - CALL_AT), call_id) &&
	       fare_id_parse(fare_span_at(s.p + DOT_AT + 1, s.n - DOT_AT - 1), incarnation);
}

bool fare_answer_write(const char *run, struct fare_id call_id, struct fare_id incarnation, struct fare_span head, struct fare_span body)
{
	char path[FARE_PATH_N], other[FARE_PATH_N];
	if (!path_of(path, run, "", call_id, incarnation) || !path_of(other, run, being_made, call_id, incarnation)) {
		errno = ENAMETOOLONG;
		return false;
	}
	int fd = open(other, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (fd < 0)
		return false;
	bool ok = fare_write_all(fd, head.p, head.n) && fare_write_all(fd, body.p, body.n) && fchmod(fd, 0644) == 0;
	ok = close(fd) == 0 && ok && rename(other, path) == 0;
	if (ok)
		return true;
	int saved = errno;
	unlink(other);
	errno = saved;
	return false;
}

/* By whom the worker's meter was made; while it has a hold, that is there. */
static bool maker_of(const char *run, unsigned worker_no, struct fare_id incarnation, uid_t *uid)
{
	char name[FARE_METER_NAME_N], path[FARE_PATH_N];
	struct stat st;
	fare_meter_name(name, worker_no, incarnation);
	if (!fare_path(path, sizeof path, run, name) || lstat(path, &st) != 0 || !S_ISREG(st.st_mode))
		return false;
	*uid = st.st_uid;
	return true;
}

char *fare_answer_read(const char *run, struct fare_id call_id, struct fare_id incarnation, unsigned worker_no, uint32_t n)
{
	char path[FARE_PATH_N], *bytes = NULL;
	struct stat st;
	uid_t maker;
	if (n > FARE_ANSWER_MAX || !path_of(path, run, "", call_id, incarnation) || !maker_of(run, worker_no, incarnation, &maker))
		return NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == maker && st.st_size == (off_t)n) {
		bytes = fare_alloc(n);
		if (pread(fd, bytes, n, 0) != (ssize_t)n) {
			free(bytes);
			bytes = NULL;
		}
	}
	close(fd);
	return bytes;
}

void fare_answer_remove(const char *run, struct fare_id call_id, struct fare_id incarnation)
{
	char path[FARE_PATH_N];
	if (path_of(path, run, "", call_id, incarnation))
		unlink(path);
}
