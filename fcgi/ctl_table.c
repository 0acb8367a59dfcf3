/*
 * A table for people. Columns are words "member" or "outer.member", with a kind after a colon: a (amount: shortened, to the right), n (number: to the right), t (time:
 * to the second), o (left out when the rows that are kept have nothing in it). Widths come from the first rows, which are kept for it; what is longer later pushes its line apart.
 */
#include "base/first.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "money/amount.h"

#include "ctl.h"

enum { COLUMNS_MAX = 16, ROWS_KEPT = 500, TITLE_N = 32, CELL_MAX = 1024 };

struct column {
	char path[2][TITLE_N]; /* outer and member, or member and "" */
	char kind;
	size_t width;
};

struct ctl_table {
	struct column columns[COLUMNS_MAX];
	char *rows[ROWS_KEPT][COLUMNS_MAX]; /* owned */
	size_t columns_n, rows_n;
	bool hidden[COLUMNS_MAX];
	bool flowing; /* the kept rows are out: print at once */
};

static const char *title(const struct column *c)
{
	return c->path[1][0] ? c->path[1] : c->path[0];
}

static void column_parse(struct column *c, struct fare_span word)
{
	const char *colon = memchr(word.p, ':', word.n);
	struct fare_span name = fare_span_at(word.p, colon ? (size_t)(colon - word.p) : word.n);
	const char *dot = memchr(name.p, '.', name.n);
	size_t first = dot ? (size_t)(dot - name.p) : name.n;
	*c = (struct column){.kind = colon ? colon[1] : 's'};
	FARE_ASSERT(fare_span_copy(fare_span_at(name.p, first), c->path[0], TITLE_N));
	if (dot)
		FARE_ASSERT(fare_span_copy(fare_span_at(dot + 1, name.n - first - 1), c->path[1], TITLE_N));
	c->width = strlen(title(c));
}

struct ctl_table *ctl_table_new(const char *columns)
{
	struct ctl_table *t = fare_alloc(sizeof *t);
	for (const char *at = columns; *at; at += *at == ' ') {
		size_t n = strcspn(at, " ");
		FARE_ASSERT(t->columns_n < COLUMNS_MAX);
		column_parse(&t->columns[t->columns_n++], fare_span_at(at, n));
		at += n;
	}
	return t;
}

void ctl_tame(struct fare_buf *b)
{
	for (size_t i = 0; i < b->n; i++) {
		unsigned char c = (unsigned char)b->p[i], next = i + 1 < b->n ? (unsigned char)b->p[i + 1] : 0;
		bool c1 = c == 0xC2 && next >= 0x80 && next < 0xA0; /* U+0080 to U+009F: U+009B does what ESC [ does */
		if (c1)
			b->p[i + 1] = '?';
		if (c1 || c < ' ' || c == 0x7f)
			b->p[i] = '?';
	}
}

/* One cell as text; nothing in it moves a terminal. */
static char *cell_text(const struct column *c, const struct fare_json *j, const struct fare_json_node *n)
{
	struct fare_amount amount;
	struct fare_buf b;
	char text[FARE_AMOUNT_TEXT_N];
	fare_buf_init(&b, CELL_MAX);
	if (!n || n->kind == FARE_JSON_NULL)
		fare_buf_add_char(&b, '-');
	else if (n->kind != FARE_JSON_STRING)
		fare_buf_add_span(&b, fare_json_text(j, n));
	else if (!fare_json_string(j, n, &b))
		fare_buf_reset(&b);
	if (c->kind == 'a' && fare_amount_parse(fare_buf_span(&b), &amount)) {
		fare_amount_text_short(amount, text);
		fare_buf_reset(&b);
		fare_buf_add_str(&b, text);
	}
	if (c->kind == 't' && b.n == 24) {
		b.n = 19;
		fare_buf_add_char(&b, 'Z');
	}
	ctl_tame(&b);
	if (!b.n)
		fare_buf_add_char(&b, '-');
	char *out = fare_strdup(fare_buf_cstr(&b));
	fare_buf_release(&b);
	return out;
}

static const struct fare_json_node *cell_find(const struct column *c, const struct fare_json *j)
{
	const struct fare_json_node *n = fare_json_member(j, fare_json_root(j), c->path[0]);
	return c->path[1][0] ? fare_json_member(j, n, c->path[1]) : n;
}

static void line_print(const struct ctl_table *t, char *const *cells)
{
	for (size_t i = 0; i < t->columns_n; i++) {
		const struct column *c = &t->columns[i];
		if (t->hidden[i])
			continue;
		const char *text = cells ? cells[i] : title(c);
		bool last = i + 1 == t->columns_n;
		if (c->kind == 'a' || c->kind == 'n')
			printf("%*s", (int)c->width, text);
		else
			printf("%-*s", last ? 0 : (int)c->width, text);
		fputs(last ? "\n" : "  ", stdout);
	}
}

static void cells_free(const struct ctl_table *t, char **cells)
{
	for (size_t i = 0; i < t->columns_n; i++) {
		free(cells[i]);
		cells[i] = NULL;
	}
}

static bool is_empty(const struct ctl_table *t, size_t column)
{
	for (size_t r = 0; r < t->rows_n; r++)
		if (strcmp(t->rows[r][column], "-") != 0)
			return false;
	return true;
}

static void flow(struct ctl_table *t)
{
	for (size_t i = 0; i < t->columns_n; i++)
		t->hidden[i] = t->columns[i].kind == 'o' && is_empty(t, i);
	for (size_t r = 0; r < t->rows_n; r++)
		for (size_t i = 0; i < t->columns_n; i++) {
			size_t n = strlen(t->rows[r][i]);
			if (n > t->columns[i].width)
				t->columns[i].width = n;
		}
	if (t->rows_n)
		line_print(t, NULL);
	for (size_t r = 0; r < t->rows_n; r++) {
		line_print(t, t->rows[r]);
		cells_free(t, t->rows[r]);
	}
	t->flowing = true;
}

void ctl_table_row(struct ctl_table *t, const struct fare_json *record)
{
	char *cells[COLUMNS_MAX];
	for (size_t i = 0; i < t->columns_n; i++)
		cells[i] = cell_text(&t->columns[i], record, cell_find(&t->columns[i], record));
	if (!t->flowing && t->rows_n < ROWS_KEPT) {
		memcpy(t->rows[t->rows_n++], cells, sizeof cells);
		return;
	}
	if (!t->flowing)
		flow(t);
	line_print(t, cells);
	cells_free(t, cells);
}

void ctl_table_free(struct ctl_table *t)
{
	if (!t->flowing)
		flow(t);
	free(t);
}
