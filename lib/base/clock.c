/* Clocks, and times as text. */
#include "base/first.h"

#include <stdio.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/id.h"
#include "base/log.h"
#include "base/num.h"

#define YEAR_9999_END_MS UINT64_C(253402300799999)
enum { SPAN_DAYS_MAX = 36500 };

static uint64_t clock_ms(clockid_t id)
{
	struct timespec t;
	FARE_ASSERT(clock_gettime(id, &t) == 0);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t fare_clock_boot_ms(void) { return clock_ms(CLOCK_BOOTTIME); }

uint64_t fare_clock_wall_ms(void) { return clock_ms(CLOCK_REALTIME); }

bool fare_clock_boot_id(uint8_t out[FARE_BOOT_ID_N])
{
	struct fare_buf text;
	struct fare_id id = {{0}};
	fare_buf_init(&text, 64);
	bool ok = fare_file_read("/proc/sys/kernel/random/boot_id", &text) && text.n > 0 &&
		  fare_id_parse(fare_span_at(text.p, text.n - 1), &id); /* all but the newline */
	fare_buf_release(&text);
	memcpy(out, id.b, FARE_BOOT_ID_N);
	return ok;
}

static void put_digits(char *out, int n, int v)
{
	while (n-- > 0) {
		out[n] = (char)('0' + v % 10);
		v /= 10;
	}
}

void fare_clock_text(uint64_t wall_ms, char out[FARE_TIME_TEXT_N])
{
	struct tm t;
	if (wall_ms > YEAR_9999_END_MS)
		wall_ms = YEAR_9999_END_MS;
	time_t s = (time_t)(wall_ms / 1000);
	FARE_ASSERT(gmtime_r(&s, &t) == &t);
	memcpy(out, "0000-00-00T00:00:00.000Z", FARE_TIME_TEXT_N);
	put_digits(out, 4, t.tm_year + 1900);
	put_digits(out + 5, 2, t.tm_mon + 1);
	put_digits(out + 8, 2, t.tm_mday);
	put_digits(out + 11, 2, t.tm_hour);
	put_digits(out + 14, 2, t.tm_min);
	put_digits(out + 17, 2, t.tm_sec);
	put_digits(out + 20, 3, (int)(wall_ms % 1000));
}

/* A reader of fixed forms; a mismatch sets bad, and what is read after it is 0. */
struct scan {
	struct fare_span s;
	bool bad;
};

static char scan_char(struct scan *k, const char *one_of)
{
	if (k->bad || k->s.n == 0 || k->s.p[0] == '\0' || !strchr(one_of, k->s.p[0])) {
		k->bad = true;
		return '\0';
	}
	k->s.n--;
	return *k->s.p++;
}

static int scan_digits(struct scan *k, size_t n, int least, int most)
{
	uint64_t v = 0;
	if (k->bad || k->s.n < n || !fare_num_u64(fare_span_at(k->s.p, n), (uint64_t)least, (uint64_t)most, &v)) {
		k->bad = true;
		return 0;
	}
	k->s = fare_span_at(k->s.p + n, k->s.n - n);
	return (int)v;
}

static int month_days(int year, int month)
{
	static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
	return days[month - 1] + (month == 2 && leap);
}

/* Milliseconds of a fraction, further digits dropped. */
static int scan_fraction(struct scan *k)
{
	int ms = 0, scale = 100;
	scan_char(k, ".");
	do {
		ms += scan_digits(k, 1, 0, 9) * scale;
		scale /= 10;
	} while (!k->bad && k->s.n > 0 && k->s.p[0] >= '0' && k->s.p[0] <= '9');
	return ms;
}

static int scan_offset_minutes(struct scan *k)
{
	char sign = scan_char(k, "Zz+-");
	if (sign != '+' && sign != '-')
		return 0;
	int minutes = 60 * scan_digits(k, 2, 0, 23);
	scan_char(k, ":");
	minutes += scan_digits(k, 2, 0, 59);
	return sign == '-' ? -minutes : minutes;
}

bool fare_clock_parse(struct fare_span text, uint64_t *wall_ms)
{
	struct scan k = {.s = text};
	struct tm t = {0};
	int ms = 0;
	int year = scan_digits(&k, 4, 1, 9999);
	scan_char(&k, "-");
	int month = scan_digits(&k, 2, 1, 12);
	scan_char(&k, "-");
	t.tm_mday = scan_digits(&k, 2, 1, 31);
	scan_char(&k, "Tt ");
	t.tm_hour = scan_digits(&k, 2, 0, 23);
	scan_char(&k, ":");
	t.tm_min = scan_digits(&k, 2, 0, 59);
	scan_char(&k, ":");
	t.tm_sec = scan_digits(&k, 2, 0, 60); /* 60: a leap second */
	if (k.s.n > 0 && k.s.p[0] == '.')
		ms = scan_fraction(&k);
	int offset = scan_offset_minutes(&k);
	if (k.bad || k.s.n > 0 || t.tm_mday > month_days(year, month))
		return false;
	t.tm_year = year - 1900;
	t.tm_mon = month - 1;
	int64_t s = (int64_t)timegm(&t) - 60 * (int64_t)offset;
	if (s < 0)
		return false;
	*wall_ms = (uint64_t)s * 1000 + (uint64_t)ms;
	return true;
}

bool fare_clock_parse_when(struct fare_span text, uint64_t now_ms, bool past, uint64_t *wall_ms)
{
	static const struct { char unit; uint64_t ms; } units[] = {{'d', 86400000}, {'h', 3600000}, {'m', 60000}, {'s', 1000}};
	for (size_t i = 0; text.n > 0 && i < FARE_ARRAY_N(units); i++) {
		uint64_t count;
		if (text.p[text.n - 1] != units[i].unit)
			continue;
		if (!fare_num_u64(fare_span_at(text.p, text.n - 1), 0, SPAN_DAYS_MAX * UINT64_C(86400000) / units[i].ms, &count))
			return false;
		uint64_t span = count * units[i].ms;
		*wall_ms = !past ? now_ms + span : span < now_ms ? now_ms - span : 0;
		return true;
	}
	return fare_clock_parse(text, wall_ms);
}
