/* A call's story in words: what happened, which of the four causes, what fixes it. */
#ifndef FARE_WIRE_STORY_H
#define FARE_WIRE_STORY_H

#include "base/buf.h"

/*
 * Appends the object of bank/story.h with more members: http_status of a refusal, cause (credentials, payment, limits, configuration; null: none of them), message, fix (null:
 * nothing is to be done). topup_url and currency as in the settings. False: the facts make no sense.
 */
bool fare_story_tell(struct fare_span facts, const char *topup_url, const char *currency, struct fare_buf *out) FARE_MUST;
enum { FARE_STORY_TEXT_MAX = 16 * 1024 };

#endif
