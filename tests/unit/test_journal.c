/* The log of calls: whole lines from many threads, a new file when the old one is moved away, and one alarm and a count when it cannot be written. */
#include "base/first.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "flow/journal.h"

#include "child.h"
#include "unit.h"

enum { THREADS = 4, LINES = 2000, DRAIN_MS = 30000 };

static char home[64], folder[128], file[192], moved[192], lost[192], text[CHILD_TEXT_N];
static bool last_whole;

static int setup(void **state)
{
	(void)state;
	snprintf(home, sizeof home, "/tmp/farebox-test-journal.XXXXXX");
	if (!mkdtemp(home))
		return -1;
	snprintf(folder, sizeof folder, "%s/" FARE_JOURNAL_FOLDER, home);
	snprintf(file, sizeof file, "%s/" FARE_JOURNAL_FILE, folder);
	snprintf(moved, sizeof moved, "%s/moved", home);
	snprintf(lost, sizeof lost, "%s/" FARE_JOURNAL_LOST, home);
	return mkdir(folder, 0700);
}

static int teardown(void **state)
{
	(void)state;
	unlink(file);
	unlink(moved);
	unlink(lost);
	rmdir(folder);
	return rmdir(home);
}

/* How many lines are in a file; all but as many as may be broken must be whole. */
static unsigned lines_of(const char *path, unsigned broken)
{
	char line[64];
	unsigned n = 0, t, i;
	FILE *f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f)) {
		last_whole = sscanf(line, "{\"thread\":%u,\"line\":%u}", &t, &i) == 2 && strcmp(line + strlen(line) - 2, "}\n") == 0;
		if (last_whole)
			n++;
		else if (broken-- == 0)
			fail_msg("broken: %s", line);
	}
	if (f)
		fclose(f);
	return n;
}

static void add(struct fare_journal *j, unsigned thread, unsigned i)
{
	char line[64];
	snprintf(line, sizeof line, "{\"thread\":%u,\"line\":%u}", thread, i);
	fare_journal_add(j, fare_span_of(line));
}

static struct fare_journal *journal(void)
{
	struct fare_journal *j = fare_journal_new(home, home);
	assert_non_null(j);
	return j;
}

static void end(struct fare_journal **j)
{
	assert_true(fare_journal_drain(*j, DRAIN_MS));
	fare_journal_free(j);
	assert_null(*j);
}

struct adder { struct fare_journal *j; unsigned number; pthread_t thread; };

static void *add_all(void *arg)
{
	struct adder *a = arg;
	for (unsigned i = 0; i < LINES; i++)
		add(a->j, a->number, i);
	return NULL;
}

static void test_whole_lines(void **state)
{
	(void)state;
	struct stat st;
	struct adder adders[THREADS];
	struct fare_journal *j = journal();
	for (unsigned i = 0; i < THREADS; i++) {
		adders[i] = (struct adder){.j = j, .number = i};
		assert_int_equal(pthread_create(&adders[i].thread, NULL, add_all, &adders[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(adders[i].thread, NULL), 0);
	end(&j);
	assert_int_equal(lines_of(file, 0), THREADS * LINES);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void test_moved_away(void **state)
{
	(void)state;
	struct fare_journal *j = journal();
	struct stat st;
	add(j, 0, 0);
	for (int i = 0; i < 20000 && (stat(file, &st) != 0 || st.st_size == 0); i++)
		usleep(1000);
	assert_int_equal(rename(file, moved), 0);
	unsigned more = 0;
	for (; more < 20000 && stat(file, &st) != 0; more++) {
		add(j, 1, more);
		usleep(1000);
	}
	end(&j);
	assert_int_equal(lines_of(moved, 0) + lines_of(file, 0), 1 + more);
	assert_true(lines_of(file, 0) > 0);
}

static void add_one(void)
{
	struct fare_journal *j = journal();
	add(j, 0, 0);
	end(&j);
}

static unsigned count(const char *what)
{
	unsigned n = 0;
	for (const char *at = text; (at = strstr(at, what)); at++)
		n++;
	return n;
}

/* As workers and CGI processes: several, one after another and at once. */
static int without_folder(void)
{
	struct fare_journal *a = journal(), *b = journal();
	for (unsigned i = 0; i < 10; i++) {
		add(a, 0, i);
		add(b, 1, i);
		add_one();
	}
	end(&a);
	end(&b);
	return 0;
}

static int with_folder(void)
{
	add_one();
	add_one();
	return 0;
}

static void test_no_folder(void **state)
{
	(void)state;
	assert_int_equal(rmdir(folder), 0);
	assert_int_equal(child_run(without_folder, text), 0);
	assert_int_equal(count("alarm: "), 1);
	assert_int_equal(count("\n"), 1);
	int fd = fare_journal_folder(home);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(child_run(with_folder, text), 0);
	assert_non_null(strstr(text, "30 lines were lost"));
	assert_int_equal(count("\n"), 1);
	assert_int_equal(lines_of(file, 0), 2);
	assert_int_equal(access(lost, F_OK), -1);
}

static int disk_fills(void)
{
	struct rlimit size = {.rlim_cur = 1000, .rlim_max = RLIM_INFINITY};
	signal(SIGXFSZ, SIG_IGN);
	struct fare_journal *j = journal();
	if (getrlimit(RLIMIT_FSIZE, &size) != 0)
		return 1;
	size.rlim_cur = 1000;
	if (setrlimit(RLIMIT_FSIZE, &size) != 0)
		return 2;
	for (unsigned i = 0; i < LINES; i++)
		add(j, 0, i);
	end(&j);
	size.rlim_cur = size.rlim_max;
	if (setrlimit(RLIMIT_FSIZE, &size) != 0)
		return 3;
	add_one();
	return 0;
}

static void test_full_disk(void **state)
{
	unsigned told = 0;
	(void)state;
	assert_int_equal(child_run(disk_fills, text), 0);
	assert_int_equal(count("alarm: "), 1);
	const char *at = strstr(text, "again; ");
	assert_non_null(at);
	assert_int_equal(sscanf(at, "again; %u lines were lost", &told), 1);
	unsigned whole = lines_of(file, 1);
	assert_true(whole > 1 && whole < LINES && last_whole);
	assert_true(told > 0 && told <= LINES + 1 - whole); /* what is lost is counted on the same disk */
}

static int to_a_link(void)
{
	add_one();
	fare_journal_add(NULL, fare_span_of("{}"));
	return 0;
}

static void test_link(void **state)
{
	(void)state;
	assert_int_equal(symlink("moved", file), 0);
	assert_int_equal(child_run(to_a_link, text), 0);
	assert_int_equal(count("alarm: "), 1);
	assert_int_equal(access(moved, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_whole_lines, setup, teardown), cmocka_unit_test_setup_teardown(test_moved_away, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_folder, setup, teardown), cmocka_unit_test_setup_teardown(test_full_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_link, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
