// idem.mjs KEY MODEL TIMEOUT-MS [stream]: one call of the official client with an Idempotency-Key and its automatic retries, as a line of JSON.
import OpenAI from "openai";

const [key, model, timeout, stream] = process.argv.slice(2);
let sent = 0;
const fetchCounted = (...args) => { sent++; return fetch(...args); };
const client = new OpenAI({ baseURL: process.env.FAREBOX_URL + "/v1", apiKey: process.env.FAREBOX_KEY, maxRetries: 20, timeout: Number(timeout), fetch: fetchCounted });
const body = { model, stream: stream === "stream", max_tokens: 30, messages: [{ role: "user", content: "hello there" }] };
const { data, response } = await client.chat.completions.create(body, { headers: { "Idempotency-Key": key } }).withResponse();
let text = "";
if (body.stream) for await (const chunk of data) text += chunk.choices[0]?.delta?.content ?? "";
else text = data.choices[0].message.content;
console.log(JSON.stringify({ sent, replayed: response.headers.get("idempotent-replayed"), call: response.headers.get("farebox-call-id"), text: text.length }));
