/* What farebox itself says in the OpenAI dialect: errors in a stream, signs of life, and the models there are. */
#include "base/first.h"

#include "wire/openai.h"

void fare_openai_error_event(const struct fare_refusal *r, struct fare_id call_id, struct fare_buf *out)
{
	fare_buf_add_str(out, "data: {\"error\": ");
	fare_refusal_error(r, call_id, out);
	fare_buf_add_str(out, "}\n\n");
}

void fare_openai_silence(struct fare_buf *out) { fare_buf_add_str(out, ": still waiting for the provider\n\n"); }

void fare_openai_model_write(const struct fare_openai_model *m, struct fare_buf *out)
{
	fare_buf_add_str(out, "{\"id\": ");
	fare_buf_add_json(out, m->name);
	fare_buf_addf(out, ", \"object\": \"model\", \"created\": %llu, \"owned_by\": ", (unsigned long long)(m->created_ms / 1000));
	fare_buf_add_json(out, m->owner);
	fare_buf_add_char(out, '}');
}

void fare_openai_models_write(const struct fare_openai_model *m, size_t count, struct fare_buf *out)
{
	fare_buf_add_str(out, "{\"object\": \"list\", \"data\": [");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			fare_buf_add_str(out, ", ");
		fare_openai_model_write(&m[i], out);
	}
	fare_buf_add_str(out, "]}");
}
