/* The bank's life: lock, recovery, flush, holds, sockets, loop, leave. */
#include "base/first.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "bank/lock.h"
#include "bank/server.h"
#include "bank/server_inner.h"
#include "bank/start.h"
#include "bank/wait.h"

enum { TICK_MS = 1000, SWEEP_TICKS = 60, IDLE_MS = 60000 };

void fare_bank_now(struct fare_bank *b) { fare_decider_time(&b->d, fare_clock_wall_ms()); }

void fare_bank_settings(struct fare_bank *b)
{
	b->d.default_max_tokens = (uint64_t)b->conf.default_max_tokens;
	b->d.image_tokens = (uint64_t)b->conf.image_tokens;
	b->d.stories = b->conf.story_days > 0;
	b->expire_now = true;
	atomic_store(&b->space.reserve, (uint64_t)b->conf.store_reserve_bytes);
}

static void post_job(void *bank, struct fare_job *job) { fare_writer_post(bank, job); }

/* ---- The disk fails. After a failed fsync no acknowledgement leaves any more, and the next bank trusts nothing that only the kernel's memory may have. */

static const struct fare_conf *the_conf; /* one bank in a process */

FARE_NORETURN static void disk_failed(enum fare_disk_failed what, int error)
{
	if (what == FARE_DISK_SYNC) {
		fare_store_mark_unsynced(the_conf->home, the_conf->run);
		fare_log(FARE_ALARM, "an fsync of the store failed (%s): the bank ends here, and the next one copies the store's files before it reads them", strerror(error));
	} else {
		char why[FARE_ERROR_N];
		snprintf(why, sizeof why, "the store cannot be read (%s), and nothing was changed: mend the disk, or restore a backup to another", strerror(error));
		fare_bank_hold_off(the_conf, why);
	}
	_exit(1);
}

/* ---- store/CLEAN is there when the last bank left in good order. Without it, and without the holds of this boot, calls may have been lost: an outage. */

static bool clean_path(const struct fare_bank *b, char dir[FARE_PATH_N], char path[FARE_PATH_N])
{
	return fare_path(dir, FARE_PATH_N, b->conf.home, "store") && fare_path(path, FARE_PATH_N, dir, FARE_CLEAN_MARK);
}

static bool is_clean(const struct fare_bank *b)
{
	char dir[FARE_PATH_N], path[FARE_PATH_N];
	return clean_path(b, dir, path) && access(path, F_OK) == 0;
}

/* Before the first admission, and not before there is a file of holds: who is killed in between has lost nothing. */
static bool take_clean_mark(const struct fare_bank *b)
{
	char dir[FARE_PATH_N], path[FARE_PATH_N];
	if (!is_clean(b))
		return true;
	if (!clean_path(b, dir, path) || unlink(path) != 0) {
		fare_log(FARE_ALARM, "%s/store/CLEAN: %s", b->conf.home, strerror(errno));
		return false;
	}
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		disk_failed(FARE_DISK_SYNC, errno);
	close(fd);
	return true;
}

static void put_clean_mark(const struct fare_bank *b)
{
	char dir[FARE_PATH_N], path[FARE_PATH_N];
	if (!clean_path(b, dir, path) || !fare_file_write(path, "", 0, 0600))
		fare_log(FARE_WARN, "%s/store/CLEAN: %s", b->conf.home, strerror(errno));
}

static bool keep_entry(void *last, const struct fare_entry *e)
{
	*(struct fare_entry *)last = *e;
	return true;
}

static void boot_text(char *out, size_t size)
{
	uint8_t boot[16] = {0};
	size_t n = (size_t)snprintf(out, size, "found in boot ");
	for (size_t i = 0; fare_clock_boot_id(boot) && i < sizeof boot; i++)
		n += (size_t)snprintf(out + n, size - n, "%02x", boot[i]);
}

/*
 * Durable before there is a file of holds, which says that nothing was lost; and once, however often a bank is killed in between: nothing was sealed after it then, and it
 * is of this boot. (One that is found in the next boot is another one: calls may have begun in between, and none of them ended.)
 */
static bool note_outage(struct fare_bank *b)
{
	struct fare_seal head;
	struct fare_entry last = {0};
	struct fare_op op = {.type = FARE_OP_OUTAGE, .u.post = {.kind = FARE_KIND_OUTAGE, .time_ms = fare_clock_wall_ms()}};
	if (fare_books_head_seal(b->books, &head) != 0 || fare_books_each_entry(b->books, 0, 1, keep_entry, &last) != 0)
		return false;
	boot_text(op.u.post.note, sizeof op.u.post.note);
	if (head.number == 0 || (last.kind == FARE_KIND_OUTAGE && last.batch == head.number && strcmp(last.note, op.u.post.note) == 0))
		return true;
	fare_log(FARE_WARN, "the last bank did not leave in good order, and its holds are gone (a power cut?): noted in the ledger as an outage");
	bool noted = fare_books_begin(b->books) == 0 && fare_books_apply(b->books, &op) == 0 && fare_books_commit(b->books) == 0;
	return noted && !fare_fault("bank_after_outage");
}

