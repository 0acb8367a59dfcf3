/* A provider's key: kept in HOME/secrets when it comes on standard input, else a file that the workers must be able to read. It is never an argument. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/secret.h"

#include "ctl.h"

enum { KEY_MAX = 16 * 1024 };

/* Standard input, without the line's end. */
static int key_read(struct fare_buf *key)
{
	ssize_t n;
	while (fare_buf_reserve(key, 1024) && (n = read(STDIN_FILENO, key->p + key->n, 1024)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ctl_fail("standard input: %s", strerror(errno));
		key->n += (size_t)n;
	}
	while (!key->failed && key->n && strchr("\r\n \t", key->p[key->n - 1]))
		key->n--;
	for (size_t i = 0; i < key->n; i++)
		if (key->p[i] <= ' ' || key->p[i] > '~')
			return ctl_fail("what standard input has is not a key");
	if (key->failed || key->n == 0)
		return ctl_fail(key->failed ? "the key on standard input is longer than 16 KiB" : "there is no key on standard input");
	return CTL_OK;
}

/* As root: readable for the workers' group, and for nobody else. */
static bool share(const struct fare_conf *c, const char *path, mode_t mode)
{
	struct stat st;
	if (geteuid() != 0)
		return chmod(path, mode & 0700) == 0;
	const struct passwd *pw = getpwnam(c->worker_user);
	if (!pw || stat(c->home, &st) != 0)
		return false;
	return chown(path, st.st_uid, pw->pw_gid) == 0 && chmod(path, mode) == 0;
}

static int key_store(const struct fare_conf *c, const char *provider, char out[FARE_PATH_N])
{
	char dir[FARE_PATH_N], name[160];
	struct fare_buf key;
	if (strchr(provider, '/'))
		return ctl_misuse(NULL, "a provider's name has no slash");
	fare_buf_init(&key, KEY_MAX);
	int rc = key_read(&key);
	snprintf(name, sizeof name, "%.127s.key", provider);
	if (rc == CTL_OK && (!fare_path(dir, sizeof dir, c->home, "secrets") || !fare_path(out, FARE_PATH_N, dir, name)))
		rc = ctl_fail("%s: the name is too long", c->home);
	if (rc == CTL_OK && (!fare_mkdirs(dir, 0700) || !share(c, dir, 0750) || !fare_file_write(out, key.p, key.n, 0600) || !share(c, out, 0640)))
		rc = ctl_fail("%s: %s", out, strerror(errno));
	if (key.p)
		fare_wipe(key.p, key.cap);
	fare_buf_release(&key);
	return rc;
}

/* Only what the mode says: enough to name the usual mistake, a file that root alone can read. */
static bool workers_can_read(const struct fare_conf *c, const struct stat *st)
{
	if (geteuid() != 0)
		return true;
	const struct passwd *pw = getpwnam(c->worker_user);
	if (!pw)
		return true;
	if (st->st_uid == pw->pw_uid)
		return st->st_mode & S_IRUSR;
	return st->st_gid == pw->pw_gid ? st->st_mode & S_IRGRP : st->st_mode & S_IROTH;
}

int ctl_key_file(const struct fare_conf *c, const char *provider, const char *given, char out[FARE_PATH_N])
{
	struct stat st;
	if (strcmp(given, "-") == 0)
		return key_store(c, provider, out);
	char *real = realpath(given, NULL);
	if (!real || !fare_span_copy(fare_span_of(real), out, FARE_PATH_N)) {
		int rc = ctl_fail("%s: %s", given, real ? "the name is too long" : strerror(errno));
		free(real);
		return rc;
	}
	free(real);
	if (stat(out, &st) != 0 || !S_ISREG(st.st_mode) || access(out, R_OK) != 0)
		return ctl_fail("%s: not a file that can be read", out);
	if (!workers_can_read(c, &st))
		return ctl_fail("%s: the workers (user %s) may not read it: change its group and mode, or give the key on standard input with --key-file -", out, c->worker_user);
	return CTL_OK;
}
