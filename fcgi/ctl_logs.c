/* Archived logs, laid down beside those of a backup: a backup and all that follow its last one make the store as it was when the last of them was full. */
#include "base/first.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"

#include "ctl.h"

enum { PART_BYTES = 64 * 1024, LOG_NAME_N = 15 };

/* The number that a log's name has; 0: it is none. */
static uint64_t log_number(const char *name)
{
	uint64_t n;
	return strncmp(name, "log.", 4) == 0 && strlen(name) == LOG_NAME_N - 1 && fare_num_u64(fare_span_of(name + 4), 1, UINT32_MAX, &n) ? n : 0;
}

static void log_name(uint64_t number, char name[LOG_NAME_N]) { snprintf(name, LOG_NAME_N, "log.%010u", (unsigned)number); }

/* The first and last of a folder's logs; 0: none, or it cannot be read. */
static void logs_of(const char *path, uint64_t *first, uint64_t *last)
{
	int fd = ctl_source_open(AT_FDCWD, path, O_DIRECTORY);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;
	*first = *last = 0;
	while (d && (e = readdir(d))) {
		uint64_t n = log_number(e->d_name);
		if (n && (*first == 0 || n < *first))
			*first = n;
		if (n > *last)
			*last = n;
	}
	if (d)
		closedir(d);
}

/* Each life of the store has a folder of its own in the archive; with more than one it must be said which. */
static int folder_find(const char *archive, char found[FARE_PATH_N])
{
	uint64_t first, last;
	struct dirent *e;
	char one[FARE_PATH_N];
	unsigned n = 0;
	logs_of(archive, &first, &last);
	if (last)
		return fare_span_copy(fare_span_of(archive), found, FARE_PATH_N) ? CTL_OK : CTL_FAILED;
	int fd = ctl_source_open(AT_FDCWD, archive, O_DIRECTORY);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (!d)
		return ctl_fail("%s: %s", archive, strerror(errno));
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.' || !fare_path(one, sizeof one, archive, e->d_name))
			continue;
		logs_of(one, &first, &last);
		if (last && n++ == 0)
			memcpy(found, one, sizeof one);
	}
	closedir(d);
	if (n == 0)
		return ctl_fail("%s: no logs there", archive);
	return n == 1 ? CTL_OK : ctl_fail("%s has the logs of %u lives of the store, each in a folder named after its store and epoch (farebox status tells them): name one of these", archive, n);
}

/* What the backup has of that log, without zeros at its end, is what the archive's begins with. */
static bool begins_with(int archived, int backup)
{
	static char a[PART_BYTES], b[PART_BYTES];
	for (off_t at = 0;; at += PART_BYTES) {
		ssize_t n = pread(backup, b, sizeof b, at), m = pread(archived, a, sizeof a, at);
		if (n < 0 || m < 0)
			return false;
		if (n == 0)
			return true;
		if (n <= m && memcmp(a, b, (size_t)n) == 0)
			continue;
		/* Different: from there on the backup's may only have zeros. */
		ssize_t same = 0;
		while (same < n && same < m && a[same] == b[same])
			same++;
		for (at += same; (n = pread(backup, b, sizeof b, at)) > 0; at += n)
			for (ssize_t i = 0; i < n; i++)
				if (b[i])
					return false;
		return n == 0;
	}
}

static int same_log(int dir, const char *archive, const char *logs, const char *name)
{
	char path[FARE_PATH_N];
	int archived = ctl_source_open(dir, name, 0), backup = fare_path(path, sizeof path, logs, name) ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	bool same = archived >= 0 && backup >= 0 && begins_with(archived, backup);
	if (archived >= 0)
		close(archived);
	if (backup >= 0)
		close(backup);
	return same ? CTL_OK : ctl_fail("%s/%s does not go on where the backup ends: it is of another life of the store", archive, name);
}

static bool is_missing(int dir, const char *name)
{
	int fd = ctl_source_open(dir, name, 0);
	bool missing = fd < 0 && errno == ENOENT;
	if (fd >= 0)
		close(fd);
	return missing;
}

int ctl_logs_lay(const char *archive, const char *logs)
{
	char found[FARE_PATH_N], name[LOG_NAME_N], to[FARE_PATH_N];
	uint64_t first, last, ours_first, ours_last;
	int rc = folder_find(archive, found);
	if (rc != CTL_OK)
		return rc;
	logs_of(found, &first, &last);
	logs_of(logs, &ours_first, &ours_last);
	if (ours_last == 0)
		return ctl_fail("%s: no log there", logs);
	int dir = ctl_source_open(AT_FDCWD, found, O_DIRECTORY);
	for (uint64_t n = ours_last; rc == CTL_OK && n <= last; n++) {
		log_name(n, name);
		if (is_missing(dir, name))
			rc = ctl_fail("%s is missing in %s: without it the logs after it are of no use", name, found);
		else if (n == ours_last)
			rc = same_log(dir, found, logs, name);
		if (rc == CTL_OK && (!fare_path(to, sizeof to, logs, name) || (unlink(to) != 0 && errno != ENOENT) || !ctl_file_copy(dir, name, to)))
			rc = ctl_fail("%s/%s cannot be copied: %s", found, name, strerror(errno));
	}
	if (dir >= 0)
		close(dir);
	if (rc == CTL_OK && last >= ours_last)
		fprintf(stderr, "rolling forward with the logs %u to %u of %s\n", (unsigned)ours_last, (unsigned)last, found);
	else if (rc == CTL_OK)
		fprintf(stderr, "%s has no log that the backup has not\n", found);
	return rc;
}
