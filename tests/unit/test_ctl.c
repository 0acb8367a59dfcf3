/* From a command line to a request: what is taken, and what is misuse. */
#include "base/first.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../fcgi/ctl.h"

#include "unit.h"

static struct fare_conf conf;
static struct fare_buf request;

/* The words of a line, split at spaces; "~" stands for an empty word. */
static int ask(const char *line)
{
	static char text[2048];
	char *words[32], *at = text;
	int n = 0, used = 0;
	assert_true(fare_span_copy(fare_span_of(line), text, sizeof text));
	while (*at && n < 32) {
		words[n++] = strcmp(at, "~") == 0 ? at + 1 : at;
		at += strcspn(at, " ");
		if (*at)
			*at++ = 0;
	}
	for (int i = 0; i < n; i++)
		if (strcmp(words[i], "~") == 0)
			words[i][0] = 0;
	const struct ctl_command *c = ctl_find(words[0], n > 1 ? words[1] : NULL, &used);
	assert_non_null(c);
	fare_buf_init(&request, 65535);
	/* What is said to the operator is not for a test's log. */
	int null = open("/dev/null", O_WRONLY), saved = dup(STDERR_FILENO);
	assert_int_equal(dup2(null, STDERR_FILENO), STDERR_FILENO);
	int rc = ctl_request(&conf, c, n - used, words + used, &request);
	assert_int_equal(dup2(saved, STDERR_FILENO), STDERR_FILENO);
	close(saved);
	close(null);
	return rc;
}

static void takes(const char *line, const char *wanted)
{
	if (ask(line) != CTL_OK)
		fail_msg("%s: refused", line);
	assert_string_equal(fare_buf_cstr(&request), wanted);
	fare_buf_release(&request);
}

static void misuse(const char *line)
{
	if (ask(line) != CTL_MISUSE)
		fail_msg("%s: not taken as misuse", line);
	fare_buf_release(&request);
}

static void test_taken(void **state)
{
	(void)state;
	takes("account list", "{\"op\":\"account.list\"}");
	takes("account create a.b-c_d@e", "{\"op\":\"account.create\",\"name\":\"a.b-c_d@e\"}");
	takes("account create a --credit-limit 0", "{\"op\":\"account.create\",\"name\":\"a\",\"credit_limit\":\"0\"}");
	takes("account set a --low-balance 0.5 --default-models m*,n --default-ip ::1 --default-max-tokens 100 --default-expires 2h",
		"{\"op\":\"account.set\",\"name\":\"a\",\"low_balance\":\"0.5\",\"default_models\":\"m*,n\",\"default_ip\":\"::1\",\"default_max_tokens\":100,\"default_expires_s\":7200}");
	takes("credit a 0.000000001", "{\"op\":\"credit\",\"name\":\"a\",\"amount\":\"0.000000001\"}");
	takes("credit --ref r1 a 5 --note \"q\\", "{\"op\":\"credit\",\"ref\":\"r1\",\"name\":\"a\",\"amount\":\"5\",\"note\":\"\\\"q\\\\\"}");
	takes("debit a 5 --force", "{\"op\":\"debit\",\"name\":\"a\",\"amount\":\"5\",\"force\":true}");
	takes("ledger --all", "{\"op\":\"ledger_all\"}");
	takes("ledger a", "{\"op\":\"ledger\",\"name\":\"a\"}");
	takes("ledger a --since 2026-11-24T18:00:00+01:00", "{\"op\":\"ledger\",\"name\":\"a\",\"since\":\"2026-11-24T17:00:00.000Z\"}");
	takes("usage --by day --since 2026-11-24T18:00:00Z", "{\"op\":\"usage\",\"by\":\"day\",\"since\":\"2026-11-24T18:00:00.000Z\"}");
	takes("backup /b/c", "{\"op\":\"backup\",\"dir\":\"/b/c/store\"}");
	takes("key set 7 --models ~ --expires never", "{\"op\":\"key.set\",\"id\":7,\"models\":\"\",\"expires\":null}");
	takes("key rotate 7 --grace 24h", "{\"op\":\"key.rotate\",\"id\":7,\"grace_s\":86400}");
	takes("key list", "{\"op\":\"key.list\"}");
	takes("calls --live", "{\"op\":\"calls\",\"live\":true}");
	takes("model add org/m:1 --provider p --input 0.15 --output 0 --max-output 10 --bound-field max_completion_tokens --no-stream-options",
		"{\"op\":\"model.add\",\"name\":\"org/m:1\",\"provider\":\"p\",\"input\":\"0.15\",\"output\":\"0\",\"max_output\":10,\"bound_field\":\"max_completion_tokens\",\"no_stream_options\":true}");
	takes("provider add p --style openai --base-url https://x/v1 --key-env OPENAI_API_KEY",
		"{\"op\":\"provider.add\",\"name\":\"p\",\"style\":\"openai\",\"base_url\":\"https://x/v1\",\"key_env\":\"OPENAI_API_KEY\"}");
}

