/* Backups tried, and made a store again. A copy is laid down in a folder of its own, recovered and verified there; a restored one is moved into place at the end. */
#include "base/first.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "bank/lock.h"

#include "ctl.h"

enum { PART_BYTES = 1024 * 1024, TREE_FDS = 16 };

bool ctl_dir(const char *given, char out[FARE_PATH_N])
{
	char here[FARE_PATH_N];
	if (given[0] == '/')
		return fare_span_copy(fare_span_of(given), out, FARE_PATH_N);
	return given[0] && getcwd(here, sizeof here) && fare_path(out, FARE_PATH_N, here, given);
}

/* ---- Folders */

/* Has it nothing but (maybe) one name? False also when it cannot be read: errno then, else 0. */
static bool dir_has_only(const char *path, const char *name)
{
	DIR *d = opendir(path);
	struct dirent *e;
	bool only = d != NULL;
	if (!d)
		return false;
	while (only && (e = readdir(d)))
		only = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || (name && strcmp(e->d_name, name) == 0);
	closedir(d);
	errno = 0;
	return only;
}

static int tree_unlink(const char *path, const struct stat *st, int flag, struct FTW *at)
{
	(void)st;
	(void)flag;
	(void)at;
	return remove(path);
}

static void tree_remove(const char *path)
{
	if (nftw(path, tree_unlink, TREE_FDS, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
		ctl_fail("%s: %s", path, strerror(errno));
}

static bool dir_flush(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return ok;
}

/* ---- Rights. The store's owner may do as they like with the folders that are written here: root writes none of them as root. It reads the backup, which may be its own. */

static bool drop_first(const struct stat *owner)
{
	return geteuid() != 0 || (setgroups(0, NULL) == 0 && setegid(owner->st_gid) == 0 && seteuid(owner->st_uid) == 0);
}

static bool drop_for_good(const struct stat *owner)
{
	return getuid() != 0 || (seteuid(0) == 0 && setgid(owner->st_gid) == 0 && setuid(owner->st_uid) == 0);
}

int ctl_source_open(int dir, const char *name, int flags)
{
	uid_t writer = geteuid();
	if (getuid() == 0 && seteuid(0) != 0)
		return -1;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags);
	int e = errno;
	if (seteuid(writer) != 0)
		fare_fatal("cannot be the owner of the home again: %s", strerror(errno));
	errno = e;
	return fd;
}

/* ---- Copying. Both ends are flushed: a backup is one only when it is on the disk. */

static bool bytes_copy(int in, int out)
{
	static char part[PART_BYTES];
	ssize_t n;
	while ((n = read(in, part, sizeof part)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 || !fare_write_all(out, part, (size_t)n))
			return false;
	}
	return fsync(in) == 0 && fsync(out) == 0;
}

/* What is no plain file is passed by. */
bool ctl_file_copy(int dir, const char *name, const char *to)
{
	struct stat st;
	int in = ctl_source_open(dir, name, 0), out = -1;
	bool ok = in >= 0 && fstat(in, &st) == 0;
	if (ok && S_ISREG(st.st_mode)) {
		out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		ok = out >= 0 && bytes_copy(in, out);
	}
	int e = errno;
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	errno = e;
	return ok;
}

static bool is_mark(const char *name)
{
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "LOCK") == 0 || strcmp(name, FARE_CLEAN_MARK) == 0;
}

/* The plain files of one folder, but for the marks of who uses it. */
static bool files_copy(const char *from, const char *to)
{
	char out[FARE_PATH_N];
	struct dirent *e;
	int fd = ctl_source_open(AT_FDCWD, from, O_DIRECTORY);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	if (!d)
		return false;
	bool ok = mkdir(to, 0700) == 0;
	while (ok && (e = readdir(d)))
		ok = is_mark(e->d_name) || (fare_path(out, sizeof out, to, e->d_name) && ctl_file_copy(fd, e->d_name, out));
	ok = ok && fsync(fd) == 0 && dir_flush(to);
	int kept = errno;
	closedir(d);
	errno = kept;
	return ok;
}

/* A backup's files into WORK/store. */
static int lay_down(const char *backup, const char *work)
{
	char from[FARE_PATH_N], to[FARE_PATH_N], from_log[FARE_PATH_N], to_log[FARE_PATH_N];
	bool ok = fare_path(from, sizeof from, backup, "store") && fare_path(to, sizeof to, work, "store") && fare_path(from_log, sizeof from_log, from, "log") &&
		fare_path(to_log, sizeof to_log, to, "log");
	if (!ok)
		return ctl_fail("%.150s: the path is too long", backup);
	ok = mkdir(work, 0700) == 0 && files_copy(from, to) && files_copy(from_log, to_log);
	return ok ? CTL_OK : ctl_fail("%s cannot be copied into %s: %s", from, work, strerror(errno));
}

/* ---- What is in it */

