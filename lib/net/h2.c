/*
 * HTTP/2, spoken over TLS to who offers it: many transfers share a connection, so its end is not the end of the requests on it alone. A server that goes away says up to
 * which of them it took; the later ones it certainly did not process, and they may be sent again. curl knows, but its result does not tell this from a connection that broke
 * under a request that may have been processed. So it is read from the lines curl says for people; one that is not understood only means that nothing is sent again.
 */
#include "base/first.h"

#include <stdlib.h>

#include "net/transfer.h"

static void hash_add(uint64_t *hash, const void *p, size_t n)
{
	for (const unsigned char *b = p; n--; b++)
		*hash = (*hash ^ *b) * 0x100000001b3; /* FNV-1a */
}

void fare_h2_connected(struct fare_transfer *t, const char *to, const char *from, int to_port, int from_port)
{
	uint64_t hash = 0xcbf29ce484222325;
	hash_add(&hash, to, strlen(to) + 1);
	hash_add(&hash, from, strlen(from) + 1);
	hash_add(&hash, &to_port, sizeof to_port);
	hash_add(&hash, &from_port, sizeof from_port);
	t->connection = hash;
	t->stream = 0;
	t->refused = false;
	fare_origin_leave(t);
}

static bool number_after(const char *text, const char *word, long *number)
{
	const char *at = strstr(text, word);
	char *end;
	if (!at)
		return false;
	at += strlen(word);
	*number = strtol(at, &end, 10);
	return end != at && *number >= 0;
}

static int on_words(CURL *easy, curl_infotype kind, char *p, size_t n, void *arg)
{
	struct fare_transfer *t = arg;
	char text[128];
	long number;
	(void)easy;
	if (kind != CURLINFO_TEXT)
		return 0;
	n = n < sizeof text ? n : sizeof text - 1;
	memcpy(text, p, n);
	text[n] = 0;
	if (number_after(text, "Using Stream ID: ", &number)) {
		t->stream = number;
	} else if (strncmp(text, "ALPN: server ", 13) == 0) {
		fare_origin_http1(t, strncmp(text + 13, "accepted h2", 11) != 0);
	} else if (strstr(text, " GOAWAY, error=") && number_after(text, "last_stream=", &number) && t->connection) {
		for (struct fare_transfer *each = t->net->first; each; each = each->next)
			if (each->connection == t->connection && each->stream > number)
				each->refused = true;
	}
	return 0;
}

void fare_h2_set(struct fare_transfer *t, const char *url)
{
	CURL *e = t->easy;
	curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)(t->net->tls_13 ? CURL_SSLVERSION_TLSv1_3 : CURL_SSLVERSION_TLSv1_2));
	t->shares = !t->net->http1_only;
	if (!t->shares)
		return;
	fare_origin_set(t, url);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	curl_easy_setopt(e, CURLOPT_DEBUGFUNCTION, on_words);
	curl_easy_setopt(e, CURLOPT_DEBUGDATA, t);
	curl_easy_setopt(e, CURLOPT_VERBOSE, 1L);
}
