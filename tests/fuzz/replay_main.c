/*
 * The main of a fuzz target where there is no fuzzer: hands it every file of the folders named. Fails when a folder is missing or empty,
 * so that a lost corpus is not taken for a passed test. Arguments that begin with - are libFuzzer's and ignored.
 */
#include "base/first.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/log.h"

#include "fuzz.h"

enum { FILE_BYTES_MAX = 64 * 1024 * 1024 };

static void replay_file(const char *path)
{
	struct fare_buf b;
	fare_buf_init(&b, FILE_BYTES_MAX);
	if (!fare_file_read(path, &b))
		fare_fatal("%s: cannot be read", path);
	uint8_t *exact = malloc(b.n > 0 ? b.n : 1); /* of this very size: a sanitizer sees a read past the end */
	if (!exact)
		fare_fatal("%s: no memory", path);
	if (b.n > 0)
		memcpy(exact, b.p, b.n);
	LLVMFuzzerTestOneInput(exact, b.n);
	free(exact);
	fare_buf_release(&b);
}

static void replay_folder(const char *dir)
{
	char path[FARE_PATH_N];
	size_t files = 0;
	DIR *d = opendir(dir);
	if (!d)
		fare_fatal("%s: no such folder", dir);
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		if (!fare_path(path, sizeof path, dir, e->d_name))
			fare_fatal("%s: too long a name", e->d_name);
		replay_file(path);
		files++;
	}
	closedir(d);
	if (files == 0)
		fare_fatal("%s: no files", dir);
	printf("%s: %zu files\n", dir, files);
}

int main(int argc, char **argv)
{
	int folders = 0;
	for (int i = 1; i < argc; i++)
		if (argv[i][0] != '-') {
			replay_folder(argv[i]);
			folders++;
		}
	if (folders == 0)
		fare_fatal("usage: %s CORPUS-FOLDER...", argv[0]);
	return 0;
}
