/*
 * A worker gone bad on call.sock. It may spoil its own calls; it must not end another worker's, leave a hold that nobody can end, or bring the bank down.
 * The seed of the random packets is printed; FAREBOX_TEST_SEED repeats them.
 */
#include "base/first.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bank.h"
#include "bank/admin.h"
#include "bank/client.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/secret.h"

enum { SLOTS = 4, WAIT_MS = 20000, PACKETS = 20000, PACKETS_A_CONNECTION = 50 };

static struct test_bank bank;
static struct fare_hash key;

static void read_holds(void *arg, const struct fare_json *j)
{
	if (fare_json_member(j, fare_json_root(j), "holds"))
		*(int64_t *)arg = test_number(j, "holds");
}

static int64_t holds(void)
{
	int64_t n = -1;
	TEST_MUST(test_bank_ask(&bank, "{\"op\": \"status\"}", read_holds, &n) && n >= 0);
	return n;
}

static struct fare_admit ask_of(struct fare_id id) { return (struct fare_admit){.call_id = id, .key = key, .endpoint = FARE_CHAT, .model = "m", .choices = 1, .bound = 100}; }

/* ---- The bad one, without a link */

static int call_connect(void)
{
	char path[FARE_PATH_N];
	TEST_MUST(fare_path(path, sizeof path, bank.conf.run, FARE_CALL_SOCKET));
	int fd = fare_unix_connect(path, SOCK_SEQPACKET);
	TEST_MUST(fd >= 0);
	return fd;
}

static void say_hello(int fd, struct fare_id incarnation, unsigned no)
{
	uint8_t msg[FARE_MSG_SMALL];
	struct fare_hello h = {.incarnation = incarnation, .worker_no = no, .pid = (uint32_t)getppid(), .slots = SLOTS};
	test_say(fd, msg, fare_proto_hello(msg, sizeof msg, &h));
}

static void impersonate(struct fare_id incarnation)
{
	int fd = call_connect();
	say_hello(fd, incarnation, 1);
	TEST_MUST(test_hear(fd) == 0);
	close(fd);
}

struct bad { struct fare_id incarnation; int meter_fd; struct fare_meter_slot *slots; };

static void bad_make(struct bad *b)
{
	b->incarnation = fare_id_new();
	b->slots = fare_meter_make(bank.conf.run, b->incarnation, 7, SLOTS, &b->meter_fd);
	TEST_MUST(b->slots);
}

static int bad_connect(const struct bad *b)
{
	int fd = call_connect();
	say_hello(fd, b->incarnation, 7);
	TEST_MUST(test_hear(fd) == FARE_MSG_WELCOME);
	return fd;
}

static void end_other_call(const struct bad *b, struct fare_id id)
{
	uint8_t msg[FARE_MSG_SMALL];
	int fd = bad_connect(b);
	test_say(fd, msg, fare_proto_bare(msg, sizeof msg, FARE_PROTO_VERSION, FARE_MSG_VOID, 0, id));
	TEST_MUST(test_hear(fd) == FARE_MSG_ACK); /* nothing of that id has ended in this slot, and nothing does */
	close(fd);
}

/* The ledger takes no call without an id: its hold would stay for ever. */
static void admit_no_id(const struct bad *b)
{
	uint8_t msg[FARE_MSG_SMALL];
	struct fare_admit ask = ask_of((struct fare_id){{0}});
	int fd = bad_connect(b);
	test_say(fd, msg, fare_proto_ask(msg, sizeof msg, FARE_MSG_ADMIT, 1, &ask));
	TEST_MUST(test_hear(fd) == 0);
	close(fd);
}

/* More than the bank takes, and silent: others come in all the same. */
static void crowd(const struct bad *b)
{
	enum { CROWD = 300 };
	int fds[CROWD];
	for (int i = 0; i < CROWD; i++)
		fds[i] = call_connect();
	close(bad_connect(b));
	for (int i = 0; i < CROWD; i++)
		close(fds[i]);
}

static unsigned dice(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 16) % n;
}

