/* What all calls of a worker share, and the way in: one request, from a doorman's thread. */
#ifndef FARE_FLOW_GATE_H
#define FARE_FLOW_GATE_H

#include "bank/board.h"
#include "bank/client.h"
#include "conf/conf.h"
#include "flow/io.h"
#include "flow/journal.h"

struct fare_relay;
struct fare_secrets;

struct fare_counts {
	atomic_ullong requests, refused, relayed, upstream_failed, client_gone;
};

struct fare_gate {
	const struct fare_conf *conf;
	struct fare_link *link;
	struct fare_relay *relay;
	struct fare_secrets *secrets;
	struct fare_catalogs *catalogs;
	struct fare_journal *journal; /* NULL: none is kept */
	struct fare_budget budget; /* of request bodies */
	struct fare_counts counts;
	bool brief; /* the process is killed soon after its caller has left (CGI): nothing can be read on for him */
	void (*waits)(void); /* the calling thread is about to wait for the bank or for a caller; NULL: nobody wants to know */
};
static inline void fare_gate_waits(const struct fare_gate *g)
{
	if (g->waits)
		g->waits();
}

/* Serves one request: answers it here, or hands it to the relay. Takes io. Blocks for its body and for the bank. */
void fare_gate_serve(struct fare_gate *g, const struct fare_io_ops *ops, void *io);

#endif
