#!/usr/bin/env python3
"""Makes tests/replay/expected from tests/replay/answers: an independent reading of each recorded answer, written from the provider's
documentation and not from lib/wire. Run it after adding an answer: tests/replay/expect.py tests/replay

Columns: file, endpoint (1 chat, 2 completions, 3 embeddings), stream, end (enum fare_tap_end), usage reported, clamped, input, output,
cached, cache write and reasoning tokens, bytes of text, model ("-": none, or several), SHA-256 of what a caller gets who asked for usage,
and of what one gets who did not. The caller's model is called caller/"model"; the cost is 1000 nano-dollars a token in, 2000 out.
"""
import hashlib
import json
import os
import re
import sys

CALLER = '"caller/\\"model\\""'
DECODER = json.JSONDecoder()


def members(text):
    """Places of the values of an object's members."""
    places, i = {}, text.index("{") + 1
    space = re.compile(r"[ \t\r\n]*")
    while True:
        i = space.match(text, i).end()
        if text[i] == "}":
            return places, i
        if text[i] == ",":
            i = space.match(text, i + 1).end()
        name, i = json.decoder.scanstring(text, i + 1)
        i = space.match(text, space.match(text, i).end() + 1).end()
        _, end = DECODER.raw_decode(text, i)
        places[name] = (i, end)
        i = end


def number(v):
    return v if isinstance(v, int) and not isinstance(v, bool) else None


def normal(u, output):
    """input, output, cached, cache write, reasoning, clamped; None: not complete."""
    if not isinstance(u, dict):
        return None
    prompt, completion, total = (number(u.get(k)) for k in ("prompt_tokens", "completion_tokens", "total_tokens"))
    ins, outs = u.get("prompt_tokens_details") or {}, u.get("completion_tokens_details") or {}
    if (prompt is None and total is None) or (output and completion is None):
        return None
    completion, clamped = completion or 0, False
    if prompt is None:
        prompt = total - completion
    reasoning = number(outs.get("reasoning_tokens")) or number(u.get("reasoning_tokens")) or 0
    cached = next((number(v) for v in (ins.get("cached_tokens"), u.get("prompt_cache_hit_tokens"), u.get("num_cached_tokens"),
                                       u.get("cached_tokens"), u.get("cache_read_input_tokens")) if number(v) is not None), 0)
    write = number(ins.get("cache_write_tokens")) or number(u.get("cache_creation_input_tokens")) or 0
    audio = number(ins.get("audio_tokens")) or 0
    if total is not None and audio and total == prompt + audio + completion:
        prompt += audio  # Mistral: audio lies outside
    if total is not None and output:
        if reasoning and total == prompt + completion + reasoning:
            completion += reasoning  # xAI: reasoning lies outside
        completion = max(completion, total - prompt)  # Gemini: thinking is in the total only
    if not output:
        completion = 0
    if cached > prompt:
        cached, clamped = prompt, True
    return prompt, completion, cached, write, reasoning, clamped


def cost_text(usage):
    nano = usage[0] * 1000 + usage[1] * 2000
    whole, part = divmod(nano, 10**9)
    digits = f"{part:09d}".rstrip("0")
    return f"{whole}.{digits:0<2}"


def text_bytes(value, stream, endpoint):
    def size(s):
        return len(s.encode()) if isinstance(s, str) else 0

    def parts(content):
        if not isinstance(content, list):
            return size(content)
        return sum(size(p) if isinstance(p, str) else size(p.get("text")) + parts(p.get("summary")) + parts(p.get("thinking")) for p in content)

    total = 0
    for choice in value.get("choices") or []:
        if endpoint == 2:
            total += size(choice.get("text"))
            continue
        message = choice.get("delta" if stream else "message") or {}
        total += parts(message.get("content")) + size(message.get("refusal"))
        total += max(size(message.get("reasoning")), size(message.get("reasoning_content")))
        calls = [c.get("function") or c.get("custom") or {} for c in message.get("tool_calls") or []] + [message.get("function_call") or {}]
        total += sum(size(c.get("name")) + size(c.get("arguments")) + size(c.get("input")) for c in calls)
    return total


class Reading:
    def __init__(self, endpoint, stream):
        self.endpoint, self.stream, self.usage, self.text, self.models, self.error, self.answered = endpoint, stream, None, 0, set(), False, False

    def value(self, payload):
        """Takes one JSON value; returns it as a caller gets it, and whether it is the usage chunk."""
        value = json.loads(payload)
        places, _ = members(payload)
        own = normal(value.get("usage"), self.endpoint != 3)
        inner = [normal(c.get("usage"), True) for c in value.get("choices") or []] + [normal((value.get("x_groq") or {}).get("usage"), True)]
        self.usage = own or next((u for u in reversed(inner) if u), None) or self.usage
        self.text += text_bytes(value, self.stream, self.endpoint)
        self.error |= value.get("error") is not None
        self.answered |= isinstance(value.get("data" if self.endpoint == 3 else "choices"), list)
        edits = []
        if isinstance(value.get("model"), str):
            self.models.add(value["model"])
            edits.append((*places["model"], CALLER))
        if own:
            start, end = places["usage"]
            inside, last = members(payload[start:end])
            if "cost" in inside:
                edits.append((start + inside["cost"][0], start + inside["cost"][1], cost_text(own)))
            else:
                edits.append((start + last, start + last, ',"cost":' + cost_text(own)))
        for start, end, text in sorted(edits, reverse=True):
            payload = payload[:start] + text + payload[end:]
        return payload, value.get("choices") == [] and isinstance(value.get("usage"), dict) and not self.error

    def events(self, body):
        asked = unasked = ""
        for event in re.findall(r"(?s).*?(?:\r\n\r\n|\n\n|$)", body):
            data = re.findall(r"(?m)^data: ?([^\r\n]*)", event)
            assert len(data) < 2, "several data lines: not foreseen here"
            self.error |= bool(re.search(r"(?m)^event: ?error\r?$", event))
            hidden = False
            if data and data[0] and data[0] != "[DONE]":
                edited, hidden = self.value(data[0])
                event = event.replace(data[0], edited)
            if event and not re.search(r"(\r?\n){2}$", event):
                event += "\n" if event.endswith("\n") else "\n\n"
            asked += event
            unasked += "" if hidden else event
        return asked, unasked


def read(folder, name):
    endpoint = {"completions": 2, "embeddings": 3}.get(name.split(".")[1], 1)
    stream = name.endswith(".sse")
    body = open(os.path.join(folder, "answers", name), "rb").read().decode()
    r = Reading(endpoint, stream)
    if stream:
        asked, unasked = r.events(body)
        end = 3 if r.error else 1
    else:
        asked = unasked = r.value(body)[0]
        end = 1 if r.answered else 3
        if end == 3:
            asked = unasked = ""  # the caller gets a refusal of ours instead
    sha = [hashlib.sha256(t.encode()).hexdigest() for t in (asked, unasked)]
    model = r.models.pop() if len(r.models) == 1 else "-"
    usage = r.usage or (0, 0, 0, 0, 0, False)
    return [name, endpoint, int(stream), end, int(r.usage is not None), int(usage[5]), *usage[:5], r.text, model, *sha]


if __name__ == "__main__":
    home = sys.argv[1]
    rows = [read(home, n) for n in sorted(os.listdir(os.path.join(home, "answers")))]
    with open(os.path.join(home, "expected"), "w") as out:
        out.writelines("\t".join(map(str, r)) + "\n" for r in rows)