static struct fare_id told_of; /* the good worker's call: its key is the bad one's, too */

/* Half of them are messages as they should be, but for a few bytes. */
static size_t random_packet(unsigned *seed, uint8_t *msg, size_t size)
{
	struct fare_admit ask = ask_of(fare_id_new());
	static const enum fare_msg_type asks[] = {FARE_MSG_ADMIT, FARE_MSG_ADMIT, FARE_MSG_CHECK, FARE_MSG_STORY};
	enum fare_msg_type type = asks[dice(seed, FARE_ARRAY_N(asks))];
	size_t n = dice(seed, 300);
	if (type == FARE_MSG_STORY)
		fare_id_text(dice(seed, 2) ? told_of : ask.call_id, ask.model);
	if (dice(seed, 2))
		n = fare_proto_ask(msg, size, type, (uint16_t)dice(seed, SLOTS), &ask);
	else
		for (size_t i = 0; i < n; i++)
			msg[i] = (uint8_t)dice(seed, 256);
	for (unsigned i = dice(seed, 4); n && i > 0; i--)
		msg[dice(seed, (unsigned)n)] = (uint8_t)dice(seed, 256);
	if (n && dice(seed, 2))
		msg[0] = FARE_PROTO_VERSION;
	if (n > 1 && dice(seed, 2))
		msg[1] = (uint8_t)dice(seed, FARE_MSG_STORY + 2);
	return n ? n : 1;
}

static void say_anything(const struct bad *b, unsigned seed)
{
	uint8_t msg[FARE_MSG_SMALL], trash[FARE_MSG_SMALL];
	for (int sent = 0; sent < PACKETS;) {
		int fd = dice(&seed, 4) ? bad_connect(b) : call_connect();
		for (int i = 0; i < PACKETS_A_CONNECTION; i++, sent++) {
			size_t n = random_packet(&seed, msg, sizeof msg);
			if (send(fd, msg, n, MSG_NOSIGNAL) < 0)
				break;
			while (recv(fd, trash, sizeof trash, MSG_DONTWAIT) > 0)
				;
		}
		sent++;
		close(fd);
	}
}

static void bad_main(struct fare_id incarnation, struct fare_id id, unsigned seed)
{
	struct bad b;
	impersonate(incarnation);
	bad_make(&b);
	told_of = id;
	end_other_call(&b, id);
	admit_no_id(&b);
	crowd(&b);
	TEST_MUST(holds() == 1);
	say_anything(&b, seed);
	_exit(0);
}

/* ---- */

static struct fare_id incarnation;
static void read_incarnation(void *arg, const struct fare_json *j)
{
	const struct fare_json_node *workers = fare_json_member(j, fare_json_root(j), "workers"), *first = workers ? fare_json_first(j, workers) : NULL;
	struct fare_buf text;
	(void)arg;
	if (!first)
		return;
	fare_buf_init(&text, FARE_ID_TEXT_N);
	TEST_MUST(fare_json_string(j, fare_json_member(j, first, "incarnation"), &text) && fare_id_parse(fare_buf_span(&text), &incarnation));
	fare_buf_release(&text);
}

static void set_up(void)
{
	char hex[FARE_HEX_HASH_N];
	test_bank_new(&bank);
	fare_sha256("k", 1, &key);
	fare_hash_hex(&key, hex);
	test_bank_must(&bank, "{\"op\": \"provider.add\", \"name\": \"p\", \"style\": \"openai\", \"base_url\": \"http://127.0.0.1:1/v1\"}");
	test_bank_must(&bank, "{\"op\": \"model.add\", \"name\": \"m\", \"provider\": \"p\", \"input\": \"0\", \"output\": \"0.001\"}");
	test_bank_must(&bank, "{\"op\": \"account.create\", \"name\": \"a\"}");
	test_bank_must(&bank, "{\"op\": \"credit\", \"name\": \"a\", \"amount\": \"1\"}");
	test_bank_must(&bank, "{\"op\": \"key.import\", \"account\": \"a\", \"sha256\": \"%s\"}", hex);
}

