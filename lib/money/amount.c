/* Amounts: checked sums, exact decimal text. */
#include "base/first.h"

#include "base/num.h"
#include "money/amount.h"

enum { DECIMALS = 9 };

bool fare_amount_add(struct fare_amount a, struct fare_amount b, struct fare_amount *out)
{
	int64_t sum;
	if (__builtin_add_overflow(a.nano, b.nano, &sum))
		return false;
	out->nano = sum;
	return true;
}

bool fare_amount_sub(struct fare_amount a, struct fare_amount b, struct fare_amount *out)
{
	int64_t rest;
	if (__builtin_sub_overflow(a.nano, b.nano, &rest))
		return false;
	out->nano = rest;
	return true;
}

/* One to nine decimals as nano. */
static bool parse_fraction(struct fare_span s, uint64_t *nano)
{
	uint64_t v;
	if (s.n == 0 || s.n > DECIMALS || !fare_num_u64(s, 0, UINT64_MAX, &v))
		return false;
	for (size_t i = s.n; i < DECIMALS; i++)
		v *= 10;
	*nano = v;
	return true;
}

bool fare_amount_parse(struct fare_span text, struct fare_amount *out)
{
	bool minus = text.n > 0 && text.p[0] == '-';
	uint64_t whole, nano = 0, most = (uint64_t)INT64_MAX + minus;
	if (minus)
		text = fare_span_at(text.p + 1, text.n - 1);
	const char *dot = text.n > 0 ? memchr(text.p, '.', text.n) : NULL;
	size_t whole_n = dot ? (size_t)(dot - text.p) : text.n;
	if (!fare_num_u64(fare_span_at(text.p, whole_n), 0, most / FARE_NANO, &whole))
		return false;
	if (dot && !parse_fraction(fare_span_at(dot + 1, text.n - whole_n - 1), &nano))
		return false;
	nano += whole * FARE_NANO; /* below 2^63 + 1e9 */
	if (nano > most)
		return false;
	out->nano = (int64_t)(minus ? 0 - nano : nano);
	return true;
}

void fare_amount_text(struct fare_amount a, char out[FARE_AMOUNT_TEXT_N])
{
	uint64_t size = a.nano < 0 ? 0 - (uint64_t)a.nano : (uint64_t)a.nano;
	char text[FARE_AMOUNT_TEXT_N], *p = text + sizeof text;
	*--p = '\0';
	for (int digit = 0; size > 0 || digit <= DECIMALS; digit++) {
		if (digit == DECIMALS)
			*--p = '.';
		*--p = (char)('0' + size % 10);
		size /= 10;
	}
	if (a.nano < 0)
		*--p = '-';
	memcpy(out, p, (size_t)(text + sizeof text - p));
}

void fare_amount_text_short(struct fare_amount a, char out[FARE_AMOUNT_TEXT_N])
{
	enum { ALWAYS = 2 };
	fare_amount_text(a, out);
	size_t n = strlen(out), least = n - DECIMALS + ALWAYS;
	while (n > least && out[n - 1] == '0')
		n--;
	out[n] = '\0';
}
