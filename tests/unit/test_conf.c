/* Settings: the table, the file, the folders. */
#include "base/first.h"

#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "conf/program.h"

#include "unit.h"

static struct fare_conf conf;
static char error[FARE_CONF_ERROR_N];
static char top[] = "/tmp/farebox-test-conf.XXXXXX";

static bool reads(const char *text)
{
	memset(&conf, 0x5a, sizeof conf);
	memset(error, 0, sizeof error);
	return fare_conf_read(&conf, fare_span_of(text), "t.json", error);
}

static void refuses(const char *text, const char *part)
{
	assert_false(reads(text));
	if (!strstr(error, part))
		fail_msg("%s: \"%s\" is not in: %s", text, part, error);
}

static void test_defaults(void **state)
{
	(void)state;
	assert_true(reads("{}"));
	assert_int_equal(conf.workers, 2);
	assert_int_equal(conf.slots, 2048);
	assert_int_equal(conf.doormen_max, 256);
	assert_int_equal(conf.body_limit_bytes, 32 * 1024 * 1024);
	assert_int_equal(conf.header_limit_bytes, 16384);
	assert_int_equal(conf.drain_s, 600);
	assert_int_equal(conf.default_max_tokens, 4096);
	assert_string_equal(conf.currency, "USD");
	assert_string_equal(conf.topup_url, "");
	assert_string_equal(conf.worker_user, "");
}

static void test_values(void **state)
{
	(void)state;
	assert_true(reads("// first\n{ \"workers\": 7, // why\n \"topup_url\": \"https://pay.example/x//y\", \"listen\": \"/run/a\\u0062c\",\n//\"slots\": 3,\n\"currency\":\"EUR\"}//last"));
	assert_int_equal(conf.workers, 7);
	assert_int_equal(conf.slots, 2048);
	assert_string_equal(conf.topup_url, "https://pay.example/x//y");
	assert_string_equal(conf.listen, "/run/abc");
	assert_string_equal(conf.currency, "EUR");
}

static void test_refused(void **state)
{
	(void)state;
	refuses("{\n\n\"colour\": 1}", "t.json: line 3: unknown setting \"colour\"");
	refuses("{\"workers\": 0}", "workers must be a whole number from 1 to 64");
	refuses("{\"workers\": 65}", "workers");
	refuses("{\"tls_min_version\": \"1.1\"}", "tls_min_version must be 1.2 or 1.3");
	refuses("{\"upstream_http\": \"2\"}", "upstream_http must be auto or 1.1");
	refuses("{\"workers\": \"2\"}", "workers");
	refuses("{\"workers\": 2.0}", "workers");
	refuses("{\"workers\": null}", "workers");
	refuses("{\"drain_s\": 86401}", "from 0 to 86400 s");
	refuses("{\"total_timeout_ms\": 99999999999999999999}", "total_timeout_ms");
	refuses("{\"topup_url\": \"ftp://x\"}", "topup_url must be an http or https URL");
	refuses("{\"topup_url\": \"https://x/\\r\\nSet-Cookie: a\"}", "topup_url");
	refuses("{\"topup_url\": \"https://x/ y\"}", "topup_url");
	refuses("{\"currency\": \"usd\"}", "currency must be three capital letters");
	refuses("{\"currency\": \"USDX\"}", "currency");
	refuses("{\"currency\": \"\"}", "currency");
	refuses("{\"listen\": \"here.sock\"}", "listen must be an absolute path");
	refuses("{\"listen\": 3}", "listen");
	refuses("{\"listen\": \"/a\\u0000b\"}", "listen");
	refuses("{\"prefix\": \"ai\"}", "prefix");
	refuses("{\"prefix\": \"/ai/\"}", "prefix");
	refuses("{\"prefix\": \"/\"}", "prefix");
	refuses("{\"prefix\": \"/a b\"}", "prefix");
	refuses("{\"worker_user\": \"-x\"}", "worker_user");
	refuses("{\"log_level\": \"loud\"}", "log_level must be debug, info or warn");
	refuses("{\"workers\": 1, \"workers\": 2}", "t.json: line 1");
	refuses("[]", "one JSON object");
	refuses("", "t.json: line 1");
	refuses("{\n\"workers\": 1\n", "t.json: line 3");
	refuses("{\"workers\": 1} /* no */", "t.json");
	refuses("{\"listen\": \"/a\n//\"}", "t.json");
	refuses("{\"body_limit_bytes\": 2048, \"body_memory_bytes\": 2047}", "body_memory_bytes (2047) must be at least body_limit_bytes (2048)");
}

