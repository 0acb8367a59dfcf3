/* Globs and networks. */
#include "base/first.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

#include "base/num.h"
#include "base/span.h"
#include "bank/match.h"

/* One star at a time: linear in name for each star, no recursion. */
static bool glob_fits(struct fare_span glob, struct fare_span name)
{
	size_t g = 0, n = 0, star = SIZE_MAX, resume = 0;
	while (n < name.n) {
		if (g < glob.n && glob.p[g] == '*') {
			star = g++;
			resume = n;
		} else if (g < glob.n && (glob.p[g] == '?' || glob.p[g] == name.p[n])) {
			g++;
			n++;
		} else if (star != SIZE_MAX) {
			g = star + 1;
			n = ++resume;
		} else {
			return false;
		}
	}
	while (g < glob.n && glob.p[g] == '*')
		g++;
	return g == glob.n;
}

/* The next part of a comma-separated list, trimmed; false at its end. */
static bool next_part(const char **list, struct fare_span *part)
{
	if (!*list)
		return false;
	const char *comma = strchr(*list, ',');
	*part = fare_span_trim(fare_span_at(*list, comma ? (size_t)(comma - *list) : strlen(*list)));
	*list = comma ? comma + 1 : NULL;
	return true;
}

bool fare_match_globs(const char *globs, const char *name)
{
	struct fare_span part;
	if (!globs[0])
		return true;
	while (next_part(&globs, &part))
		if (glob_fits(part, fare_span_of(name)))
			return true;
	return false;
}

struct address { uint8_t b[16]; unsigned bits; /* 32 or 128 */ };

static bool address_parse(struct fare_span s, struct address *a)
{
	static const uint8_t mapped[12] = {[10] = 0xFF, [11] = 0xFF};
	char text[64];
	if (!fare_span_copy(s, text, sizeof text))
		return false;
	*a = (struct address){.bits = 32};
	if (inet_pton(AF_INET, text, a->b) == 1)
		return true;
	a->bits = 128;
	if (inet_pton(AF_INET6, text, a->b) != 1)
		return false;
	if (memcmp(a->b, mapped, sizeof mapped) == 0) {
		memmove(a->b, a->b + 12, 4);
		a->bits = 32;
	}
	return true;
}

static bool cidr_parse(struct fare_span s, struct address *net, unsigned *prefix)
{
	const char *slash = memchr(s.p, '/', s.n);
	size_t n = slash ? (size_t)(slash - s.p) : s.n;
	uint64_t bits;
	if (!address_parse(fare_span_at(s.p, n), net))
		return false;
	*prefix = net->bits;
	if (!slash)
		return true;
	if (!fare_num_u64(fare_span_at(slash + 1, s.n - n - 1), 0, net->bits, &bits))
		return false;
	*prefix = (unsigned)bits;
	return true;
}

static bool within(const struct address *a, const struct address *net, unsigned prefix)
{
	unsigned whole = prefix / 8, rest = prefix % 8;
	if (a->bits != net->bits || memcmp(a->b, net->b, whole) != 0)
		return false;
	uint8_t mask = (uint8_t)(0xFF << (8 - rest));
	return rest == 0 || (a->b[whole] & mask) == (net->b[whole] & mask);
}

bool fare_match_cidrs(const char *cidrs, const char *ip)
{
	struct fare_span part;
	struct address a, net;
	unsigned prefix;
	if (!cidrs[0])
		return true;
	if (!address_parse(fare_span_of(ip), &a))
		return false;
	while (next_part(&cidrs, &part))
		if (cidr_parse(part, &net, &prefix) && within(&a, &net, prefix))
			return true;
	return false;
}

bool fare_match_cidrs_valid(const char *cidrs)
{
	struct fare_span part;
	struct address net;
	unsigned prefix;
	if (!cidrs[0])
		return true;
	while (next_part(&cidrs, &part))
		if (!cidr_parse(part, &net, &prefix))
			return false;
	return true;
}
