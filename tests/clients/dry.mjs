// One stream of the official openai client, as its author would read it: node dry.mjs chat|helper|completions [CHOICES]. FAREBOX_URL, FAREBOX_KEY and FAREBOX_MODEL in the
// environment; DRY_STARTED a file that is made when some of it has come. Prints what it saw as JSON.
import { writeFileSync } from "node:fs";
import OpenAI from "openai";

const { FAREBOX_URL, FAREBOX_KEY, FAREBOX_MODEL: model, DRY_STARTED } = process.env;
const [mode, choices] = process.argv.slice(2);
const client = new OpenAI({ baseURL: FAREBOX_URL + "/v1", apiKey: FAREBOX_KEY, maxRetries: 0 });
const ask = { model, stream: true, n: Number(choices ?? 1), max_tokens: 4000, stream_options: { include_usage: true } };
const messages = [{ role: "user", content: "hello there" }];
const seen = { call_id: null, ids: [], objects: [], models: [], text: 0, finish: {}, notice: null, usage: null, last: null };

function look(chunk) {
  for (const [list, value] of [[seen.ids, chunk.id], [seen.objects, chunk.object], [seen.models, chunk.model]]) if (!list.includes(value)) list.push(value);
  for (const c of chunk.choices) {
    seen.text += (c.delta ? (c.delta.content ?? "") : c.text).length;
    if (c.finish_reason) seen.finish[c.index] = c.finish_reason;
  }
  seen.notice = chunk.farebox ?? seen.notice;
  seen.usage = chunk.usage ?? seen.usage;
  if (seen.text > 40 && DRY_STARTED) writeFileSync(DRY_STARTED, "started\n");
}

if (mode === "helper") {
  const stream = client.chat.completions.stream({ ...ask, messages });
  stream.on("chunk", look);
  const answer = await stream.finalChatCompletion();
  seen.last = answer.choices.map((c) => c.finish_reason).join();
  seen.call_id = (await stream.withResponse?.())?.response?.headers?.get("farebox-call-id") ?? null;
} else {
  const create = mode === "chat" ? client.chat.completions.create({ ...ask, messages }) : client.completions.create({ ...ask, prompt: "hello there" });
  const { data, response } = await create.withResponse();
  seen.call_id = response.headers.get("farebox-call-id");
  for await (const chunk of data) look(chunk);
}
console.log(JSON.stringify(seen));
