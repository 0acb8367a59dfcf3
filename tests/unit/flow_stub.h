/* For the test of the flow: a link to no bank that notes what it is told, a request that comes from memory, an upstream that does what the test says. */
#ifndef FARE_TESTS_FLOW_STUB_H
#define FARE_TESTS_FLOW_STUB_H

#include "bank/client.h"
#include "flow/io.h"

/* The link. Words are noted in order: slot admit extend=N void sent progress usage final:ENDING settle keep fetch; progress once in a row. */
struct stub_link_answer {
	bool no_slot, no_answer, down, no_more /* extends are not answered */;
	uint64_t held_max; /* output tokens that extends grant at most */
	struct fare_admit_answer answer;
	const char *story;
	struct fare_admit asked;     /* the last one */
	const char *kept;            /* what the bank keeps, for fetches */
	size_t kept_fails_at;        /* a part from there on is not to be had; 0: all are */
	atomic_uint fetches;         /* parts asked for */
};
extern struct stub_link_answer stub_link;
extern struct fare_loop *stub_link_loop; /* where answers come */
void stub_link_reset(const char *base_url);
void stub_link_note(const char *word);
const char *stub_link_notes(void);
bool stub_link_wait(const char *word); /* until it was noted; false: it never was */
struct fare_usage stub_link_usage(void);
extern char stub_kept[512 * 1024]; /* head and body that were given to be kept, NUL-terminated */

/* The request. */
struct stub_io {
	int app, web; /* web: the caller's end */
	const char *const *params; /* "NAME=VALUE", NULL-terminated */
	const char *body;
	enum fare_body_end end;
	bool was_read;
	atomic_bool discarded, finished, closed;
};
extern const struct fare_io_ops stub_io_ops;
void stub_io_open(struct stub_io *io, const char *const *params, const char *body);
/* What comes until the connection is closed (all) or until text is in it. NUL-terminated, at most size - 1. */
void stub_io_read(struct stub_io *io, char *out, size_t size, const char *until);
bool stub_io_wait_closed(struct stub_io *io);

/* The upstream: each request is answered by this, on a thread of its own; fd is closed after it. */
typedef void stub_script(int fd);
void stub_upstream_does(stub_script *script);
unsigned stub_upstream_start(void); /* its port */
extern char stub_upstream_saw[65536];

#endif