static void test_bounds(void **state)
{
	char text[256];
	size_t count;
	const struct fare_param *all = fare_conf_params(&count);
	(void)state;
	for (size_t i = 0; i < count; i++) {
		if (all[i].type != FARE_PARAM_NUMBER)
			continue;
		assert_true(all[i].min <= all[i].number && all[i].number <= all[i].max);
		/* The one rule between two settings must not stand in the way. */
		const char *also = strcmp(all[i].name, "body_limit_bytes") == 0 ? ",\"body_memory_bytes\":1073741824" :
			strcmp(all[i].name, "body_memory_bytes") == 0		? ",\"body_limit_bytes\":1024" :
										  "";
		for (int high = 0; high < 2; high++) {
			int64_t edge = high ? all[i].max : all[i].min, v = 0;
			snprintf(text, sizeof text, "{\"%s\":%lld%s}", all[i].name, (long long)edge, also);
			if (!reads(text))
				fail_msg("%s: %s", text, error);
			memcpy(&v, (char *)&conf + all[i].offset, sizeof v);
			assert_int_equal(v, edge);
			snprintf(text, sizeof text, "{\"%s\":%lld%s}", all[i].name, (long long)(high ? edge + 1 : edge - 1), also);
			refuses(text, all[i].name);
		}
	}
}

static void test_longest_text(void **state)
{
	char text[FARE_PATH_N + 64], value[FARE_PATH_N + 1];
	(void)state;
	memset(value, 'a', sizeof value);
	value[0] = '/';
	value[FARE_PATH_N - 1] = 0;
	snprintf(text, sizeof text, "{\"listen\":\"%s\"}", value);
	assert_true(reads(text));
	assert_string_equal(conf.listen, value);
	snprintf(text, sizeof text, "{\"listen\":\"%sa\"}", value);
	refuses(text, "listen");
}

static void test_file_limit(void **state)
{
	struct fare_buf b;
	(void)state;
	fare_buf_init(&b, FARE_CONF_FILE_MAX + 1);
	fare_buf_add_str(&b, "{}");
	while (b.n < FARE_CONF_FILE_MAX)
		fare_buf_add_char(&b, ' ');
	assert_true(fare_conf_read(&conf, fare_buf_span(&b), "t.json", error));
	fare_buf_add_char(&b, ' ');
	assert_false(fare_conf_read(&conf, fare_buf_span(&b), "t.json", error));
	assert_non_null(strstr(error, "longer than"));
	fare_buf_release(&b);
}

/* etc/farebox.json is what the table says, and says what the defaults are. */
static void test_sample(void **state)
{
	char path[FARE_PATH_N];
	struct fare_buf file, sample;
	struct fare_conf defaults;
	const char *srcdir = getenv("srcdir");
	(void)state;
	memset(&conf, 0, sizeof conf);
	memset(&defaults, 0, sizeof defaults);
	fare_buf_init(&file, FARE_CONF_FILE_MAX);
	fare_buf_init(&sample, FARE_CONF_FILE_MAX);
	assert_true(fare_path(path, sizeof path, srcdir ? srcdir : ".", "etc/farebox.json"));
	assert_true(fare_file_read(path, &file));
	fare_conf_sample(&sample);
	assert_string_equal(fare_buf_cstr(&file), fare_buf_cstr(&sample));
	assert_true(fare_conf_read(&conf, fare_buf_span(&file), path, error));
	fare_conf_defaults(&defaults);
	size_t count;
	const struct fare_param *all = fare_conf_params(&count);
	for (size_t i = 0; i < count; i++)
		if (all[i].type == FARE_PARAM_NUMBER)
			assert_memory_equal((char *)&conf + all[i].offset, (char *)&defaults + all[i].offset, sizeof(int64_t));
		else
			assert_string_equal((char *)&conf + all[i].offset, (char *)&defaults + all[i].offset);
	fare_buf_release(&file);
	fare_buf_release(&sample);
}

static void write_text(const char *path, const char *text)
{
	assert_true(fare_file_write(path, text, strlen(text), 0600));
}