static void read_charge(void *arg, const struct fare_json *j)
{
	char kind[16];
	if (test_text(j, "kind", kind, sizeof kind) && strcmp(kind, "call") == 0 && test_nano(j, "amount") != 0)
		*(int64_t *)arg += test_nano(j, "amount");
}

static void read_story(struct fare_link *link, struct fare_id id, const char *part)
{
	struct fare_admit ask = {.call_id = fare_id_new(), .key = key, .ip = "127.0.0.1"};
	struct fare_admit_answer answer;
	struct fare_buf text;
	fare_id_text(id, ask.model);
	fare_buf_init(&text, FARE_MSG_SMALL);
	TEST_MUST(fare_link_story(link, &ask, &text, &answer, WAIT_MS) == FARE_ASKED_ANSWERED && answer.granted);
	TEST_MUST(text.n > 0 && strstr(fare_buf_cstr(&text), part));
	fare_buf_reset(&text);
	fare_id_text(ask.call_id, ask.model);
	TEST_MUST(fare_link_story(link, &ask, &text, &answer, WAIT_MS) == FARE_ASKED_ANSWERED && answer.granted && text.n == 0);
	ask.key.b[0] ^= 1;
	TEST_MUST(fare_link_story(link, &ask, &text, &answer, WAIT_MS) == FARE_ASKED_ANSWERED && !answer.granted && answer.refused == FARE_KEY_UNKNOWN);
	fare_buf_release(&text);
}

int main(void)
{
	char error[FARE_ERROR_N];
	const char *given = getenv("FAREBOX_TEST_SEED");
	unsigned seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)fare_clock_wall_ms();
	int status;
	printf("seed %u\n", seed);
	fflush(NULL);
	set_up();
	struct fare_link *link = fare_link_new(bank.conf.run, 1, SLOTS, NULL, error);
	TEST_MUST(link);
	struct fare_id id = fare_id_new();
	struct fare_admit ask = ask_of(id);
	struct fare_admit_answer answer;
	struct stat st;
	TEST_MUST(stat(bank.conf.run, &st) == 0 && !(st.st_mode & (S_IROTH | S_IWOTH))); /* names of meters are nobody else's business */
	int slot = fare_link_slot(link, id);
	TEST_MUST(slot >= 0 && test_admit(link, slot, &ask, &answer, WAIT_MS) == FARE_ASKED_ANSWERED && answer.granted);
	fare_meter_sent(link, slot, 0);
	TEST_MUST(test_bank_ask(&bank, "{\"op\": \"status\"}", read_incarnation, NULL) && !fare_id_is_zero(incarnation));
	long pid = test_bank_pid(&bank);

	read_story(link, id, "\"told_by\": \"hold\"");
	pid_t child = fork();
	if (child == 0)
		bad_main(incarnation, id, seed);
	TEST_MUST(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	TEST_MUST(test_bank_pid(&bank) == pid);

	/* The bad one is dead: its calls are settled by its meter, the good one's is still its own. */
	uint64_t until = fare_clock_boot_ms() + WAIT_MS;
	while (holds() != 1 && fare_clock_boot_ms() < until)
		poll(NULL, 0, 50);
	TEST_MUST(holds() == 1);
	fare_meter_usage(link, slot, &(struct fare_usage){.output = 60}, false);
	fare_meter_progress(link, slot, 60, 60);
	fare_meter_final(link, slot, FARE_COMPLETE);
	fare_link_settle(link, slot);
	TEST_MUST(fare_link_drain(link, WAIT_MS));
	TEST_MUST(holds() == 0);
	int64_t charged = 0;
	TEST_MUST(test_bank_ask(&bank, "{\"op\": \"ledger\", \"name\": \"a\"}", read_charge, &charged));
	TEST_MUST(charged == -60);
	read_story(link, id, "\"state\": \"ended\"");
	fare_link_free(&link);
	test_bank_must(&bank, "{\"op\": \"stop\"}");
	test_bank_remove(&bank);
	printf("%d packets of a bad worker: nobody else was touched\n", PACKETS);
	return 0;
}
