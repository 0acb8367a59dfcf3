/* Fault points: the rules, how often each was passed, and the strokes. */
#include "base/first.h"

#include <stdlib.h>
#include <string.h>

#include "base/fault.h"

#ifdef FARE_FAULTS

#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/num.h"
#include "base/span.h"

enum { RULES_MAX = 32, RULE_N = 256, FILE_MAX = 8192, HOLD_POLL_MS = 5 };

/* A rule is known by its text: while that stays in the file, its passes go on being counted. */
struct rule {
	char text[RULE_N]; /* name:action[@n] */
	bool from_file;
	bool seen; /* in the file at this pass */
	uint64_t passes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct rule rules[RULES_MAX];
static size_t rule_count;
static const char *rule_file;

static void rule_add(struct fare_span text, bool from_file)
{
	for (size_t i = 0; i < rule_count; i++)
		if (rules[i].from_file == from_file && fare_span_is(text, rules[i].text)) {
			rules[i].seen = true;
			return;
		}
	struct rule r = {.from_file = from_file, .seen = true};
	if (rule_count == RULES_MAX || !fare_span_copy(text, r.text, sizeof r.text))
		fare_fatal("fault rules: more than %d, or one too long", RULES_MAX);
	rules[rule_count++] = r;
}

/* Rules are parted by commas, spaces or newlines. */
static void rules_add(struct fare_span s, bool from_file)
{
	size_t start = 0;
	for (size_t i = 0; i <= s.n; i++) {
		if (i < s.n && !strchr(", \t\r\n", s.p[i]))
			continue;
		if (i > start)
			rule_add(fare_span_at(s.p + start, i - start), from_file);
		start = i + 1;
	}
}

static void rules_init(void)
{
	const char *env = getenv("FAREBOX_FAULT");
	rule_file = getenv("FAREBOX_FAULT_FILE");
	if (env)
		rules_add(fare_span_of(env), false);
}

static void rules_reread(void)
{
	struct fare_buf b;
	size_t kept = 0;
	for (size_t i = 0; i < rule_count; i++)
		rules[i].seen = !rules[i].from_file;
	fare_buf_init(&b, FILE_MAX);
	if (fare_file_read(rule_file, &b))
		rules_add(fare_buf_span(&b), true);
	fare_buf_release(&b);
	for (size_t i = 0; i < rule_count; i++)
		if (rules[i].seen)
			rules[kept++] = rules[i];
	rule_count = kept;
}

static void sleep_ms(uint64_t ms)
{
	struct timespec t = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
	nanosleep(&t, NULL);
}

static bool act(const char *action)
{
	uint64_t ms;
	if (strcmp(action, "kill") == 0)
		kill(getpid(), SIGKILL);
	else if (strncmp(action, "kill=", 5) == 0) {
		if (unlink(action + 5) == 0)
			kill(getpid(), SIGKILL);
	} else if (strcmp(action, "exit") == 0)
		_exit(1);
	else if (strcmp(action, "fail") == 0)
		return true;
	else if (strncmp(action, "sleep=", 6) == 0 && fare_num_u64(fare_span_of(action + 6), 0, 3600000, &ms))
		sleep_ms(ms);
	else if (strncmp(action, "hold=", 5) == 0)
		while (access(action + 5, F_OK) == 0)
			sleep_ms(HOLD_POLL_MS);
	else
		fare_fatal("fault rule with an unknown action: %s", action);
	return false;
}

/* Counts a pass under the lock; true when it is this rule's turn, with its action copied out. */
static bool rule_pass(struct rule *r, const char *name, char action[RULE_N])
{
	size_t n = strlen(name);
	if (strncmp(r->text, name, n) != 0 || r->text[n] != ':')
		return false;
	uint64_t nth = 1;
	memcpy(action, r->text + n + 1, strlen(r->text + n + 1) + 1);
	char *at = strrchr(action, '@');
	bool each = at && strcmp(at, "@*") == 0;
	if (at && !each && !fare_num_u64(fare_span_of(at + 1), 1, UINT64_MAX, &nth))
		fare_fatal("fault rule with a bad count: %s", r->text);
	if (at)
		*at = '\0';
	r->passes++;
	bool strikes = each || r->passes == nth;
	fare_log(FARE_WARN, "fault point %s: pass %llu%s%s", name, (unsigned long long)r->passes, strikes ? ", struck: " : "", strikes ? action : "");
	return strikes;
}

bool fare_fault(const char *name)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	char actions[RULES_MAX][RULE_N];
	size_t n = 0;
	bool failed = false;

	pthread_once(&once, rules_init);
	if (!rule_file && rule_count == 0)
		return false;
	pthread_mutex_lock(&lock);
	if (rule_file)
		rules_reread();
	for (size_t i = 0; i < rule_count; i++)
		if (rule_pass(&rules[i], name, actions[n]))
			n++;
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < n; i++)
		failed = act(actions[i]) || failed;
	return failed;
}

#endif

#ifdef FARE_PLANTED
bool fare_planted(const char *bug)
{
	const char *named = getenv("FAREBOX_PLANTED");
	return named && strcmp(named, bug) == 0;
}
#endif
