/* Limits of keys and accounts: which models, from where. */
#ifndef FARE_BANK_MATCH_H
#define FARE_BANK_MATCH_H

#include "base/first.h"

#include <stdbool.h>

/* globs: comma-separated, `*` any text, `?` one byte; "" matches all. */
bool fare_match_globs(const char *globs, const char *name);
/* cidrs: comma-separated addresses or networks, IPv4 and IPv6; "" matches all, also an unknown address. An IPv4 address mapped into IPv6 counts as IPv4. */
bool fare_match_cidrs(const char *cidrs, const char *ip);
/* Is it a list that can be matched? */
bool fare_match_cidrs_valid(const char *cidrs);

#endif