static void test_misuse(void **state)
{
	static const char *const lines[] = {
		"account create", "account create a b", "account create a --credit-limit", "account create a --credit-limit -1", "account set a", "account create a/../b~ x",
		"account create -a", "account create ~", "account list x", "account create a --colour red", "account set a --default-rpm 5",
		"account set --credit-limit 5", "account set a --default-max-tokens -1", "account set a --default-expires never",
		"credit a", "credit a 0", "credit a -1", "credit a +1", "credit a 1e3", "credit a 0.0000000001", "credit a 9999999999999", "credit a 1 --ref x --ref y",
		"credit a 1 --corrects nothing", "ledger", "ledger a --since yesterday", "ledger --all a", "key show x", "key show 0", "key show -1", "key rotate 7 --grace tomorrow",
		"key rotate 7 --grace 2026-11-24T18:00:00Z", "key create a --expires soon", "key import a", "key import a --sha256 12", "key create a --rpm 5", "key create a --tpm 5",
		"key create a --ip 10.0.0.0/99", "key create a --concurrency 5", "key set 7 --budget 5/day", "provider add p --style gemini --base-url https://x", "provider add p --style openai --base-url ftp://x",
		"provider add p --style openai", "provider add p --style openai --base-url https://x --key-env a-b", "model add m --provider p --input 1", "model add m --provider p --input 1 --output -1",
		"model add m --provider p --input 1 --output 1 --max-output 1.5", "model add m --provider p --input 1 --output 1 --bound-field tokens", "calls all", "verify now", "verify --head 3", "rerate --model m --since 1d", "rerate --model m --price-version 2", "rerate --since 1d --price-version 2", "rerate --model m --since 1d --price-version 0", "verify --head 0:0000000000000000000000000000000000000000000000000000000000000000",
	};
	(void)state;
	for (size_t i = 0; i < FARE_ARRAY_N(lines); i++)
		misuse(lines[i]);
}

static void test_limits(void **state)
{
	char line[1024], name[600];
	(void)state;
	memset(name, 'a', sizeof name);
	name[127] = 0;
	snprintf(line, sizeof line, "account show %s", name);
	assert_int_equal(ask(line), CTL_OK);
	fare_buf_release(&request);
	name[127] = 'a';
	name[128] = 0;
	snprintf(line, sizeof line, "account show %s", name);
	misuse(line);
	name[128] = 'a';
	name[511] = 0;
	snprintf(line, sizeof line, "credit a 1 --note %s", name);
	assert_int_equal(ask(line), CTL_OK);
	fare_buf_release(&request);
	name[511] = 'a';
	name[512] = 0;
	snprintf(line, sizeof line, "credit a 1 --note %s", name);
	misuse(line);
}

static int ask_with_input(const char *line, const char *input)
{
	int p[2], saved = dup(STDIN_FILENO);
	assert_int_equal(pipe(p), 0);
	assert_true(fare_write_all(p[1], input, strlen(input)));
	close(p[1]);
	assert_int_equal(dup2(p[0], STDIN_FILENO), STDIN_FILENO);
	close(p[0]);
	int rc = ask(line);
	assert_int_equal(dup2(saved, STDIN_FILENO), STDIN_FILENO);
	close(saved);
	return rc;
}