struct found {
	struct fare_verify v;
	struct fare_seal head;
};

static int books_look(struct fare_books *b, struct found *f)
{
	if (fare_books_head_seal(b, &f->head) != 0 || (fare_books_verify(b, &f->v) != 0 && !f->v.first_fault[0]))
		return ctl_fail("the copy cannot be read");
	return f->v.ok ? CTL_OK : ctl_fail("the copy's books do not add up: %s", f->v.first_fault);
}

static void found_print(const char *done, const char *dir, const struct found *f, bool json)
{
	char hex[FARE_HEX_HASH_N], time[FARE_TIME_TEXT_N];
	unsigned long long number = f->head.number, entries = f->v.entries, accounts = f->v.accounts;
	struct fare_buf path;
	fare_hash_hex(&f->head.hash, hex);
	fare_clock_text(f->head.time_ms, time);
	fare_buf_init(&path, 8 * FARE_PATH_N);
	fare_buf_add_json(&path, fare_span_of(dir));
	if (!json && number)
		printf("%s %s: %llu entries, %llu accounts; verified\nhead seal %llu %s of %s\n", done, dir, entries, accounts, number, hex, time);
	else if (!json)
		printf("%s %s: no entries, %llu accounts; verified\n", done, dir, accounts);
	else if (number)
		printf("{\"dir\": %s, \"entries\": %llu, \"accounts\": %llu, \"head_seal\": {\"number\": %llu, \"hash\": \"%s\", \"entries\": %llu, \"time\": \"%s\"}}\n", fare_buf_cstr(&path), entries,
			accounts, number, hex, (unsigned long long)f->head.total_entries, time);
	else
		printf("{\"dir\": %s, \"entries\": %llu, \"accounts\": %llu, \"head_seal\": null}\n", fare_buf_cstr(&path), entries, accounts);
	fare_buf_release(&path);
}

/* ---- Backup */

int ctl_backup_begin(const struct fare_conf *c, const char *given)
{
	char dir[FARE_PATH_N];
	struct stat home;
	if (!ctl_dir(given, dir) || stat(c->home, &home) != 0)
		return ctl_fail("%.150s: %s", given, strerror(errno));
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return ctl_fail("%s: %s", dir, strerror(errno));
	if (!dir_has_only(dir, NULL))
		return ctl_fail("%s: %s", dir, errno ? strerror(errno) : "is not empty; a backup has a folder of its own");
	/* The bank writes it, as the store's owner. */
	if (geteuid() == 0 && lchown(dir, home.st_uid, home.st_gid) != 0)
		return ctl_fail("%s: %s", dir, strerror(errno));
	return CTL_OK;
}

int ctl_backup_try(const char *given, uint64_t head, bool json)
{
	char dir[FARE_PATH_N], work[FARE_PATH_N], error[FARE_ERROR_N];
	struct stat owner;
	struct found f = {.head = {0}};
	if (!ctl_dir(given, dir) || !fare_path(work, sizeof work, dir, "trial") || stat(dir, &owner) != 0)
		return ctl_fail("%.150s: %s", given, strerror(errno));
	if (!drop_first(&owner) || !drop_for_good(&owner))
		return ctl_fail("cannot become the owner of %s: %s", dir, strerror(errno));
	fare_store_watch_disk(NULL);
	int rc = lay_down(dir, work);
	struct fare_books *b = rc == CTL_OK ? fare_books_open_copy(work, error) : NULL;
	if (rc == CTL_OK && !b)
		rc = ctl_fail("%s", error);
	if (rc == CTL_OK)
		rc = books_look(b, &f);
	if (rc == CTL_OK && f.head.number < head)
		rc = ctl_fail("the copy ends at seal %llu, before seal %llu where it began", (unsigned long long)f.head.number, (unsigned long long)head);
	fare_books_close(&b);
	tree_remove(work);
	if (rc == CTL_OK && !dir_flush(dir))
		rc = ctl_fail("%s: %s", dir, strerror(errno));
	if (rc == CTL_OK)
		found_print("backed up to", dir, &f, json);
	else
		ctl_fail("%s is no good backup", dir);
	return rc;
}

/* ---- Restore */

struct restore {
	char backup[FARE_PATH_N], store[FARE_PATH_N], work[FARE_PATH_N], made[FARE_PATH_N], before[FARE_PATH_N];
	struct stat owner; /* of the home */
	int lock, made_lock;
};