/* ---- Filling the memory */

static bool load_account(void *d, const struct fare_account *a) { fare_decider_put_account(d, a); return true; }
static bool load_key(void *d, const struct fare_key *k) { fare_decider_put_key(d, k); return true; }
static bool load_provider(void *d, const struct fare_provider *p) { fare_decider_put_provider(d, p); return true; }
static bool load_model(void *d, const struct fare_model *m) { fare_decider_put_model(d, m); return true; }

static bool load_replay(void *d, const struct fare_replay *r) { fare_decider_put_replay(d, r); return true; }

static bool load_books(struct fare_bank *b)
{
	struct fare_decider *d = &b->d;
	struct fare_seal head;
	if (fare_books_head_seal(b->books, &head) != 0)
		return false;
	fare_decider_time(d, head.time_ms);
	fare_bank_now(b);
	return fare_books_each_account(b->books, load_account, d) == 0 && fare_books_each_key(b->books, load_key, d) == 0 &&
	       fare_books_each_provider(b->books, load_provider, d) == 0 && fare_books_each_model(b->books, load_model, d) == 0 && fare_books_each_replay(b->books, load_replay, d) == 0;
}

static int has_entry(void *bank, struct fare_id call_id)
{
	struct fare_bank *b = bank;
	struct fare_entry e;
	return fare_books_find_call(b->books, call_id, &e);
}

/* After fare_books_open has flushed (R6). */
static bool recover(struct fare_bank *b)
{
	char path[FARE_PATH_N], error[FARE_ERROR_N] = "";
	fare_books_ids(b->books, b->store, b->epoch);
	if (!fare_path(path, sizeof path, b->conf.run, "holds"))
		return false;
	bool there = fare_holds_are_there(path, b->store, b->epoch, FARE_HOLDS_MAX);
	if (!is_clean(b) && !there && !note_outage(b))
		return false;
	if (fare_fault("bank_before_holds"))
		fare_log(FARE_WARN, "fault bank_before_holds");
	if (!fare_holds_open(&b->d.holds, path, b->store, b->epoch, FARE_HOLDS_MAX, error)) {
		fare_log(FARE_ALARM, "%s", error);
		return false;
	}
	if (!take_clean_mark(b))
		return false;
	b->board = fare_board_open(b->conf.run, b->store, b->epoch, error);
	if (!b->board) {
		fare_log(FARE_ALARM, "%s", error);
		return false;
	}
	return load_books(b) && fare_decider_recover(&b->d, has_entry, b);
}

/* ---- What others see */

static int by_name(const void *a, const void *b) { return strcmp(((const struct fare_catalog_item *)a)->name, ((const struct fare_catalog_item *)b)->name); }

static void publish_catalogue(struct fare_bank *b)
{
	struct fare_decider *d = &b->d;
	struct fare_catalog_item *items = fare_alloc((d->models.n + 1) * sizeof *items);
	size_t n = 0;
	for (size_t v = 0; v < d->models.n; v++) {
		const struct fare_model *m = d->models.at[v];
		const struct fare_provider *p = m ? fare_decider_provider(d, m->provider) : NULL;
		if (p && !p->removed && fare_decider_model_named(d, m->name) == m)
			items[n++] = (struct fare_catalog_item){m->name, p->name, m->created_ms};
	}
	qsort(items, n, sizeof *items, by_name);
	if (fare_board_publish(b->board, items, n))
		b->published = d->catalogue;
	free(items);
}

void fare_bank_publish(struct fare_bank *b)
{
	struct fare_board_page *p = fare_board_page(b->board);
	if (b->published != b->d.catalogue)
		publish_catalogue(b);
	atomic_store(&p->holds, b->d.holds.used);
	atomic_store(&p->connections, b->conn_count);
	atomic_store(&p->queued, b->d.queued);
	atomic_store(&p->ticks, b->ticks);
	atomic_store(&p->over_hold, b->d.over_hold);
}

/* ---- The loop */

/* Nobody keeps it, and nobody needs it: it leaves. */
static bool is_idle(struct fare_bank *b)
{
	bool used = b->conn_count || b->admin_count || b->d.holds.used || b->d.queued || b->readers.busy || b->alarms.count;
	uint64_t now = fare_clock_boot_ms();
	if (used || b->idle_since_ms == 0)
		b->idle_since_ms = now;
	return !used && now - b->idle_since_ms >= IDLE_MS;
}

static void on_tick(void *arg)
{
	struct fare_bank *b = arg;
	fare_bank_now(b);
	if (!fare_planted("r2"))
		fare_call_bury(b);
	if (++b->ticks % SWEEP_TICKS == 0)
		fare_call_sweep(b);
	fare_bank_publish(b);
	fare_space_tick(b);
	fare_checkpointer_tick(b);
	fare_decider_forget_keys(&b->d);
	fare_alarms_tick(b);
	if (is_idle(b)) {
		fare_log(FARE_INFO, "idle: leaving");
		fare_bank_stop(b);
	}
	fare_stories_tick(b);
	fare_timer_set(b->tick, TICK_MS);
}

