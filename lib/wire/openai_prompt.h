/* Between the files of the OpenAI request reader: prompts of every shape, looked through for what they cost. */
#ifndef FARE_WIRE_OPENAI_PROMPT_H
#define FARE_WIRE_OPENAI_PROMPT_H

#include "wire/openai.h"

/* Each adds to prompt_bytes, text_bytes and images of q. False: r says what is wrong. */
bool fare_openai_messages_read(struct fare_openai_request *q, const struct fare_json_node *messages, struct fare_refusal *r);
bool fare_openai_tools_read(struct fare_openai_request *q, const struct fare_json_node *tools, struct fare_refusal *r);
/* A completion's prompt or an embedding's input: a text, token numbers, or a list of either; prompts: how many there are. */
bool fare_openai_texts_read(struct fare_openai_request *q, const struct fare_json_node *v, const char *name, uint32_t *prompts, struct fare_refusal *r);

#endif
