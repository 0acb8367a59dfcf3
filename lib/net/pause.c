/*
 * Back-pressure. A paused HTTP/1.1 connection is just not read. Over HTTP/2 the others on the connection run on, and what the server may still send of a paused answer
 * (curl's window: 32 MiB) is kept by curl, which copies all of it at each resume, of which a slow reader needs many: one of them took its neighbour 40 times as long. So what
 * a resume brings and its caller does not want yet is kept here, and curl is resumed when that is out. All that is kept has one limit; whoever keeps most is ended first.
 */
#include "base/first.h"

#include "base/clock.h"
#include "net/transfer.h"

enum { PIECE = 16384, KEPT_MAX = 64 * 1024 * 1024 /* as curl's own */ };

static void held_set(struct fare_transfer *t, uint64_t bytes)
{
	t->net->held += bytes - t->held;
	t->held = bytes;
}

static void held_limit(struct fare_net *n)
{
	while (n->held > n->held_max) {
		struct fare_transfer *most = n->first;
		for (struct fare_transfer *t = n->first; t; t = t->next)
			most = t->held > most->held ? t : most;
		held_set(most, 0);
		most->failed = FARE_NET_UNREAD;
		fare_timer_set(most->timer, 0);
	}
}

/* What curl has of the answer and the caller has not. */
static void held_look(struct fare_transfer *t)
{
	curl_off_t got = 0;
	curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &got);
	held_set(t, !t->failed && (uint64_t)got > t->received ? (uint64_t)got - t->received : 0);
	held_limit(t->net);
}

static int on_progress(void *arg, curl_off_t all, curl_off_t now, curl_off_t up_all, curl_off_t up_now)
{
	(void)all, (void)now, (void)up_all, (void)up_now;
	held_look(arg);
	return 0;
}

size_t fare_pause_take(struct fare_transfer *t, const char *p, size_t n)
{
	if (t->resuming)
		return fare_buf_add(&t->kept, p, n) ? n : 0;
	t->curl_paused = true;
	curl_easy_setopt(t->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(t->easy, CURLOPT_XFERINFODATA, t);
	curl_easy_setopt(t->easy, CURLOPT_NOPROGRESS, 0L);
	return CURL_WRITEFUNC_PAUSE;
}

void fare_pause_release(struct fare_transfer *t)
{
	held_set(t, 0);
	fare_buf_release(&t->kept);
}

void fare_transfer_pause(struct fare_transfer *t)
{
	t->paused = true;
}

/* False: the caller wants no more of it. */
static bool give_kept(struct fare_transfer *t)
{
	while (!t->paused && t->kept_at < t->kept.n) {
		size_t n = t->kept.n - t->kept_at < PIECE ? t->kept.n - t->kept_at : PIECE;
		char *p = t->kept.p + t->kept_at;
		t->kept_at += n;
		if (fare_transfer_on_data(p, 1, n, t) != n)
			return false;
	}
	if (t->kept_at == t->kept.n) {
		fare_buf_release(&t->kept);
		t->kept_at = 0;
	}
	return true;
}

/* False: it is over; curl tells a failure here to us alone. */
static bool resume_curl(struct fare_transfer *t)
{
	fare_buf_init(&t->kept, KEPT_MAX);
	t->curl_paused = false;
	t->resuming = true;
	CURLcode code = curl_easy_pause(t->easy, CURLPAUSE_CONT);
	t->resuming = false;
	if (code != CURLE_OK)
		fare_transfer_tell(t, fare_transfer_result(t, code));
	return code == CURLE_OK;
}

void fare_transfer_resume(struct fare_transfer *t)
{
	if (!t->paused)
		return;
	t->paused = false;
	t->active_ms = fare_clock_boot_ms();
	if (!give_kept(t)) {
		fare_transfer_tell(t, t->failed);
		return;
	}
	if (!t->paused && t->curl_paused && !resume_curl(t))
		return;
	if (t->ended && t->kept.n == 0) {
		fare_transfer_tell(t, t->result);
		return;
	}
	if (t->held)
		held_look(t);
	if (!t->paused)
		curl_easy_setopt(t->easy, CURLOPT_NOPROGRESS, 1L);
}
