/* Between the files of the bank's server. Everything belongs to the decider's thread unless said otherwise. */
#ifndef FARE_BANK_SERVER_INNER_H
#define FARE_BANK_SERVER_INNER_H

#include <pthread.h>

#include "base/fs.h"
#include "base/json.h"
#include "base/loop.h"
#include "bank/admin.h"
#include "bank/alarms.h"
#include "bank/board.h"
#include "bank/decider.h"
#include "conf/conf.h"

struct fare_bank;

/* ---- The writer's thread. A failure of the store ends the process. */
struct fare_writer {
	pthread_t thread;
	char run[FARE_PATH_N]; /* its own: settings may be read anew */
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct fare_job *first, **last; /* lock */
	unsigned waiting;               /* lock: jobs in the queue */
	bool hurry;                     /* lock: somebody waits for one of them */
	bool resting;                   /* lock: until the next batch may begin */
	bool stopping;                  /* lock */
};
void fare_writer_start(struct fare_bank *b);
void fare_writer_post(struct fare_bank *b, struct fare_job *job);
void fare_writer_stop(struct fare_bank *b); /* after all that was posted is durable */
FARE_NORETURN void fare_writer_failed(const char *what); /* the store: no acknowledgement leaves any more */

/* ---- Checkpoints, and the archive of logs, on a thread of their own. */
struct fare_checkpointer {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t stop;
	bool stopping;                  /* lock */
	char archive[FARE_CONF_TEXT_N]; /* lock: the settings */
	unsigned archive_days;          /* lock */
	_Atomic int archive_error;      /* why logs stay in the store, errno; 0: they do not */
	bool told;                      /* the decider's: that they do */
};
void fare_checkpointer_start(struct fare_bank *b);
void fare_checkpointer_stop(struct fare_bank *b);
int fare_checkpointer_once(struct fare_bank *b); /* its thread, or when that has ended */
void fare_checkpointer_settings(struct fare_bank *b);
void fare_checkpointer_tick(struct fare_bank *b);
void fare_checkpointer_say(const struct fare_bank *b, char *text, size_t size); /* of an archive that fails, one line */

/* ---- The room that the store has, watched by a thread of its own. */
struct fare_space {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t stop;
	bool stopping;                  /* lock */
	char home[FARE_PATH_N], run[FARE_PATH_N];
	_Atomic uint64_t reserve;       /* the setting */
	_Atomic uint64_t free, run_free; /* bytes, as seen last */
	_Atomic uint8_t room;           /* enum fare_room */
};
void fare_space_start(struct fare_bank *b);
void fare_space_stop(struct fare_bank *b);
void fare_space_look(struct fare_bank *b); /* any thread; may wait for the file system */
void fare_space_tick(struct fare_bank *b); /* tells the decider, and the operator once */
void fare_space_say(const struct fare_bank *b, char *text, size_t size); /* why nothing new is taken, one line */
void fare_space_json(const struct fare_bank *b, struct fare_buf *out);

/* ---- A worker's connection. */
struct fare_packet { struct fare_packet *next; size_t n; uint8_t bytes[]; };
struct fare_conn {
	struct fare_bank *bank;
	struct fare_conn *next, **prev;
	uint64_t number; /* counted as they come */
	int fd;
	uint8_t version; /* its hello's */
	struct fare_watch *watch;
	struct fare_worker *worker; /* NULL before its hello */
	struct fare_packet *first, **last; /* what the socket did not take yet */
	size_t waiting;
};
bool fare_call_open(struct fare_bank *b);
void fare_call_close(struct fare_bank *b);
void fare_call_tell(void *bank, struct fare_worker *w, enum fare_msg_type type, uint16_t slot, struct fare_id call_id, const struct fare_admit_answer *answer);
void fare_call_send(struct fare_conn *c, const uint8_t *msg, size_t n);
bool fare_call_read(struct fare_conn *c, struct fare_unpack *k, const struct fare_msg_head *h); /* a part of a kept answer is asked for; false: malformed */
/* Incarnations without a connection: is one dead (R2)? Removes what is left of those without holds. */
void fare_call_bury(struct fare_bank *b);
void fare_call_sweep(struct fare_bank *b); /* meters of incarnations that this bank never heard of */
bool fare_call_read_meter(void *bank, struct fare_worker *w, unsigned slot, struct fare_id expected, struct fare_meter_reading *out);

