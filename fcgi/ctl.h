/*
 * farebox-ctl: one command of an operator as one operation of the bank. bin/farebox is its face; the records go out as JSON lines (--json) or as a table.
 * Exit status: 0 done, 1 refused or failed with one line on stderr, 2 misuse.
 */
#ifndef FARE_FCGI_CTL_H
#define FARE_FCGI_CTL_H

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "conf/conf.h"

enum { CTL_OK = 0, CTL_FAILED = 1, CTL_MISUSE = 2, CTL_ARGS_MAX = 14, CTL_LINE_MAX = 1024 * 1024 };

/* How a word of the command line is checked, and what it becomes in the request. */
enum ctl_kind {
	CTL_NONE,
	CTL_NAME,       /* an account's or provider's */
	CTL_MODEL,      /* a model's: slashes and colons too */
	CTL_AMOUNT,     /* above 0 */
	CTL_AMOUNT_0,   /* 0 or above; prices too */
	CTL_TEXT,       /* any text of one line */
	CTL_PAST,       /* a time, or a span before now */
	CTL_EXPIRES,    /* a time, a span from now, or "never" */
	CTL_SPAN_S,     /* a span, sent as seconds */
	CTL_NUMBER,     /* 0 or above */
	CTL_ID,         /* 1 or above */
	CTL_SHA256,
	CTL_CALL_ID,
	CTL_URL,
	CTL_STYLE,
	CTL_BOUND_FIELD,
	CTL_KEY_FILE,   /* a path, or "-": read here and kept in the home */
	CTL_VARIABLE,   /* of the environment */
	CTL_CIDRS,      /* addresses and networks; "": any */
	CTL_DIR,        /* a folder; sent as an absolute path, of the store in it */
	CTL_BY,         /* account, key, model or day */
	CTL_SEAL,       /* NUMBER:HASH */
	CTL_FLAG,       /* true when given */
	CTL_NOT_YET,    /* known and refused */
};

struct ctl_arg {
	const char *word;   /* "--ref" of an option, "NAME" of a positional one */
	const char *member; /* in the request */
	uint8_t kind;       /* enum ctl_kind */
	bool required;
	const char *shown;  /* an option's value in the usage line */
};

enum ctl_result { CTL_TABLE, CTL_KEY, CTL_VERIFY, CTL_STATUS, CTL_BACKUP, CTL_RESTORE, CTL_WHY, CTL_QUIET };

struct ctl_command {
	const char *group, *verb; /* verb NULL: the group is the command */
	const char *op;           /* NULL: bin/farebox does it */
	struct ctl_arg args[CTL_ARGS_MAX];
	uint8_t result;           /* enum ctl_result */
	bool no_start;            /* does nothing when no bank runs */
	bool some;                /* wants at least one option */
	const char *columns;      /* of the table: see ctl_table.c */
	const char *help;
};

/* ctl_spec.c */
const struct ctl_command *ctl_find(const char *group, const char *verb, int *words); /* words: how many of the command line it took */
bool ctl_usage(const char *group, FILE *to); /* false: there is no such group; NULL: all */

/* ctl_args.c: fills the request (one line, without newline). Otherwise an exit status, with the reason on stderr. */
int ctl_request(const struct fare_conf *c, const struct ctl_command *cmd, int argc, char **argv, struct fare_buf *request);
int ctl_misuse(const struct ctl_command *cmd, const char *fmt, ...) FARE_PRINTF(2, 3);
int ctl_fail(const char *fmt, ...) FARE_PRINTF(1, 2);

/* ctl_secret.c: reads a key from stdin into HOME/secrets/NAME.key, or checks a file named; out gets the path. Otherwise an exit status. */
int ctl_key_file(const struct fare_conf *c, const char *provider, const char *given, char out[FARE_PATH_N]);

/* ctl_table.c: a table whose widths come from its first rows. */
struct ctl_table;
struct ctl_table *ctl_table_new(const char *columns);
void ctl_table_row(struct ctl_table *t, const struct fare_json *record);
void ctl_table_free(struct ctl_table *t); /* prints what is left */
void ctl_tame(struct fare_buf *b);        /* UTF-8 for a terminal: "?" in the place of each byte of a control, those beyond ASCII too */

/*
 * ctl_backup.c. A backup is a folder with the store's files in `store`. begin: the folder, made if it is not there; try: recovers and verifies a copy of what the bank has
 * put there, which must reach at least the seal `head`, and says what is in it. restore: makes a home's store of a backup. Exit statuses.
 */
bool ctl_dir(const char *given, char out[FARE_PATH_N]); /* absolute; false: too long or empty */
int ctl_backup_begin(const struct fare_conf *c, const char *given);
int ctl_backup_try(const char *given, uint64_t head, bool json);
int ctl_restore(const struct fare_conf *c, const char *given, const char *logs, bool json); /* logs: an archive of them, or NULL */
/* For reading what another may own; and one plain file of such a folder, flushed. errno. */
int ctl_source_open(int dir, const char *name, int flags);
bool ctl_file_copy(int dir, const char *name, const char *to);

/* ctl_logs.c: puts what follows the last log in the folder `logs` (a backup's, laid down) there, from an archive. A gap, or logs of another store or life of it: refused. Exit status. */
int ctl_logs_lay(const char *archive, const char *logs);

/* ctl_why.c */
int ctl_why_print(const struct fare_conf *c, struct fare_span facts, bool json);
/* ctl_why_log.c: of a call that the bank does not know; false: the log of calls has no refusal of it, either. */
bool ctl_why_log(const struct fare_conf *c, const struct fare_json *facts, struct fare_buf *out);

/* ctl_status.c */
int ctl_status_print(const struct fare_conf *c, const struct fare_json *bank, bool json);

#endif