static int restore_begin(struct restore *r, const struct fare_conf *c, const char *given)
{
	char error[FARE_ERROR_N], there[FARE_PATH_N], meta[FARE_PATH_N];
	bool paths = ctl_dir(given, r->backup) && fare_path(there, sizeof there, r->backup, "store") && fare_path(meta, sizeof meta, there, "meta.db") &&
		fare_path(r->store, sizeof r->store, c->home, "store") && fare_path(r->work, sizeof r->work, c->home, "restoring") &&
		fare_path(r->made, sizeof r->made, r->work, "store") && fare_path(r->before, sizeof r->before, r->work, "before");
	if (!paths || access(meta, R_OK) != 0)
		return ctl_fail("%.150s: no backup there that you may read", given);
	if (stat(c->home, &r->owner) != 0)
		return ctl_fail("%s: %s", c->home, strerror(errno));
	if (geteuid() != 0 && geteuid() != r->owner.st_uid)
		return ctl_fail("%s belongs to another user: only they, or root, may do this", c->home);
	if (!drop_first(&r->owner))
		return ctl_fail("cannot become the owner of %s: %s", c->home, strerror(errno));
	r->lock = fare_bank_lock(c->home, error);
	if (r->lock < 0)
		return ctl_fail("%s", r->lock == -1 ? "a bank has the store open: farebox stop ends it" : error);
	if (!dir_has_only(r->store, "LOCK"))
		return ctl_fail("%s: %s", r->store, errno ? strerror(errno) : "there is a store already; a restore makes a new one, it replaces none");
	tree_remove(r->work); /* of a restore that was killed: the lock is ours */
	return CTL_OK;
}

/* A new epoch, so that no hold or meter of before is taken for this store's; and a record of what was done. */
static int books_mark(struct fare_books *b, bool logs)
{
	struct fare_seal head;
	struct fare_op op = {.type = FARE_OP_OUTAGE, .u.post = {.kind = FARE_KIND_RESTORED, .time_ms = fare_clock_wall_ms()}};
	if (fare_books_renew_epoch(b) != 0 || fare_books_head_seal(b, &head) != 0)
		return ctl_fail("the copy cannot be written");
	if (op.u.post.time_ms < head.time_ms)
		op.u.post.time_ms = head.time_ms;
	snprintf(op.u.post.note, sizeof op.u.post.note, "from a backup%s at seal %llu", logs ? " and archived logs that end" : " that ends", (unsigned long long)head.number);
	if (fare_books_begin(b) != 0 || fare_books_apply(b, &op) != 0 || fare_books_commit(b) != 0 || op.applied != FARE_APPLIED)
		return ctl_fail("the copy cannot be written: %s", op.error);
	return CTL_OK;
}

static int store_make(struct restore *r, bool logs, struct found *f)
{
	char error[FARE_ERROR_N], mark[FARE_PATH_N];
	struct fare_books *b = fare_books_open_copy(r->work, error);
	if (!b)
		return ctl_fail("%s", error);
	int rc = books_mark(b, logs);
	if (rc == CTL_OK)
		rc = books_look(b, f);
	fare_books_close(&b);
	if (rc != CTL_OK)
		return rc;
	r->made_lock = fare_bank_lock(r->work, error);
	if (r->made_lock < 0 || !fare_path(mark, sizeof mark, r->made, FARE_CLEAN_MARK) || !fare_file_write(mark, "", 0, 0600))
		return ctl_fail("%s: %s", r->made, strerror(errno));
	return CTL_OK;
}

/* Both folders' locks are ours; who waits for the old one finds that it is no longer the store's. */
static int store_place(const struct restore *r, const struct fare_conf *c)
{
	if (rename(r->store, r->before) != 0 || rename(r->made, r->store) != 0 || !dir_flush(c->home))
		return ctl_fail("%s: %s", r->store, strerror(errno));
	return CTL_OK;
}

static int logs_lay(const struct restore *r, const char *given)
{
	char archive[FARE_PATH_N], logs[FARE_PATH_N];
	if (!ctl_dir(given, archive) || !fare_path(logs, sizeof logs, r->made, "log"))
		return ctl_fail("%.150s: the path is too long", given);
	int rc = ctl_logs_lay(archive, logs);
	return rc != CTL_OK || dir_flush(logs) ? rc : ctl_fail("%s: %s", logs, strerror(errno));
}

int ctl_restore(const struct fare_conf *c, const char *given, const char *given_logs, bool json)
{
	struct restore r = {.lock = -1, .made_lock = -1};
	struct found f = {.head = {0}};
	fare_store_watch_disk(NULL);
	int rc = restore_begin(&r, c, given);
	if (rc == CTL_OK) {
		rc = lay_down(r.backup, r.work);
		if (rc == CTL_OK && given_logs)
			rc = logs_lay(&r, given_logs);
		if (!drop_for_good(&r.owner))
			rc = ctl_fail("cannot become the owner of %s: %s", c->home, strerror(errno));
		if (rc == CTL_OK)
			rc = store_make(&r, given_logs != NULL, &f);
		if (rc == CTL_OK)
			rc = store_place(&r, c);
		tree_remove(r.work);
	}
	if (rc == CTL_OK)
		found_print("restored from", r.backup, &f, json);
	if (r.made_lock >= 0)
		close(r.made_lock);
	if (r.lock >= 0)
		close(r.lock);
	return rc;
}