void fare_bank_stop(struct fare_bank *b)
{
	b->stopping = true;
	fare_loop_stop(b->loop);
}

static void on_signal(void *arg, int signo)
{
	fare_log(FARE_INFO, "signal %d: leaving", signo);
	fare_bank_stop(arg);
}

static bool loop_open(struct fare_bank *b)
{
	b->loop = fare_loop_new();
	if (!b->loop)
		return false;
	b->tick = fare_timer_new(b->loop, on_tick, b);
	return fare_loop_signal(b->loop, SIGTERM, on_signal, b) && fare_loop_signal(b->loop, SIGINT, on_signal, b);
}

/* Is there a call whose entry is still to be written? It runs, or its charge is parked. */
static bool calls_are_open(struct fare_bank *b)
{
	for (uint32_t i = 0; i < b->d.holds.count; i++) {
		const struct fare_hold *h = &b->d.holds.records[i];
		uint64_t state = atomic_load(&h->state);
		if (state == FARE_HOLD_LIVE || (state == FARE_HOLD_DECIDED && has_entry(b, h->call_id) <= 0))
			return true;
	}
	return false;
}

/* In good order: no connection any more, then all that was decided is made durable. Holds of running calls stay in their file. */
static void leave(struct fare_bank *b)
{
	fare_call_close(b);
	fare_admin_close(b);
	fare_alarms_close(b);
	fare_books_leave(b->books); /* else no other bank can open before a long verify or rerate has seen all */
	fare_readers_stop(b);
	fare_space_stop(b);
	fare_writer_stop(b);
	fare_checkpointer_stop(b);
	if (fare_checkpointer_once(b) != 0)
		_exit(1);
	bool open = calls_are_open(b);
	fare_books_close(&b->books);
	if (!open) /* else a power cut before the next bank would lose them */
		put_clean_mark(b);
	fare_log(FARE_INFO, "left in good order%s", open ? "; calls are not settled, their holds stay" : "");
	fare_board_close(&b->board);
}

static int serve(struct fare_bank *b)
{
	signal(SIGPIPE, SIG_IGN);
	fare_writer_start(b);
	fare_checkpointer_start(b);
	fare_readers_start(b);
	fare_space_start(b);
	if (!recover(b))
		return 1;
	fare_bank_publish(b);
	fare_call_bury(b);
	fare_call_sweep(b);
	if (!fare_call_open(b) || !fare_admin_open(b))
		return 1;
	struct fare_board_page *p = fare_board_page(b->board);
	atomic_store(&p->pid, (uint64_t)getpid());
	atomic_store(&p->started_ms, b->started_ms);
	fare_timer_set(b->tick, TICK_MS);
	fare_alarms_open(b);
	fare_space_tick(b);
	if (b->copied)
		fare_alarms_raise(b, &(struct fare_alarm){.what = FARE_ALARM_STORE_COPIED, .text = "an fsync of the store failed: the disk may be about to fail; the store's files were copied into new ones, and farebox goes on"});
	fare_log(FARE_INFO, "open: %zu accounts, %zu keys, %u holds", b->d.account_count, b->d.key_count, b->d.holds.used);
	fare_loop_run(b->loop);
	leave(b);
	return 0;
}

int fare_bank_serve(const struct fare_conf *c, void (*waited)(const struct fare_conf *c))
{
	static const struct fare_decider_out out = {.tell = fare_call_tell, .post = post_job, .read_meter = fare_call_read_meter, .alarm = fare_alarms_raise};
	char error[FARE_ERROR_N] = "";
	static struct fare_bank bank; /* one in a process */
	struct fare_bank *b = &bank;
	int lock = fare_bank_lock(c->home, error);
	if (lock == -2)
		fare_log(FARE_ALARM, "%s", error);
	if (lock < 0)
		return lock == -1 ? 0 : 1;
	b->conf = *c;
	the_conf = &b->conf;
	fare_store_watch_disk(disk_failed);
	b->copied = fare_bank_wait(c);
	if (b->copied < 0)
		return 1;
	waited(&b->conf);
	b->call_fd = b->admin_fd = b->alarms.to = b->alarms.from = -1;
	b->alarms.last = &b->alarms.first;
	b->started_ms = fare_clock_wall_ms();
	if (!fare_run_prepare(c, error) || !loop_open(b)) {
		fare_log(FARE_ALARM, "%s", error[0] ? error : "no event loop");
		return 1;
	}
	b->books = fare_books_open(c->home, true, error);
	if (!b->books) {
		fare_bank_hold_off(c, error);
		return 1;
	}
	fare_bank_wait_over(c);
	fare_decider_init(&b->d, &out);
	b->d.out.ctx = b;
	fare_bank_settings(b);
	int status = serve(b);
	if (status != 0)
		_exit(status); /* threads may be at work: as if killed */
	close(lock);
	return 0;
}
