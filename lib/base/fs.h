/* Files and Unix sockets. Socket paths may be of any length: bind and connect go through their folder (a path of over 107 bytes does not fit a sockaddr_un). */
#ifndef FARE_BASE_FS_H
#define FARE_BASE_FS_H

#include "base/buf.h"
#include "base/first.h"

#include <sys/types.h>

/* Descriptors are close-on-exec. Those that return int: a descriptor, or -1 with errno. */
int fare_unix_listen(const char *path, int type, mode_t mode, int backlog); /* non-blocking; replaces a socket file that is there */
int fare_unix_connect(const char *path, int type);                          /* blocking connect, then blocking descriptor */
bool fare_peer_uid(int fd, uid_t *uid, pid_t *pid) FARE_MUST;               /* SO_PEERCRED */
uint64_t fare_process_start(pid_t pid); /* when it began, in ticks since boot: with it a pid names one process for ever. 0: there is none, or it has ended */
bool fare_fd_nonblock(int fd, bool on);
void fare_fd_limit_raise(void); /* as many as this process may have */
bool fare_write_all(int fd, const void *p, size_t n) FARE_MUST;
bool fare_file_read(const char *path, struct fare_buf *out) FARE_MUST;      /* appends the whole file; EFBIG when out->max is too small */
/*
 * In a folder where others may make files, too: a new, empty file, open for reading and writing, in the place of whatever had its name. -1: errno.
 * And: is an open file ours, with no other user allowed to write it?
 */
int fare_file_make(const char *path, mode_t mode) FARE_MUST;
bool fare_file_is_own(int fd) FARE_MUST;
bool fare_file_write(const char *path, const void *p, size_t n, mode_t mode) FARE_MUST; /* other name, fsync, rename */
bool fare_mkdirs(const char *path, mode_t mode) FARE_MUST;
bool fare_path(char *out, size_t size, const char *dir, const char *name) FARE_MUST;    /* dir/name; false when too long */
enum { FARE_PATH_N = 4096 };

#endif