/* A key on standard input lands in the home, for its user and the workers' group alone; not when the command is no good. */
static void test_key_file(void **state)
{
	static char top[] = "/tmp/farebox-test-ctl.XXXXXX";
	char path[FARE_PATH_N];
	struct fare_buf key;
	struct stat st;
	(void)state;
	assert_non_null(mkdtemp(top));
	assert_true(fare_span_copy(fare_span_of(top), conf.home, sizeof conf.home));
	assert_true(fare_span_copy(fare_span_of("nobody"), conf.worker_user, sizeof conf.worker_user));
	assert_true(fare_path(path, sizeof path, top, "secrets/p.key"));
	assert_int_equal(ask_with_input("provider add p --key-file -", "sk-1\n"), CTL_MISUSE);
	fare_buf_release(&request);
	assert_int_not_equal(access(path, F_OK), 0);
	assert_int_equal(ask_with_input("provider add p --style openai --base-url https://x --key-file -", "sk-123\r\n"), CTL_OK);
	assert_non_null(strstr(fare_buf_cstr(&request), path));
	assert_null(strstr(fare_buf_cstr(&request), "sk-123"));
	fare_buf_release(&request);
	fare_buf_init(&key, 100);
	assert_true(fare_file_read(path, &key));
	assert_string_equal(fare_buf_cstr(&key), "sk-123");
	fare_buf_release(&key);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, geteuid() == 0 ? 0640 : 0600);
	assert_int_equal(ask_with_input("provider add p --style openai --base-url https://x --key-file -", "\n"), CTL_FAILED);
	fare_buf_release(&request);
	assert_int_equal(ask_with_input("provider add p --style openai --base-url https://x --key-file -", "two words"), CTL_FAILED);
	fare_buf_release(&request);
	assert_int_equal(ask("provider add p --style openai --base-url https://x --key-file /nothing/here"), CTL_FAILED);
	fare_buf_release(&request);
	if (geteuid() == 0) {
		/* The usual mistake: a file for root alone. */
		char line[FARE_PATH_N + 128];
		assert_int_equal(chmod(path, 0600), 0);
		snprintf(line, sizeof line, "provider add p --style openai --base-url https://x --key-file %s", path);
		assert_int_equal(ask(line), CTL_FAILED);
		fare_buf_release(&request);
	}
	assert_int_equal(unlink(path), 0);
	assert_true(fare_path(path, sizeof path, top, "secrets"));
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(top), 0);
}

/* What a caller named its model must not move the operator's terminal: the controls of ASCII, and those beyond it. */
static void test_why_is_tame(void **state)
{
	static const char facts[] = "{\"call_id\":\"019f0000-0000-7000-8000-000000000000\",\"state\":\"refused\",\"code\":\"model_unknown\",\"model\":\"a\\u009b31m\\u001b[2J\\u007f\\u0085\\u00a0\\u00e9z\"}";
	static char path[] = "/tmp/farebox-test-ctl.XXXXXX";
	char text[4096];
	int file = mkstemp(path), saved = dup(STDOUT_FILENO);
	(void)state;
	assert_true(file >= 0 && saved >= 0);
	assert_int_equal(unlink(path), 0);
	fflush(stdout);
	assert_int_equal(dup2(file, STDOUT_FILENO), STDOUT_FILENO);
	int rc = ctl_why_print(&conf, fare_span_of(facts), false);
	fflush(stdout);
	assert_int_equal(dup2(saved, STDOUT_FILENO), STDOUT_FILENO);
	assert_int_equal(rc, CTL_OK);
	ssize_t n = pread(file, text, sizeof text - 1, 0);
	close(file);
	close(saved);
	assert_true(n > 0);
	text[n] = 0;
	assert_non_null(strstr(text, "model a??31m?[2J???\xC2\xA0\xC3\xA9z"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_taken), cmocka_unit_test(test_misuse), cmocka_unit_test(test_limits), cmocka_unit_test(test_key_file), cmocka_unit_test(test_why_is_tame)};
	fare_conf_defaults(&conf);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
