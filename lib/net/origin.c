/*
 * Servers that may speak HTTP/2, each with a gate: while one transfer looks for a connection the others wait, so that they share the one it makes. Left alone, curl 7.88 lets
 * transfers wait for the first connection to a server only: when that is full, or the server goes away, each of a hundred transfers opens one of its own.
 */
#include "base/first.h"

#include <stdlib.h>

#include "base/log.h"
#include "net/transfer.h"

struct fare_origin {
	struct fare_origin *next;
	struct fare_transfer *seeking;      /* a connection */
	struct fare_transfer *first, *last; /* wait for it */
	bool http1;                         /* nothing to share */
	size_t n;
	char name[]; /* scheme, host and port */
};

void fare_origin_set(struct fare_transfer *t, const char *url)
{
	struct fare_origin **at = &t->net->origins;
	size_t n = strlen("https://");
	n += strcspn(url + n, "/?#");
	while (*at && ((*at)->n != n || strncasecmp((*at)->name, url, n) != 0))
		at = &(*at)->next;
	if (!*at) {
		*at = fare_alloc(sizeof **at + n);
		memcpy((*at)->name, url, n);
		(*at)->n = n;
	}
	t->origin = *at;
}

static bool pass(struct fare_transfer *t)
{
	if (t->origin && !t->origin->http1)
		t->origin->seeking = t;
	return curl_multi_add_handle(t->net->multi, t->easy) == CURLM_OK;
}

bool fare_origin_enter(struct fare_transfer *t)
{
	struct fare_origin *o = t->origin;
	if (!o || o->http1 || !o->seeking)
		return pass(t);
	*(o->last ? &o->last->wait_next : &o->first) = t;
	o->last = t;
	t->waits = true;
	return true;
}

void fare_origin_open(struct fare_net *n)
{
	for (struct fare_origin *o = n->origins; o; o = o->next)
		while (o->first && (o->http1 || !o->seeking)) {
			struct fare_transfer *t = o->first;
			fare_origin_leave(t);
			if (!pass(t)) {
				t->failed = FARE_NET_INTERNAL;
				fare_timer_set(t->timer, 0);
			}
		}
}

/* Not at once: curl cannot be given transfers from within its callbacks. */
static void open_soon(struct fare_transfer *t)
{
	if (t->origin->first)
		fare_timer_set(t->net->gate, 0);
}

void fare_origin_http1(struct fare_transfer *t, bool http1)
{
	t->origin->http1 = http1;
	open_soon(t);
}

void fare_origin_leave(struct fare_transfer *t)
{
	struct fare_origin *o = t->origin;
	if (o && o->seeking == t) {
		o->seeking = NULL;
		open_soon(t);
	}
	if (!t->waits)
		return;
	struct fare_transfer *before = NULL;
	for (struct fare_transfer *each = o->first; each != t; each = each->wait_next)
		before = each;
	*(before ? &before->wait_next : &o->first) = t->wait_next;
	if (o->last == t)
		o->last = before;
	t->wait_next = NULL;
	t->waits = false;
}

void fare_origins_free(struct fare_net *n)
{
	for (struct fare_origin *o; (o = n->origins);) {
		n->origins = o->next;
		free(o);
	}
}