static void test_home(void **state)
{
	char path[FARE_PATH_N], real[FARE_PATH_N];
	(void)state;
	assert_non_null(mkdtemp(top));
	assert_non_null(realpath(top, real));
	assert_true(fare_conf_load(&conf, top, error));
	assert_string_equal(conf.home, real);
	assert_true(fare_path(path, sizeof path, real, "run"));
	assert_string_equal(conf.run, path);
	assert_true(fare_path(path, sizeof path, real, "run/farebox.sock"));
	assert_string_equal(conf.listen, path);
	assert_string_equal(conf.file, "");

	assert_true(fare_path(path, sizeof path, top, "farebox.json"));
	write_text(path, "{\"workers\": 3, \"listen\": \"/tmp/x.sock\"}");
	assert_int_equal(setenv("FAREBOX_HOME", top, 1), 0);
	assert_true(fare_conf_load(&conf, NULL, error));
	assert_int_equal(conf.workers, 3);
	assert_string_equal(conf.listen, "/tmp/x.sock");
	assert_string_equal(conf.worker_user, getpwnam("farebox-worker") ? "farebox-worker" : "nobody");
	write_text(path, "{\"workers\": 3000}");
	assert_false(fare_conf_load(&conf, NULL, error));
	assert_non_null(strstr(error, "farebox.json: line 1: workers"));
	assert_int_equal(unlink(path), 0);
	/* A settings file that cannot be read is not the same as none. */
	assert_int_equal(mkdir(path, 0700), 0);
	assert_false(fare_conf_load(&conf, NULL, error));
	assert_int_equal(rmdir(path), 0);

	/* Through a link: the folder itself. */
	assert_true(fare_path(path, sizeof path, top, "link"));
	assert_int_equal(symlink(top, path), 0);
	assert_true(fare_conf_load(&conf, path, error));
	assert_string_equal(conf.home, real);
	assert_int_equal(unlink(path), 0);

	assert_true(fare_path(path, sizeof path, top, "not-yet"));
	assert_true(fare_conf_load(&conf, path, error));
	assert_string_equal(conf.home, path);
	assert_int_equal(chdir(top), 0);
	assert_true(fare_conf_load(&conf, "not-yet", error));
	assert_true(fare_path(path, sizeof path, real, "not-yet"));
	assert_string_equal(conf.home, path);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(top), 0);

	assert_false(fare_conf_load(&conf, "", error));
	char longest[FARE_PATH_N];
	memset(longest, 'a', sizeof longest - 1);
	longest[0] = '/';
	longest[sizeof longest - 1] = 0;
	assert_false(fare_conf_load(&conf, longest, error));
	assert_int_equal(unsetenv("FAREBOX_HOME"), 0);
	assert_true(fare_conf_load(&conf, "/var/lib/farebox-none", error));
	assert_string_equal(conf.run, "/var/lib/farebox-none/run");
	assert_true(fare_conf_load(&conf, FARE_LOCALSTATEDIR "/lib/farebox", error));
	if (strcmp(conf.home, FARE_LOCALSTATEDIR "/lib/farebox") == 0)
		assert_string_equal(conf.run, "/run/farebox");
}

static void test_program(void **state)
{
	char found[FARE_PATH_N];
	(void)state;
	assert_false(fare_conf_program("farebox-none-such", found));
	assert_int_equal(setenv("FAREBOX_LIBEXEC", "/bin", 1), 0);
	assert_true(fare_conf_program("sh", found));
	assert_string_equal(found, "/bin/sh");
	assert_int_equal(unsetenv("FAREBOX_LIBEXEC"), 0);
	/* Beside the running program: this test itself. */
	assert_true(fare_conf_program("test_conf", found));
	assert_string_equal(strrchr(found, '/'), "/test_conf");
}

/* A program that is asked whether it would do: yes, or its first line says why not. */
static void test_program_check(void **state)
{
	char sh[] = "/bin/sh", c[] = "-c", yes[] = "echo fine >&2", no[] = "echo too new >&2; echo and more >&2; exit 3", silent[] = "exit 1", none[] = "/bin/none-such", path[FARE_PATH_N];
	char *argv[] = {sh, c, yes, NULL};
	(void)state;
	assert_true(fare_program_check(argv, error));
	argv[2] = no;
	assert_false(fare_program_check(argv, error));
	assert_string_equal(error, "too new");
	argv[2] = silent;
	assert_false(fare_program_check(argv, error));
	assert_non_null(strstr(error, "does not say why"));
	argv[0] = none;
	assert_false(fare_program_check(argv, error));
	assert_non_null(strstr(error, "/bin/none-such cannot be run"));
	assert_false(fare_program_replaced("test_conf", path));
	assert_int_equal(setenv("FAREBOX_LIBEXEC", "/bin", 1), 0);
	assert_true(fare_program_replaced("sh", path));
	assert_string_equal(path, "/bin/sh");
	assert_int_equal(unsetenv("FAREBOX_LIBEXEC"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_values), cmocka_unit_test(test_refused), cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_longest_text), cmocka_unit_test(test_file_limit), cmocka_unit_test(test_sample), cmocka_unit_test(test_home),
		cmocka_unit_test(test_program), cmocka_unit_test(test_program_check),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
