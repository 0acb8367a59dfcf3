// The official openai client against a running gateway: FAREBOX_URL, FAREBOX_KEY, FAREBOX_MODEL and FAREBOX_EMBED_MODEL in the environment, FAREBOX_POOR_KEY a key without money.
import assert from "node:assert/strict";
import OpenAI from "openai";

const { FAREBOX_URL, FAREBOX_KEY, FAREBOX_MODEL, FAREBOX_EMBED_MODEL, FAREBOX_POOR_KEY } = process.env;
const baseURL = FAREBOX_URL + "/v1";
const client = new OpenAI({ baseURL, apiKey: FAREBOX_KEY });
const model = FAREBOX_MODEL;
const user = (content) => [{ role: "user", content }];

const tests = {
  async "chat"() {
    const { data, response } = await client.chat.completions.create({ model, messages: user("hello there") }).withResponse();
    assert.ok(data.choices[0].message.content.length > 0);
    assert.equal(data.model, model);
    assert.ok(data.usage.prompt_tokens > 0 && data.usage.completion_tokens > 0);
    assert.match(response.headers.get("farebox-call-id"), /^[0-9a-f-]{36}$/);
    assert.equal(response.headers.get("x-request-id"), response.headers.get("farebox-call-id"));
    assert.equal(data._request_id, response.headers.get("farebox-call-id"));
    assert.match(response.headers.get("farebox-cost"), /^0\.\d{9}$/);
    assert.equal(data.usage.cost, Number(response.headers.get("farebox-cost")));
  },
  async "stream, without usage as the client did not ask"() {
    let text = "", finish = null;
    for await (const chunk of await client.chat.completions.create({ model, messages: user("words=30"), stream: true })) {
      assert.ok(chunk.choices.length > 0, "the usage chunk is hidden");
      assert.ok(!chunk.usage);
      text += chunk.choices[0].delta.content ?? "";
      finish = chunk.choices[0].finish_reason ?? finish;
    }
    assert.ok(text.length > 0);
    assert.equal(finish, "stop");
  },
  async "stream with usage and its cost"() {
    let usage = null;
    for await (const chunk of await client.chat.completions.create({ model, messages: user("hi"), stream: true, stream_options: { include_usage: true } })) usage = chunk.usage ?? usage;
    assert.ok(usage.completion_tokens > 0);
    assert.ok(usage.cost > 0);
  },
  async "stream helper"() {
    const final = await client.chat.completions.stream({ model, messages: user("hello"), stream_options: { include_usage: true } }).finalChatCompletion();
    assert.ok(final.choices[0].message.content.length > 0);
  },
  async "tools"() {
    const tools = [{ type: "function", function: { name: "weather", description: "the weather", parameters: { type: "object", properties: { city: { type: "string" } } } } }];
    const answer = await client.chat.completions.create({ model, messages: user("call tool please"), tools, tool_choice: "required" });
    const call = answer.choices[0].message.tool_calls[0];
    assert.equal(call.function.name, "weather");
    JSON.parse(call.function.arguments);
    const second = await client.chat.completions.create({
      model, tools,
      messages: [...user("what is the weather"), answer.choices[0].message, { role: "tool", tool_call_id: call.id, content: "sunny" }],
    });
    assert.ok(second.choices[0].message.content.length > 0);
  },
  async "tools, streamed"() {
    const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: {} } } }];
    const final = await client.chat.completions.stream({ model, messages: user("call tool please"), tools, tool_choice: "required" }).finalChatCompletion();
    assert.equal(final.choices[0].message.tool_calls[0].function.name, "weather");
  },
  async "several choices"() {
    const answer = await client.chat.completions.create({ model, messages: user("hi"), n: 3, max_tokens: 5 });
    assert.equal(answer.choices.length, 3);
  },
  async "completions"() {
    const answer = await client.completions.create({ model, prompt: "once upon a time", max_tokens: 8 });
    assert.equal(typeof answer.choices[0].text, "string");
    assert.ok(answer.usage.cost > 0);
  },
  async "embeddings"() {
    const answer = await client.embeddings.create({ model: FAREBOX_EMBED_MODEL, input: ["one", "two"] });
    assert.equal(answer.data.length, 2);
    assert.equal(typeof answer.data[0].embedding[0], "number");
    assert.ok(answer.usage.prompt_tokens > 0);
  },
  async "models"() {
    const names = [];
    for await (const m of client.models.list()) names.push(m.id);
    assert.ok(names.includes(model));
    assert.equal((await client.models.retrieve(model)).id, model);
    await assert.rejects(client.models.retrieve("no-such-model"), (e) => e instanceof OpenAI.NotFoundError && e.code === "model_unknown");
  },
  async "an unknown key is an AuthenticationError"() {
    await assert.rejects(new OpenAI({ baseURL, apiKey: "fb_wrong" }).chat.completions.create({ model, messages: user("x") }), (e) => e instanceof OpenAI.AuthenticationError && e.code === "key_unknown");
  },
  async "a 402 says what is missing, and is not tried again"() {
    const started = client.maxRetries;
    assert.ok(started > 0);
    await assert.rejects(new OpenAI({ baseURL, apiKey: FAREBOX_POOR_KEY }).chat.completions.create({ model, messages: user("x"), max_tokens: 100 }), (e) => {
      assert.equal(e.status, 402);
      assert.equal(e.code, "balance_too_low");
      assert.equal(e.type, "insufficient_quota");
      assert.match(e.error.needed, /^\d+\.\d{9}$/);
      assert.match(e.error.shortfall, /^\d+\.\d{9}$/);
      assert.equal(e.headers.get("x-should-retry"), "false");
      return true;
    });
  },
  async "a bad request is a BadRequestError that names the field"() {
    await assert.rejects(client.chat.completions.create({ model, messages: user("x"), max_tokens: -1 }), (e) => e instanceof OpenAI.BadRequestError && e.param === "max_tokens");
  },
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    console.log("ok - openai: " + name);
  } catch (e) {
    failed++;
    console.log("not ok - openai: " + name + "\n#   " + String(e.stack ?? e).split("\n").slice(0, 6).join("\n#   "));
  }
}
process.exit(failed ? 1 : 0);
