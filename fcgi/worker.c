/* The worker's start, its wait for the end, and its drain. */
#include "base/first.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "flow/gate.h"
#include "flow/relay.h"
#include "flow/secrets.h"

#include "doormen.h"
#include "io.h"
#include "worker.h"

enum { LOOK_MS = 20, LAST_MS = 10000 };

/* Each call has a descriptor to the web server and one upstream. */
static void files_raise(unsigned slots)
{
	struct rlimit l;
	if (getrlimit(RLIMIT_NOFILE, &l) != 0)
		return;
	l.rlim_cur = l.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &l) != 0 || l.rlim_cur < slots * 2ULL + 256)
		fare_log(FARE_WARN, "at most %llu open files: %u slots may not all be usable", (unsigned long long)l.rlim_cur, slots);
}

/* Signals come to the main thread alone, through a descriptor. */
static int signals_take(void)
{
	sigset_t set;
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

/* The keeper's end is the worker's; SIGHUP is for the keeper and means nothing here. */
static void wait_for_end(int signal_fd, int pipe_fd)
{
	for (;;) {
		struct pollfd w[] = {{.fd = signal_fd, .events = POLLIN}, {.fd = pipe_fd, .events = POLLIN}};
		struct signalfd_siginfo s;
		char trash[64];
		if (poll(w, 2, -1) < 0)
			continue;
		if (w[0].revents && read(signal_fd, &s, sizeof s) == (ssize_t)sizeof s && s.ssi_signo != SIGHUP)
			return;
		if (w[1].revents && read(pipe_fd, trash, sizeof trash) <= 0)
			return;
	}
}

/* True: every call is over. */
static bool drain(struct fare_gate *g, struct fare_doormen *d, uint64_t timeout_ms)
{
	uint64_t end = fare_clock_boot_ms() + timeout_ms;
	fare_doormen_stop(d);
	bool none = fare_doormen_wait(d, timeout_ms);
	while (fare_relay_running(g->relay) && fare_clock_boot_ms() < end)
		poll(NULL, 0, LOOK_MS);
	return none && fare_relay_running(g->relay) == 0;
}

int fare_worker_main(const struct fare_conf *conf, int worker_no, int listen_fd, int keeper_pipe_fd)
{
	char error[FARE_ERROR_N];
	struct fare_gate gate = {.conf = conf, .budget = {.max = (size_t)conf->body_memory_bytes}};
	unsigned slots = conf->slots < FARE_SLOTS_MAX ? (unsigned)conf->slots : FARE_SLOTS_MAX;
	if (slots < conf->slots)
		fare_log(FARE_WARN, "slots: %u is the most there can be", slots);
	int signal_fd = signals_take();
	files_raise(slots);
	if (signal_fd < 0 || !fare_io_init())
		fare_fatal("worker %d cannot start", worker_no);
	gate.waits = fare_doormen_step_aside;
	gate.secrets = fare_secrets_new();
	gate.catalogs = fare_catalogs_new(conf->run);
	gate.journal = fare_journal_new(conf->home, conf->run);
	gate.relay = gate.journal ? fare_relay_new(&gate) : NULL;
	gate.link = gate.relay ? fare_link_new(conf->run, (unsigned)worker_no, slots, fare_relay_loop(gate.relay), error) : NULL;
	if (!gate.link)
		fare_fatal("worker %d: %s", worker_no, gate.relay ? error : "no threads");
	struct fare_doormen *doormen = fare_doormen_new(&gate, listen_fd, (unsigned)conf->doormen_max);
	if (!doormen)
		fare_fatal("worker %d has no threads", worker_no);
	wait_for_end(signal_fd, keeper_pipe_fd);

	bool done = drain(&gate, doormen, (uint64_t)conf->drain_s * 1000);
	if (!done) {
		fare_log(FARE_WARN, "%u calls are cut: they did not end within drain_s", fare_relay_running(gate.relay));
		fare_relay_cut(gate.relay);
		done = drain(&gate, doormen, LAST_MS);
	}
	bool settled = fare_link_drain(gate.link, LAST_MS);
	fare_log(FARE_INFO, "worker %d ends: %llu requests, %llu refused, %llu relayed, %llu failed upstream, %llu left by their callers", worker_no,
		 (unsigned long long)atomic_load(&gate.counts.requests), (unsigned long long)atomic_load(&gate.counts.refused),
		 (unsigned long long)atomic_load(&gate.counts.relayed), (unsigned long long)atomic_load(&gate.counts.upstream_failed),
		 (unsigned long long)atomic_load(&gate.counts.client_gone));
	if (!fare_journal_drain(gate.journal, LAST_MS) || !done) /* threads still use what would be freed; what they had is settled from the meter */
		_exit(1);
	fare_doormen_free(&doormen);
	fare_link_free(&gate.link); /* on the relay's loop */
	fare_relay_free(&gate.relay);
	fare_journal_free(&gate.journal);
	fare_secrets_free(&gate.secrets);
	fare_catalogs_free(&gate.catalogs);
	close(signal_fd);
	return settled ? 0 : 1;
}
