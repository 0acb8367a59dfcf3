/*
 * store/FORMAT: the format of the store, and the version that first wrote it in that format. Read before anything of a store is touched, so that a farebox of before an
 * upgrade refuses what it does not know and leaves it as it is. It covers the files in the run folder too: a later bank writes this before it makes them.
 */
#include "base/first.h"

#include <errno.h>
#include <stdio.h>

#include "base/num.h"
#include "base/version.h"
#include "store/inner.h"

enum { FORMAT_BYTES_MAX = 256 };

/* 0: there is none, which is the first format's way. */
static bool format_read(const char *dir, unsigned *format, char version[FORMAT_BYTES_MAX], char error[FARE_STORE_ERROR_N])
{
	char path[FARE_PATH_N];
	struct fare_buf text;
	uint64_t number = 0;
	fare_buf_init(&text, FORMAT_BYTES_MAX - 1);
	*version = 0;
	bool ok = fare_path(path, sizeof path, dir, "FORMAT") && (fare_file_read(path, &text) || errno == ENOENT);
	if (!ok)
		snprintf(error, FARE_STORE_ERROR_N, "%.150s: %s", path, strerror(errno));
	const char *space = text.n ? memchr(text.p, ' ', text.n) : NULL, *end = space ? memchr(space, '\n', text.n - (size_t)(space - text.p)) : NULL;
	if (ok && text.n > 0) {
		ok = end && fare_num_u64(fare_span_at(text.p, (size_t)(space - text.p)), 1, UINT32_MAX, &number) &&
		     fare_span_copy(fare_span_at(space + 1, (size_t)(end - space - 1)), version, FORMAT_BYTES_MAX);
		if (!ok)
			snprintf(error, FARE_STORE_ERROR_N, "%.150s does not say which format the store has", path);
	}
	*format = (unsigned)number;
	fare_buf_release(&text);
	return ok;
}

bool fare_format_check(const char *dir, char error[FARE_STORE_ERROR_N])
{
	char version[FORMAT_BYTES_MAX];
	unsigned format;
	if (!format_read(dir, &format, version, error))
		return false;
	if (format > fare_format)
		snprintf(error, FARE_STORE_ERROR_N, "%.70s is of farebox %.20s (format %u), and this is farebox %.20s (format %u): install that one again, or restore a backup made before it", dir, version,
			format, fare_version, fare_format);
	return format <= fare_format;
}

bool fare_format_write(const char *dir)
{
	char path[FARE_PATH_N], version[FORMAT_BYTES_MAX], error[FARE_STORE_ERROR_N];
	unsigned format;
	if (format_read(dir, &format, version, error) && format == fare_format)
		return true;
	int n = snprintf(version, sizeof version, "%u %.100s\n", fare_format, fare_version);
	return fare_path(path, sizeof path, dir, "FORMAT") && fare_file_write(path, version, (size_t)n, 0600);
}
