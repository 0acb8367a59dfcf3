/* Upstream keys: read from the file or the environment that a provider names, kept in memory, read anew within a second when the file changes. Never logged. */
#ifndef FARE_FLOW_SECRETS_H
#define FARE_FLOW_SECRETS_H

#include "base/first.h"

#include <stdbool.h>

struct fare_secrets;
enum { FARE_SECRET_N = 4096 };

struct fare_secrets *fare_secrets_new(void);
void fare_secrets_free(struct fare_secrets **s);
void fare_secrets_no_env(struct fare_secrets *s); /* from now on the environment has none: what a web server starts has that server's environment, not ours */
/* file "" and env "": no key, out is "". False: it cannot be had, and why is logged. The caller wipes out. Thread-safe. */
bool fare_secrets_get(struct fare_secrets *s, const char *file, const char *env, char out[FARE_SECRET_N]) FARE_MUST;

#endif
