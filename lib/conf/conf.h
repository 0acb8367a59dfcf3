/*
 * An instance's settings: where its home and run folders are, and what its farebox.json says (JSON with // comments), read through one table of parameters.
 * What the file does not name has its default; an unknown name, a value of the wrong kind or out of range is an error that names it. A reload reads a new
 * struct and swaps it in only when all of it is good.
 */
#ifndef FARE_CONF_CONF_H
#define FARE_CONF_CONF_H

#include "base/first.h"
#include "base/fs.h"

#include <stdint.h>

enum { FARE_CONF_TEXT_N = 512, FARE_CONF_ERROR_N = 1024, FARE_CONF_FILE_MAX = 256 * 1024 };

struct fare_conf {
	char home[FARE_PATH_N]; /* absolute, links resolved when it exists */
	char run[FARE_PATH_N];  /* sockets, holds, meters: /run/farebox for the default home, else HOME/run */
	char file[FARE_PATH_N]; /* the settings file that was read, "" when there is none */

	/* From the file, in the order of the table in conf.c, which has defaults, bounds and help. Times in milliseconds or seconds as the name says, sizes in bytes. */
	char listen[FARE_PATH_N];             /* path of the FastCGI socket; filled in with RUN/farebox.sock when the file does not name one */
	char listen_group[FARE_CONF_TEXT_N];  /* group that may connect to it, "": that of worker_user */
	char worker_user[FARE_CONF_TEXT_N];   /* user of the workers when the keeper runs as root; filled in with farebox-worker if there is one, else nobody */
	char prefix[FARE_CONF_TEXT_N];        /* "" or "/ai": before our paths where the web server's mount does not say */
	int64_t workers;
	int64_t slots;                        /* live calls per worker */
	int64_t doormen_max;                  /* threads per worker that accept and admit */
	int64_t body_limit_bytes;             /* of one request */
	int64_t body_memory_bytes;            /* of all request bodies in flight in a worker */
	int64_t body_rate_bytes;              /* least bytes a second of an upload, over its whole time; slower is 408 */
	int64_t header_limit_bytes;           /* one request header's value */
	int64_t admit_timeout_ms;             /* for the bank's answer */
	int64_t connect_timeout_ms;
	int64_t first_byte_timeout_ms;
	int64_t idle_timeout_ms;              /* between two pieces from upstream */
	int64_t total_timeout_ms;
	int64_t drain_s;
	int64_t client_gone_ms, client_gone_bytes; /* how long, and how much, an upstream answer is read on for its usage when the caller has left */
	int64_t silence_ms;                   /* a silent stream gets a comment after it */
	int64_t default_max_tokens;           /* output bound of a call that names none */
	int64_t image_tokens;                 /* held for each image of a request */
	int64_t store_reserve_bytes;          /* 0: none */
	int64_t story_days;                   /* how long stories of calls are kept; 0: none are */
	char log_archive[FARE_CONF_TEXT_N];   /* "": none */
	int64_t log_archive_days;             /* 0: kept for ever */
	char topup_url[FARE_CONF_TEXT_N];     /* "": none */
	char currency[4];                     /* "USD" */
	char proxy[FARE_CONF_TEXT_N];         /* "": as the environment says (http_proxy, https_proxy, no_proxy) */
	char ca_file[FARE_CONF_TEXT_N];       /* PEM bundle to trust, "": the system's */
	char tls_min_version[8];              /* "1.2" or "1.3" */
	char upstream_http[8];                /* "auto" or "1.1" */
	char alarm_command[FARE_CONF_TEXT_N]; /* "": none */
	char alarm_webhook[FARE_CONF_TEXT_N]; /* "": none; may hold a secret */
	int64_t alarm_timeout_ms;             /* of one try to deliver */
	int64_t alarm_tries;
	char log_level[8];                    /* debug, info, warn */
};

/*
 * home: as given on a command line, or NULL: FAREBOX_HOME, else LOCALSTATEDIR/lib/farebox. The home need not exist yet. Settings: HOME/farebox.json, else
 * SYSCONFDIR/farebox/farebox.json, else all defaults. False: one line in error, which names the file and the setting; of *c only
 * home and run may be used then, if they are not empty.
 */
bool fare_conf_load(struct fare_conf *c, const char *home, char error[FARE_CONF_ERROR_N]) FARE_MUST;
/* The same from given text, for tests and checks; name is used in errors. Folders are left as they are in *c. */
bool fare_conf_read(struct fare_conf *c, struct fare_span text, const char *name, char error[FARE_CONF_ERROR_N]) FARE_MUST;
void fare_conf_defaults(struct fare_conf *c); /* settings only */
void fare_conf_log(const struct fare_conf *c); /* the log's level as set */

enum fare_param_type { FARE_PARAM_NUMBER, FARE_PARAM_TEXT };
struct fare_param {
	const char *name;
	uint8_t type;           /* enum fare_param_type */
	const char *text;       /* a text's default */
	int64_t number;         /* a number's default */
	int64_t min, max;       /* of a number, or of a text's length in bytes */
	const char *unit;       /* "ms", "s", "bytes", "tokens", or "" */
	const char *help;
	bool (*check)(struct fare_span value); /* of a text, or NULL */
	const char *expects;    /* what check wants, for people */
	size_t offset;          /* in struct fare_conf */
};
const struct fare_param *fare_conf_params(size_t *count);
/* May this stand before our paths ("/ai")? The empty one is none. */
bool fare_conf_is_prefix(struct fare_span value);
/* The sample settings file, each parameter explained with its default: etc/farebox.json is this text. */
struct fare_buf;
void fare_conf_sample(struct fare_buf *out);

/*
 * Full path of one of our programs: in the folder FAREBOX_LIBEXEC names, else the folder of the running program, else the installed one. For a program that
 * lies in the running one's folder the environment is not needed, so a bank started with an empty environment finds the others too.
 */
bool fare_conf_program(const char *name, char out[FARE_PATH_N]) FARE_MUST;

#endif
