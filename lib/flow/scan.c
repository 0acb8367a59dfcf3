/* Scan: the body is read once, strictly; what is priced is what is sent. */
#include "base/first.h"

#include "flow/call.h"

bool fare_step_scan(struct fare_call *c)
{
	if (!fare_openai_request_read(&c->request, fare_call_endpoint(c), fare_buf_span(&c->body.bytes), &c->refusal))
		return false;
	memcpy(c->model, c->request.model, sizeof c->model);
	c->streaming = c->request.stream;
	c->usage_asked = c->request.usage_asked;
	c->text_bytes = c->request.text_bytes;
	c->choices = c->request.choices;
	return true;
}
