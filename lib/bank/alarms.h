/*
 * Alarms on their way out of the bank. Each becomes one line of JSON:
 *
 *   {"alarm": "low_balance", "id": "...", "time": "...", "instance": HOME, "text": "one line for people", ...what it is about}
 *
 * and goes through a pipe to farebox-alarm, a process that is started when there is something to tell and ends when all is told: it runs alarm_command and POSTs to
 * alarm_webhook. The bank never waits for it: what the pipe does not take waits here, at most FARE_ALARMS_MAX; more are dropped, and the log counts them (but for a low
 * balance, whose account says that it is due, and which comes again when there is room). What was not answered when farebox-alarm died is said to the next one: `id` is the
 * same then. Of the alarms about single calls at most one of a kind is told in a minute; the next one says in `more` how many there were between. All of them are logged.
 * With neither setting an alarm is in the log and in `farebox status` alone. Everything on the decider's thread.
 */
#ifndef FARE_BANK_ALARMS_H
#define FARE_BANK_ALARMS_H

#include "base/loop.h"
#include "bank/decider.h"

struct fare_bank;

enum { FARE_ALARMS_MAX = 256, FARE_ALARM_ID_N = FARE_NAME_N + 96, FARE_ALARM_LINE_MAX = 8192 };

struct fare_alarm_item {
	struct fare_alarm_item *next;
	uint64_t account, falls; /* of a low balance */
	bool said;               /* to the process that runs now */
	char id[FARE_ALARM_ID_N];
	size_t n;
	char line[];             /* n bytes, a newline at the end */
};

struct fare_alarms {
	struct fare_alarm_item *first, **last;
	unsigned count;
	bool missed;             /* a low balance found no room */
	uint64_t dropped;        /* since the last tick */
	uint64_t told_ms[FARE_ALARM_N], more[FARE_ALARM_N]; /* by kind */
	/* farebox-alarm; -1: not running, or told to end */
	pid_t pid;               /* 0: none, or waited for */
	int to, from;
	struct fare_watch *to_watch, *from_watch;
	struct fare_buf out, in;
	uint64_t start_ms;       /* boot clock: not before it */
};

void fare_alarms_open(struct fare_bank *b);   /* when its memory is filled: what is due from before */
void fare_alarms_close(struct fare_bank *b);  /* farebox-alarm goes on with what it was told */
void fare_alarms_raise(void *bank, const struct fare_alarm *a);
void fare_alarms_tick(struct fare_bank *b);
/* Appends the alarms that are on: `, "alarms": [...]`, at most FARE_ALARMS_MAX of them. */
void fare_alarms_json(const struct fare_bank *b, struct fare_buf *out);

#endif
