/* How a worker is kept away from the store: by a user of its own, or, with one user only, by the kernel's Landlock rules. */
#ifndef FARE_FCGI_ISOLATE_H
#define FARE_FCGI_ISOLATE_H

#include "base/first.h"

#include <stdbool.h>
#include <sys/types.h>

enum fare_isolation { FARE_ISOLATED_NOT, FARE_ISOLATED_LANDLOCK, FARE_ISOLATED_UID };

/* What a process of this user will have: `uid` when the store (or, before there is one, the home) belongs to another user, else what the kernel can do. */
enum fare_isolation fare_isolate_level(const char *home, uid_t uid);
const char *fare_isolate_name(enum fare_isolation level); /* "none", "landlock", "uid" */

/*
 * Confines the calling process, once, before it starts threads: no new privileges; at level landlock everything but HOME/store can be read, the run folder
 * and HOME/log written, no program started, and no local socket opened but of call.sock's kind (never admin.sock, which would take the worker for the store's owner). What is made later
 * right in one of the folders above the store (beside the home, say) is out of reach too. False: could not, with the reason logged; do not go on.
 */
bool fare_isolate(const char *home, const char *run, enum fare_isolation level) FARE_MUST;

#endif
