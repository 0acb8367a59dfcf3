/*
 * The keeper: holds the listening socket, starts workers and starts them again when they die, sees that a bank runs. It reads nothing foreign.
 *
 *   SIGHUP         becomes the program that its file has now, with the settings as they are now (keeper_next.c); new workers start, and the old ones drain. A bank whose
 *                  file is another one is asked to make room. When the new settings or programs are not good, all stays as it is
 *   SIGTERM        drain: no new calls, running ones end (at most drain_s), then exit
 *   SIGINT SIGQUIT stop at once
 *
 * A worker is this program started again with --worker: descriptor 0 is the listening socket, 3 a pipe on which it waits for the keeper's end (EOF: accept no
 * more, finish, exit), 4 a sealed copy of the settings. One keeper per home: run/keeper.pid is locked by the one that accepts; a draining one has given it up.
 */
#ifndef FARE_FCGI_KEEPER_H
#define FARE_FCGI_KEEPER_H

#include "base/loop.h"
#include "conf/conf.h"

#include "isolate.h"

#include <pthread.h>
#include <sys/types.h>
#include <sys/un.h>

enum { FARE_WORKER_LISTEN_FD = 0, FARE_WORKER_PIPE_FD = 3, FARE_WORKER_CONF_FD = 4, FARE_WORKERS_MAX = 64, FARE_WORKER_GROUPS_MAX = 64 };

/* What main hands to a worker beside the settings. Both are of one program: a keeper starts the one it is itself, even if its file has been replaced meanwhile. */
struct fare_worker_start {
	uint32_t size; /* of this struct */
	int32_t number;
	uint8_t isolation; /* enum fare_isolation */
	struct fare_conf conf;
};

/* Whom workers run as; looked up before any fork. */
struct fare_worker_user {
	bool change;
	uid_t uid;
	gid_t gid;
	gid_t groups[FARE_WORKER_GROUPS_MAX];
	int groups_n;
};

/* One running worker process. */
struct fare_kept {
	struct fare_kept *next;
	pid_t pid;
	int number;
	int pipe_fd;       /* our end; -1: it has been told to drain */
	uint64_t since_ms; /* wall time */
	uint64_t boot_ms;
	uint64_t end_boot_ms; /* of a draining one: killed then */
};

/* A place for one worker: who holds it now, and when the next try is. */
struct fare_post {
	struct fare_keeper *keeper;
	struct fare_timer *again;
	uint64_t pause_ms;
	int number;
};

/* Keeps a connection to the bank open, and starts the bank when there is none. */
struct fare_minder {
	pthread_t thread;
	struct fare_conf conf; /* as at the start: where the bank is */
	int bank_fd;           /* -1: none now */
	int stop_fd;           /* written once to end the thread */
	bool running;
};

struct fare_keeper {
	struct fare_conf conf;
	struct fare_loop *loop;
	struct fare_worker_user user;
	struct fare_minder minder;
	struct fare_post posts[FARE_WORKERS_MAX];
	struct fare_kept *kept; /* all that live, draining ones too */
	struct fare_timer *late;    /* draining ones that are left then are killed */
	struct fare_timer *handover; /* old workers drain once the new ones had time to start */
	enum fare_isolation isolation;
	const char *home_arg;
	int listen_fd, lock_fd;
	bool own_socket; /* we made it, and remove it */
	bool stopping;
};

/*
 * Runs until told to stop; returns the exit status. home: as given on the command line, or NULL. own: ignore a listening socket that is given. after: the descriptor with what
 * the program before has handed on; -1: none.
 */
int fare_keeper_run(const char *home, bool own, int after);

/* keeper_worker.c */
/* HOME/log, where workers write their log of calls and nobody else writes. What goes wrong is logged: calls go on without it. */
void fare_worker_log_prepare(const struct fare_worker_user *u, const struct fare_conf *c);
bool fare_worker_user_find(struct fare_worker_user *u, const struct fare_conf *c, char error[FARE_CONF_ERROR_N]) FARE_MUST;
bool fare_worker_user_become(const struct fare_worker_user *u) FARE_MUST; /* only what is safe after a fork */
bool fare_kept_start(struct fare_keeper *k, int number) FARE_MUST; /* adds to k->kept */
void fare_kept_drain(struct fare_kept *w);
void fare_kept_remove(struct fare_keeper *k, struct fare_kept *w);

/* keeper_file.c */
int fare_keeper_lock(const struct fare_conf *c, bool wait); /* the lock's descriptor, or -1 with the reason logged */
void fare_keeper_unlock(struct fare_keeper *k);             /* lets the next keeper in */
bool fare_keeper_state(const struct fare_keeper *k) FARE_MUST; /* run/keeper.state for `farebox status` */
const char *fare_keeper_socket(const struct fare_keeper *k, struct sockaddr_un *un); /* where web servers reach us; "": it is no Unix socket, or closed */
void fare_keeper_notify(const char *text); /* to the service manager that started us, if one did (sd_notify(3)) */

/* keeper_next.c */
enum { FARE_HANDOVER_VERSION = 1 }; /* of what one program hands to the next; the next understands its own and all before */
void fare_keeper_next(const struct fare_keeper *k, char error[FARE_CONF_ERROR_N]); /* becomes the next program; returns when it cannot, and nothing has changed */
bool fare_keeper_take(struct fare_keeper *k, int state_fd) FARE_MUST; /* what the one before handed on: sockets, lock, workers; closes state_fd */

/* keeper_bank.c. The first connection is made by the caller's thread, so that what keeps a bank from starting is said at once. */
bool fare_minder_start(struct fare_minder *m, const struct fare_conf *c, bool must, char error[FARE_CONF_ERROR_N]) FARE_MUST; /* must: no bank, no start */
void fare_minder_stop(struct fare_minder *m);
void fare_bank_reload(const struct fare_conf *c); /* tells a running bank to read its settings again; does not wait */

#endif
