/*
 * Probes: what `farebox doctor` asks for through the web server, to see what that makes of a refusal and of a stream. "Farebox-Probe: WHAT WORD": while it asks, doctor has a
 * file in the run folder that is named by the hash of its word, so nobody else gets these answers. Nothing is held, charged or recorded.
 */
#include "base/first.h"

#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <time.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/secret.h"
#include "flow/call.h"

/* A file left behind opens nothing for long. The stream waits for doctor's sign less long than any web server waits for a stream. */
enum { WORD_LEAST = 32, FRESH_S = 600, SIGN_MS = 6000, LOOK_MS = 20 };

static bool word_is_good(struct fare_call *c, struct fare_span word, char path[FARE_PATH_N])
{
	struct fare_hash hash;
	struct stat st;
	char hex[FARE_HEX_HASH_N], name[sizeof "probe." + FARE_HEX_HASH_N] = "probe.";
	if (word.n < WORD_LEAST)
		return false;
	fare_sha256(word.p, word.n, &hash);
	fare_hash_hex(&hash, hex);
	memcpy(name + strlen("probe."), hex, sizeof hex);
	return fare_path(path, FARE_PATH_N, c->gate->conf->run, name) && lstat(path, &st) == 0 && S_ISREG(st.st_mode) && time(NULL) - st.st_mtime < FRESH_S;
}

/* As a caller without money gets it; but there is none, so the log of calls has no line for it. */
static void probe_refusal(struct fare_call *c)
{
	const char *topup = c->gate->conf->topup_url;
	fare_refusal_set(&c->refusal, FARE_CODE_BALANCE_TOO_LOW, NULL, "%s", "");
	c->refusal.needed.nano = 1;
	c->refusal.topup_url = *topup ? topup : "https://farebox.invalid/topup";
	c->refusal.currency = c->gate->conf->currency;
	fare_call_refuse(c);
	c->refusal.code = FARE_CODE_NONE;
}

/* Two events. Between them doctor, when it has read the first, takes its file away: so the second says whether the first had come through by then. */
static void probe_stream(struct fare_call *c, const char *path)
{
	struct fare_buf head;
	uint64_t end_ms = fare_clock_boot_ms() + SIGN_MS;
	struct stat st;
	c->ops->discard(c->io);
	fare_buf_init(&head, FARE_OUT_MAX);
	fare_head_begin(c, 200, &head);
	fare_buf_add_str(&head, "Content-Type: text/event-stream\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\n\r\ndata: first\n\n");
	bool there = fare_call_say(c, fare_buf_span(&head)), seen = false;
	fare_buf_release(&head);
	fare_gate_waits(c->gate);
	while (there && !seen && fare_clock_boot_ms() < end_ms) {
		poll(NULL, 0, LOOK_MS);
		seen = lstat(path, &st) != 0 && errno == ENOENT;
	}
	if (there && fare_call_say(c, fare_span_of(seen ? "data: seen\n\n" : "data: not seen\n\n")))
		fare_call_said(c);
}

bool fare_step_probe(struct fare_call *c)
{
	char path[FARE_PATH_N];
	struct fare_span all = fare_span_of(c->ops->param(c->io, "HTTP_FAREBOX_PROBE"));
	const char *space = all.n ? memchr(all.p, ' ', all.n) : NULL;
	if (!space)
		return false;
	struct fare_span what = fare_span_at(all.p, (size_t)(space - all.p)), word = fare_span_at(space + 1, all.n - what.n - 1);
	bool refusal = fare_span_is(what, "refusal");
	if ((!refusal && !fare_span_is(what, "stream")) || !word_is_good(c, word, path))
		return false;
	if (refusal)
		probe_refusal(c);
	else
		probe_stream(c, path);
	return true;
}
