/* A bank of a test's own: a home in a temporary folder, requests over its admin socket, and what was asked of it by processes that may be killed at any moment. */
#ifndef FARE_TESTS_BANK_H
#define FARE_TESTS_BANK_H

#include "base/first.h"

#include "base/id.h"
#include "base/json.h"
#include "bank/client.h"
#include "bank/start.h"

struct test_bank {
	struct fare_conf conf;
	char home[256];
};

void test_bank_new(struct test_bank *t);  /* home and environment; starts nothing */
void test_bank_remove(struct test_bank *t); /* after its bank has gone */
/*
 * One request; starts a bank if need be, and asks again when it dies meanwhile (so give refs to what moves money). Each record goes to fn (NULL: not wanted), the last
 * line too. False: refused, or no bank.
 */
typedef void test_record_fn(void *arg, const struct fare_json *j);
bool test_bank_ask(struct test_bank *t, const char *request, test_record_fn *fn, void *arg);
void test_bank_must(struct test_bank *t, const char *fmt, ...) FARE_PRINTF(2, 3);
long test_bank_pid(struct test_bank *t); /* starts one if need be */
void test_bank_kill(struct test_bank *t);

/* fare_link_ask, waited for. */
enum fare_asked test_admit(struct fare_link *l, int slot, const struct fare_admit *ask, struct fare_admit_answer *answer, uint64_t timeout_ms);

/* fare_link_extend, likewise. */
enum fare_asked test_extend(struct fare_link *l, int slot, uint64_t held_output, struct fare_extended *answer, uint64_t timeout_ms);

/* Messages of call.sock, by hand. hear: the type of the next one; 0: cut off. */
void test_say(int fd, const uint8_t *msg, size_t n);
int test_hear(int fd);

/* Members of records. */
int64_t test_nano(const struct fare_json *j, const char *name); /* an amount */
int64_t test_number(const struct fare_json *j, const char *name);
bool test_text(const struct fare_json *j, const char *name, char *out, size_t size); /* false: null or not there */

#define TEST_MUST(x) ((x) ? (void)0 : test_failed(__FILE__, __LINE__, #x))
FARE_NORETURN void test_failed(const char *file, int line, const char *what);

#endif