/* ---- Readers: threads that read the store for whoever must not wait for it. */
struct fare_reading {
	void (*read)(struct fare_reading *r); /* on a reader's thread: it alone touches what belongs to it */
	void (*back)(struct fare_reading *r); /* then on the decider's */
	bool quick;                           /* some records, for a caller who waits: not behind scans */
	struct fare_bank *bank;               /* the readers', like what follows */
	struct fare_reading *next;
	struct fare_post_node node;
};
enum { FARE_READERS_N = 5 /* one of them for quick ones alone */ };
struct fare_reading_list { struct fare_reading *first, **last; };
struct fare_readers {
	pthread_t threads[FARE_READERS_N];
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct fare_reading_list quick, slow; /* lock */
	bool stopping;                      /* lock */
	unsigned busy;                      /* the decider's */
};
void fare_readers_start(struct fare_bank *b);
void fare_readers_stop(struct fare_bank *b);
void fare_read(struct fare_bank *b, struct fare_reading *r);

/* ---- An admin connection. Gone while something is under way for it: freed when that is done. */
struct fare_admin {
	struct fare_bank *bank;
	struct fare_admin *next, **prev;
	int fd;
	struct fare_watch *watch;
	struct fare_buf in, out;
	struct fare_json json;  /* the request being served; points into in */
	size_t line_n;          /* its length with the newline; 0: none */
	uint64_t waits;         /* for its turn to change records: smaller is first; 0: not */
	bool busy;              /* an answer is under way */
	bool reading;           /* out belongs to a reader */
	bool keep, gone;
	bool bad;               /* a member was wrong: error says which */
	char error[FARE_ERROR_N];
	char secret[FARE_KEY_TEXT_N]; /* a new key's text, until it is said */
	struct fare_reading scan;
	void (*read)(struct fare_admin *); /* a reader's work */
	void (*then)(struct fare_admin *); /* what follows it; NULL: the answer's end */
	struct fare_rerating *rerating; /* owned: a rerate under way */
	uint64_t account, from, since_ms, until_ms; /* what it reads */
	enum fare_usage_by by;
	char path[FARE_PATH_N];
	char name[FARE_NAME_N], account_name[FARE_NAME_N];
	uint8_t read_kind;
	struct fare_amount read_amount, read_available;
	struct fare_id read_corrects;
	struct fare_holds_check holds;  /* verify's: as they were when it was asked */
	struct fare_kept_seal kept;
	bool read_failed;
	struct fare_call_facts *facts; /* owned: what `why` has found so far */
	const char *more;       /* further members of its last line */
};
bool fare_admin_open(struct fare_bank *b);
void fare_admin_close(struct fare_bank *b);

/* What ops use. Members of the request; a wrong one sets bad, the first one's text is said. */
bool fare_arg_is_there(const struct fare_admin *c, const char *name);
bool fare_arg_text(struct fare_admin *c, const char *name, char *out, size_t size, bool needed);
uint64_t fare_arg_u64(struct fare_admin *c, const char *name, uint64_t max, bool needed);
bool fare_arg_amount(struct fare_admin *c, const char *name, struct fare_amount *out, bool needed);
bool fare_arg_true(struct fare_admin *c, const char *name);
bool fare_arg_time(struct fare_admin *c, const char *name, uint64_t *ms, bool past); /* false: not there, null or wrong */
void fare_arg_wrong(struct fare_admin *c, const char *fmt, ...) FARE_PRINTF(2, 3);
struct fare_acct *fare_arg_account(struct fare_admin *c, const char *member); /* NULL: bad is set */

