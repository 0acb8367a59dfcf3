/*
 * Landlock knows only what is allowed, so all may be read but the store: along the path to it, every neighbour of each folder on the way gets a rule, the folders on
 * the way get none. A link gets none either: a path is judged by where it leads. Written is in the run folder (the meter) and HOME/log alone, and no program is started.
 * Landlock does not judge who connects to admin.sock, and the bank knows its clients by their user: so seccomp leaves a worker no local sockets but those of call.sock's kind.
 */
#include "base/first.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#ifdef HAVE_LINUX_LANDLOCK_H
#include <linux/landlock.h>
#endif
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"

#include "isolate.h"

#ifdef HAVE_LINUX_LANDLOCK_H

/* Rights by the version of the kernel's interface that brought them. */
#define RIGHTS_1 ((1ULL << 13) - 1)
#define RIGHT_REFER (1ULL << 13)
#define RIGHT_TRUNCATE (1ULL << 14)
/* Those that a rule for a plain file may name: execute, write, read, truncate. */
#define RIGHTS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define RIGHTS_FILE (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | RIGHT_TRUNCATE)

static long landlock_version(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
}

static uint64_t landlock_rights(long version)
{
	return RIGHTS_1 | (version >= 2 ? RIGHT_REFER : 0) | (version >= 3 ? RIGHT_TRUNCATE : 0);
}

/* Something that vanishes meanwhile, is a link, or may not be looked at gets no rule. */
static bool allow_one(int rules, int dir, const char *name, uint64_t rights)
{
	struct stat st;
	int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno != EMFILE && errno != ENFILE;
	bool ok = true;
	if (fstat(fd, &st) == 0 && !S_ISLNK(st.st_mode)) {
		struct landlock_path_beneath_attr rule = {.allowed_access = S_ISDIR(st.st_mode) ? rights : rights & RIGHTS_FILE, .parent_fd = fd};
		ok = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0 || errno == EBADFD || errno == EBADF;
	}
	close(fd);
	return ok;
}

static bool allow_neighbours(int rules, const char *dir, const char *except, uint64_t rights)
{
	DIR *d = opendir(dir);
	if (!d)
		return errno == EACCES;
	bool ok = true;
	for (struct dirent *e; ok && (e = readdir(d));)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && strcmp(e->d_name, except) != 0)
			ok = allow_one(rules, dirfd(d), e->d_name, rights);
	closedir(d);
	return ok;
}

static bool allow_all_but(int rules, const char *path, uint64_t rights)
{
	char dir[FARE_PATH_N], part[FARE_PATH_N];
	for (const char *at = path; *at == '/';) {
		const char *end = strchrnul(at + 1, '/');
		size_t above = at == path ? 1 : (size_t)(at - path);
		if (!fare_span_copy(fare_span_at(path, above), dir, sizeof dir) || !fare_span_copy(fare_span_at(at + 1, (size_t)(end - at - 1)), part, sizeof part))
			return false;
		if (!allow_neighbours(rules, dir, part, rights))
			return false;
		at = end;
	}
	return true;
}

/* Takes dir; -1: there is none. */
static bool allow_writing(int rules, int dir, uint64_t rights)
{
	struct landlock_path_beneath_attr rule = {.allowed_access = rights & ~(uint64_t)LANDLOCK_ACCESS_FS_EXECUTE, .parent_fd = dir};
	bool ok = dir >= 0 && syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
	if (dir >= 0)
		close(dir);
	return ok;
}

static bool landlock_confine(const char *home, const char *run)
{
	char store[FARE_PATH_N], log[FARE_PATH_N];
	uint64_t rights = landlock_rights(landlock_version());
	struct landlock_ruleset_attr attr = {.handled_access_fs = rights};
	if (!fare_path(store, sizeof store, home, "store") || !fare_path(log, sizeof log, home, "log"))
		return false;
	int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr.handled_access_fs, 0);
	bool ok = rules >= 0 && allow_all_but(rules, store, RIGHTS_READ) && allow_writing(rules, open(run, O_PATH | O_DIRECTORY | O_CLOEXEC), rights);
	if (ok && !allow_writing(rules, open(log, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rights))
		fare_log(FARE_DEBUG, "%s is no folder: calls cannot be logged", log);
	ok = ok && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
	if (!ok)
		fare_log(FARE_ALARM, "cannot keep this worker away from %s: %s", store, strerror(errno));
	if (rules >= 0)
		close(rules);
	return ok;
}

#else

static long landlock_version(void)
{
	return -1;
}

static bool landlock_confine(const char *home, const char *run)
{
	(void)home, (void)run;
	return false;
}

#endif

enum fare_isolation fare_isolate_level(const char *home, uid_t uid)
{
	char store[FARE_PATH_N];
	struct stat st;
	bool known = fare_path(store, sizeof store, home, "store") && (stat(store, &st) == 0 || stat(home, &st) == 0);
	if (known && uid != 0 && st.st_uid != uid)
		return FARE_ISOLATED_UID;
	return landlock_version() > 0 ? FARE_ISOLATED_LANDLOCK : FARE_ISOLATED_NOT;
}

const char *fare_isolate_name(enum fare_isolation level)
{
	return level == FARE_ISOLATED_UID ? "uid" : level == FARE_ISOLATED_LANDLOCK ? "landlock" : "none";
}

#if defined __x86_64__
#define ARCH AUDIT_ARCH_X86_64
#define NR_OTHER 0x40000000u /* x32's calls */
#elif defined __aarch64__
#define ARCH AUDIT_ARCH_AARCH64
#define NR_OTHER 0x80000000u /* none */
#endif

/* io_uring would open sockets past this filter. */
static bool local_streams_refuse(void)
{
#ifdef ARCH
#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
	struct sock_filter code[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCH, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, NR_OTHER, 7, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 6, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 6),
		LOAD(args[0]), /* its lower half: both are little-endian, and the kernel looks at no more */
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 0, 4),
		LOAD(args[1]),
		BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SOCK_SEQPACKET, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
#undef LOAD
	struct sock_fprog program = {.len = FARE_ARRAY_N(code), .filter = code};
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0)
		return true;
	fare_log(FARE_ALARM, "cannot keep this worker away from the admin socket: %s", strerror(errno));
	return false;
#else
	return true;
#endif
}

bool fare_isolate(const char *home, const char *run, enum fare_isolation level)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
		fare_log(FARE_ALARM, "no_new_privs: %s", strerror(errno));
		return false;
	}
	return level != FARE_ISOLATED_LANDLOCK || (landlock_confine(home, run) && local_streams_refuse());
}
