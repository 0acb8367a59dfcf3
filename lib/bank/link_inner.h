/* Between the files of a worker's link to the bank. */
#ifndef FARE_BANK_LINK_INNER_H
#define FARE_BANK_LINK_INNER_H

#include <pthread.h>

#include "base/fs.h"
#include "base/loop.h"
#include "bank/client.h"

/* What a slot waits for. Free slots stand in a queue: the one that has been free longest is taken first. */
enum slot_state { SLOT_FREE, SLOT_TAKEN, SLOT_WAIT, SLOT_GRANTED, SLOT_SETTLE, SLOT_VOID };

struct link_slot {
	uint8_t state;  /* enum slot_state */
	bool told;      /* what this state has to say was said on the connection that is open now */
	bool heard_of;  /* something of this call was said on any connection: a bank may hold money for it */
	struct fare_id call_id, last; /* last: newest id it ever had */
	struct fare_admit ask;
	uint32_t kept;              /* bytes of its answer's file */
	struct fare_asking *asking; /* who waits: in SLOT_WAIT; in SLOT_GRANTED for more money, NULL: nobody */
	uint64_t extend_to;         /* then */
};

/* A doorman's question without a slot, on his stack. */
struct link_check {
	struct link_check *next;
	struct fare_admit ask;
	struct fare_admit_answer answer;
	uint8_t type; /* FARE_MSG_CHECK or FARE_MSG_STORY */
	struct fare_buf *story; /* of the latter: where the answer goes */
	bool told, answered, given_up;
	pthread_cond_t heard;
};

/* A bank that was killed is there again within a second or so; one that is not there after LINK_DOWN_MS cannot be had. */
enum { LINK_DOWN_MS = 5000 };
enum { LINK_HEAR_MAX = 16 /* messages read at a time */, LINK_KEPT_MAX = 64 * 1024 * 1024 /* of the run folder, which may be memory: while the bank's disk does not keep up */ };

struct fare_link {
	char run[FARE_PATH_N];
	struct fare_id incarnation;
	unsigned worker_no, count;
	struct fare_meter_slot *meter;
	int meter_fd;
	struct fare_loop *loop;
	pthread_t thread; /* runs the loop, when it is the link's own */
	bool loop_is_own;

	/* The loop's thread alone. */
	struct fare_post_node start, stop, unblock;
	struct fare_watch *watch; /* of the connection */
	struct fare_timer *retry, *look;
	uint64_t retry_ms;
	uint8_t heard[LINK_HEAR_MAX][FARE_MSG_SMALL];

	pthread_mutex_t lock; /* all below */
	struct link_slot *slots;
	struct link_check *checks;
	struct fare_fetch *fetches, **fetches_last; /* unanswered, oldest first */
	struct fare_fetch *fetched, **fetched_last; /* answered or given up, not told yet */
	uint64_t tags;
	size_t kept;           /* bytes of all answers' files whose calls are not acknowledged */
	uint16_t *queue;       /* ring of free slots */
	unsigned first_free, free_count;
	int fd;                /* the connection, -1: none */
	uint64_t down_ms;      /* boot clock: since when there is none */
	bool blocked;          /* the socket was full: something is left to say */
	bool unblock_posted;
	unsigned waiting;      /* slots in SLOT_WAIT, and those that ask for more */
	bool draining, stopped;
	pthread_cond_t freed;
};

/* Lock held: say what is untold, if the socket takes it; else the loop does. */
void fare_link_say_slot(struct fare_link *l, unsigned slot);
void fare_link_say_checks(struct fare_link *l);
void fare_link_say_fetch(struct fare_link *l, struct fare_fetch *f);
bool fare_link_is_down(const struct fare_link *l, uint64_t now_ms); /* lock held: for so long that nobody waits for a bank */
void fare_link_release(struct fare_link *l, unsigned slot);  /* lock held */
void fare_link_loop_begin(struct fare_link *l);              /* connect, and stay connected */
void fare_link_loop_end(struct fare_link *l);

#endif
