/*
 * Where a request comes from and where its answer goes, as the steps of a call see it: FastCGI and CGI are behind it (fcgi/io.h). A request is a doorman's until it is
 * detached, then the relay's; one thread at a time. Answers are written in CGI's form: "Status: 200 OK\r\n" and other header lines, an empty line, the body.
 */
#ifndef FARE_FLOW_IO_H
#define FARE_FLOW_IO_H

#include "base/buf.h"
#include "base/first.h"

#include <stdatomic.h>
#include <sys/types.h>

/* Memory that all request bodies of a worker share. */
struct fare_budget { atomic_size_t used; size_t max; };
bool fare_budget_take(struct fare_budget *b, size_t n) FARE_MUST; /* false: nothing taken */
void fare_budget_give(struct fare_budget *b, size_t n);

enum fare_body_end {
	FARE_BODY_WHOLE = 1,
	FARE_BODY_TOO_LARGE, /* more than max, said beforehand or seen */
	FARE_BODY_SLOW,      /* below the least rate, or nothing for FARE_BODY_WAIT_S */
	FARE_BODY_NO_ROOM,   /* the budget is used up */
	FARE_BODY_GONE       /* the other side left, or what it sends is no FastCGI */
};
enum { FARE_BODY_WAIT_S = 10 };

struct fare_body_limits {
	size_t max;
	uint64_t rate; /* least bytes a second after the first FARE_BODY_WAIT_S, 0: any */
	struct fare_budget *budget; /* the caller gives back fare_body's taken */
};

struct fare_body {
	struct fare_buf bytes;
	size_t taken; /* from the budget */
};

struct fare_io_ops {
	/* For doormen. A parameter's value or NULL; the i-th as "NAME=VALUE", NULL after the last. Valid until detach. */
	const char *(*param)(void *io, const char *name);
	const char *(*param_at)(void *io, size_t i);
	enum fare_body_end (*read)(void *io, const struct fare_body_limits *limits, struct fare_body *out); /* blocks */
	void (*discard)(void *io);  /* reads what is left of the input, within bounds: an answer given before that may be lost */
	void (*detach)(void *io);   /* no more input or parameters; frees their memory */
	/* For the thread that answers; none blocks. */
	int (*fd)(void *io);        /* to wait on: writable, or (input read to its end) any event but writable: the caller is gone */
	/* Bytes taken; 0: full now, -1: gone. Offer what was not taken again, unchanged, before anything else. last: nothing follows but finish, so the end may go out with them. */
	ssize_t (*write)(void *io, const char *p, size_t n, bool last);
	int (*finish)(void *io);    /* after the last byte: 1 done, 0 full now, call again, -1 gone */
	void (*close)(void *io);    /* frees it. A doorman's may block up to 2 s when input was left unread */
};

#endif