void fare_admin_ok(struct fare_admin *c, const char *more); /* more: further members with a comma in front, or "" */
void fare_admin_fail(struct fare_admin *c, const char *fmt, ...) FARE_PRINTF(2, 3);
void fare_admin_end_record(struct fare_admin *c); /* a newline */
/* Hands a change to the writer; done runs when it is durable and finishes the answer (the default says what was refused). */
void fare_admin_submit(struct fare_admin *c, struct fare_job *job, void (*ok)(struct fare_admin *c, struct fare_job *job));
void fare_admin_read(struct fare_admin *c, void (*fn)(struct fare_admin *)); /* on a reader's thread: it alone touches c until it is done */
void fare_admin_read_then(struct fare_admin *c, void (*fn)(struct fare_admin *), void (*then)(struct fare_admin *)); /* when it has done well, `then` goes on, on the decider's thread */
void fare_rerating_end(struct fare_admin *c); /* frees it, if there is one */
bool fare_admin_push(struct fare_admin *c);   /* reader: writes what is in out, waiting for the client; false: it is gone */

/* JSON records, appended to out. */
void fare_json_amount(struct fare_buf *out, const char *name, struct fare_amount a);
void fare_json_text_member(struct fare_buf *out, const char *name, const char *text);
void fare_json_time(struct fare_buf *out, const char *name, uint64_t ms); /* 0: null */

bool fare_admin_add_head_seal(struct fare_admin *c); /* reader: "head_seal": {...} or null; false: cannot be read */

struct fare_admin_op {
	const char *name;
	void (*serve)(struct fare_admin *c);
	const char *members; /* parted by spaces */
	bool changes;        /* records: one at a time, so that no change is lost */
};
extern const struct fare_admin_op fare_account_ops[], fare_key_ops[], fare_catalog_ops[], fare_ledger_ops[], fare_rerate_ops[], fare_story_ops[], fare_status_ops[]; /* ended by a NULL name */

/* ---- Stories. To workers: answered with story_is, or with checked when the key is refused. */
void fare_story_ask(struct fare_bank *b, struct fare_worker *w, const struct fare_admit *ask);
void fare_call_say_story(struct fare_worker *w, struct fare_id call_id, struct fare_span text);
void fare_stories_tick(struct fare_bank *b);

struct fare_bank {
	struct fare_conf conf;
	struct fare_books *books;
	struct fare_decider d;
	struct fare_loop *loop;
	struct fare_timer *tick;
	uint8_t store[16], epoch[16];
	uint64_t started_ms, ticks, idle_since_ms; /* boot clock for the last */
	int call_fd, admin_fd;
	struct fare_watch *call_watch, *admin_watch;
	struct fare_conn *conns;
	struct fare_admin *admins;
	unsigned conn_count, admin_count;
	uint64_t conn_number; /* call.sock: of the newest */
	bool changing;     /* a change of records is under way */
	uint64_t turns;    /* for waits */
	unsigned rerates;  /* under way, all to one price version */
	uint64_t rerate_version;
	unsigned parts;    /* of kept answers, being read */
	bool stopping;
	unsigned story_reads; /* for workers, under way */
	bool expiring;     /* the writer is at it */
	bool expire_now;   /* the setting has changed */
	int copied;        /* 1: a failed fsync was made good before this bank opened the store */
	struct fare_writer writer;
	struct fare_checkpointer checkpointer;
	struct fare_readers readers;
	struct fare_alarms alarms;
	struct fare_space space;
	struct fare_board *board;
	uint64_t published; /* the decider's catalogue as last published */
};
void fare_bank_stop(struct fare_bank *b);
void fare_bank_now(struct fare_bank *b);     /* tells the decider the time */
void fare_bank_publish(struct fare_bank *b); /* catalogue and board, if they changed */
void fare_bank_settings(struct fare_bank *b);

#endif
