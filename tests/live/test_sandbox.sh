#!/bin/sh
# Does farebox-sandbox behave as its models' names say, is it strict, and does it count what it served?
# Run from the build folder, or with SANDBOX naming the program.
# shellcheck disable=SC2317 # functions that wait_until calls by name
set -eu

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$here/../lib.sh"
SANDBOX=${SANDBOX:-fcgi/farebox-sandbox}

echo sk-right >"$tmp/key"
start "$SANDBOX" --port-file "$tmp/port" --key-file "$tmp/key" --record "$tmp/record" --body-timeout-ms 500
sandbox=$started
wait_for_file "$tmp/port" || { not_ok "sandbox starts" "$(cat "$tmp"/log.*)"; finish; }
url=http://127.0.0.1:$(cat "$tmp/port")
n=0

# post PATH BODY [curl options]: $status, $rc, $body and $head are the answer, $id the call's.
post() {
	path=$1
	printf '%s' "$2" >"$tmp/body"
	shift 2
	send "$path" -H 'Content-Type: application/json' -H 'Authorization: Bearer sk-right' "$@"
}

send() {
	path=$1
	shift
	n=$((n + 1))
	id=call-$n
	rc=0
	: >"$tmp/answer"
	: >"$tmp/head"
	status=$(curl -q -s -m 20 -o "$tmp/answer" -D "$tmp/head" -w '%{http_code}' -H "Farebox-Call-Id: $id" -H 'Expect:' \
		--data-binary "@$tmp/body" "$@" "$url/v1/$path") || rc=$?
	body=$(tr -d '\000' <"$tmp/answer")
	head=$(tr -d '\000\r' <"$tmp/head")
}

# chat MODEL [more members]: one user message.
chat() {
	post chat/completions "{\"model\":\"$1\",\"messages\":[{\"role\":\"user\",\"content\":\"${text:-Hello there, friend}\"}]${2:+,$2}}"
}

# record CALL: deliveries, input tokens, output tokens and ending, once it is over.
is_over() {
	line=$(curl -q -s "$url/sandbox/calls" | grep "\"call_id\":\"$1\"") || return 1
	case $line in *'"running"'*) return 1 ;; esac
}

record() {
	line=none
	wait_until 10 is_over "$1" || :
	printf '%s\n' "$line" |
		sed 's/.*"deliveries":\([0-9]*\),"input_tokens":\([0-9]*\),"output_tokens":\([0-9]*\),"ending":"\([a-z_]*\)".*/\1 \2 \3 \4/'
}

is_between() { [ "$1" -gt 0 ] && [ "$1" -le "$2" ] && [ "$2" -lt 1000 ]; }
chunks() { grep -c "$1" "$tmp/answer" || :; }

# --- proper answers ---
chat sandbox-chat
is "chat: status" 200 "$status"
has "chat: object" '"object":"chat.completion"' "$body"
has "chat: echoes" '"content":"Hello there, friend ' "$body"
has "chat: usage" '"usage":{"prompt_tokens":5,"completion_tokens":20,"total_tokens":25,' "$body"
has "chat: finish" '"finish_reason":"stop"' "$body"
has "chat: fingerprint" '"system_fingerprint":"fp_' "$body"
has "chat: request id" 'x-request-id: req_' "$head"
is "chat: record" "1 5 20 complete" "$(record $id)"

chat sandbox-chat '"max_tokens":3,"n":2'
has "max_tokens: finish" '"finish_reason":"length"' "$body"
has "max_tokens: per choice" '"completion_tokens":6,' "$body"
has "max_tokens: the text" '"content":"Hello there,"' "$body"
has "n: second choice" '"index":1' "$body"
text='please words=200' chat sandbox-chat
has "words: as many as asked" '"completion_tokens":200,' "$body"
post chat/completions '{"model":"sandbox-chat","messages":[{"role":"system","content":"Grüße"},{"role":"user","content":[{"type":"text","text":"\u00fc\u0041"}]}]}'
has "input: bytes of unescaped UTF-8" '"prompt_tokens":3,' "$body"

chat sandbox-chat '"stream":true'
has "stream: type" 'Content-Type: text/event-stream' "$head"
is "stream: content chunks" 20 "$(chunks '"content":"[^"]')"
is "stream: no usage unasked" 0 "$(chunks usage)"
is "stream: done once" 1 "$(chunks '^data: \[DONE\]$')"
is "stream: one finish" 1 "$(chunks '"finish_reason":"stop"')"
is "stream: record" "1 5 20 complete" "$(record $id)"
chat sandbox-chat '"stream":true,"stream_options":{"include_usage":true}'
is "include_usage: null before" 22 "$(chunks '"usage":null')"
is "include_usage: one chunk without choices" 1 "$(chunks '"choices":\[\],"usage":{"prompt_tokens":5,"completion_tokens":20')"

tool='"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]'
chat sandbox-chat "$tool,\"tool_choice\":\"required\""
has "tool: the call" '"function":{"name":"weather","arguments":"{\"city\":\"sandbox\"}"}' "$body"
has "tool: finish" '"finish_reason":"tool_calls"' "$body"
# 19 bytes of text and 122 of tools; 7 bytes of name and 18 of arguments.
has "tool: usage" '"prompt_tokens":36,"completion_tokens":7,' "$body"
chat sandbox-chat "$tool"
has "tool: not unasked" '"finish_reason":"stop"' "$body"
text='call tool' chat sandbox-chat "$tool,\"stream\":true"
is "tool stream: opening" 1 "$(chunks '"name":"weather","arguments":""')"
is "tool stream: arguments" 5 "$(chunks '"delta":{"tool_calls":\[{"index":0,"function":{"arguments":"')"
is "tool stream: finish" 1 "$(chunks '"finish_reason":"tool_calls"')"
text='call tool' chat sandbox-chat "$tool,\"tool_choice\":\"none\""
has "tool_choice none" '"finish_reason":"stop"' "$body"

post completions '{"model":"sandbox-chat","prompt":["ab","c"],"max_tokens":2}'
has "completion: object" '"object":"text_completion"' "$body"
has "completion: both prompts" '"index":1' "$body"
has "completion: usage" '"prompt_tokens":1,"completion_tokens":4,' "$body"
post completions '{"model":"sandbox-chat","prompt":"ab","max_tokens":2,"stream":true,"stream_options":{"include_usage":true}}'
is "completion stream: chunks" 2 "$(chunks '"text":"ab  "')"
is "completion stream: usage" 1 "$(chunks '"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}')"
post embeddings '{"model":"sandbox-embed","input":["one","two"],"dimensions":3}'
has "embeddings: second vector" '"index":1,"embedding":[' "$body"
has "embeddings: usage" '"usage":{"prompt_tokens":2,"total_tokens":2}' "$body"
is "embeddings: record" "1 2 0 complete" "$(record $id)"
floats=$(post embeddings '{"model":"sandbox-embed","input":"x","dimensions":1}'; sed 's/.*"embedding":\[\(.*\)\]}.*/\1/' "$tmp/answer")
post embeddings '{"model":"sandbox-embed","input":"x","dimensions":1,"encoding_format":"base64"}'
bits=$(sed 's/.*"embedding":"\([^"]*\)".*/\1/' "$tmp/answer" | base64 -d | od -An -tf4 | tr -d ' ')
is "embeddings: base64 says the same" "$(printf '%.4f' "$floats")" "$(printf '%.4f' "$bits")"

# --- models that fail on purpose ---
for s in 400 404 429 500 503 599; do
	chat sandbox-error-$s
	is "error-$s" "$s" "$status"
	has "error-$s: shape" '{"error":{"message":"' "$body"
done
is "error: record" "1 0 0 error" "$(record $id)"
chat sandbox-error-200
is "error-200 is no model" 404 "$status"
chat sandbox-unpaid
is "unpaid" "402 insufficient_quota" "$status $(sed 's/.*"code":"\([a-z_]*\)".*/\1/' "$tmp/answer")"
chat sandbox-badkey
is "badkey" 401 "$status"
chat sandbox-nothing
is "unknown model" "404 model_not_found" "$status $(sed 's/.*"code":"\([a-z_]*\)".*/\1/' "$tmp/answer")"
is "unknown model: record" "1 0 0 rejected" "$(record $id)"
chat sandbox-slow-100
is "slow: answers" 200 "$status"
post chat/completions '{"model":"sandbox-slow-600000","messages":[{"role":"user","content":"x"}]}' -m 1
is "slow: does not answer" 28 "$rc"
is "slow: record" "1 0 0 client_gone" "$(record $id)"
chat sandbox-garbage
is "garbage: not HTTP" 1 "$rc"
is "garbage: record" "1 0 0 error" "$(record $id)"
chat sandbox-badjson
has "badjson: says it is JSON" 'Content-Type: application/json' "$head"
is "badjson: is none" '{"id":"chatcmpl-sandbox","choices":[{"message":{"content":"not clo' "$body"
chat sandbox-reset
is "reset" 56 "$rc"
is "reset: record" "1 0 0 reset" "$(record $id)"
chat sandbox-cut-7
is "cut: body ends early" 18 "$rc"
is "cut: after so many bytes" 7 "$(wc -c <"$tmp/answer" | tr -d ' ')"
is "cut: record" "1 5 0 cut" "$(record $id)"
chat sandbox-cut-4 '"stream":true'
is "cut stream: ends early" 18 "$rc"
is "cut stream: chunks" 4 "$(chunks '"content":"[^"]')"
is "cut stream: in mid-event" "" "$(tail -c 1 "$tmp/answer" | tr -d ':[')"
is "cut stream: not done" 0 "$(chunks DONE)"
is "cut stream: record" "1 5 4 cut" "$(record $id)"
chat sandbox-headers
case $rc in 0 | 28) not_ok "headers: endless" "curl ended with $rc" ;; *) ok "headers: endless" ;; esac
is "headers: record" "1 0 0 client_gone" "$(record $id)"
chat sandbox-accel
for h in X-Accel-Redirect X-Sendfile Set-Cookie Location Status; do
	has "accel: $h" "$h: " "$head"
done
has "accel: a proper answer" '"finish_reason":"stop"' "$body"
chat sandbox-tick-20-6 '"stream":true'
is "tick: chunks" 6 "$(chunks '"content":"[^"]')"
post chat/completions '{"model":"sandbox-tick-100-1000","stream":true,"messages":[{"role":"user","content":"x"}]}' -m 1
is "tick: hang-up is seen" client_gone "$(record $id | cut -d ' ' -f 4)"
got=$(chunks '"content":"[^"]')
counted=$(record $id | cut -d ' ' -f 3)
check "tick: something came, and no more than was counted" is_between "$got" "$counted"
chat sandbox-full '"max_completion_tokens":77'
has "full: all of it" '"completion_tokens":77,' "$body"
has "full: finish" '"finish_reason":"length"' "$body"
chat sandbox-nousage
is "nousage" 0 "$(chunks '"usage"')"
is "nousage: record counts" "1 5 20 complete" "$(record $id)"
chat sandbox-nousage '"stream":true,"stream_options":{"include_usage":true}'
is "nousage: stream" 0 "$(chunks '"usage":{')"
chat sandbox-negative
has "negative" '"completion_tokens":-21,' "$body"
chat sandbox-huge
has "huge" '"completion_tokens":1000000000000000,' "$body"
chat sandbox-streamerror-3 '"stream":true'
is "streamerror: chunks before" 3 "$(chunks '"content":"[^"]')"
is "streamerror: the event" 1 "$(chunks '^data: {"error":{"message":')"
is "streamerror: not done" 0 "$(chunks DONE)"
is "streamerror: record" "1 5 3 error" "$(record $id)"
chat sandbox-big-100001
is "big: bytes" 100001 "$(sed 's/.*"content":"\([^"]*\)".*/\1/' "$tmp/answer" | tr -d '\n' | wc -c | tr -d ' ')"
has "big: tokens" '"completion_tokens":25001,' "$body"
chat sandbox-big-5000 '"stream":true'
is "big stream: record" "1 5 1250 complete" "$(record $id)"

# Two requests on one connection. curl sends the second again on a new one, as curl does: so it is delivered twice.
printf '%s' '{"model":"sandbox-close-reuse","messages":[{"role":"user","content":"x"}]}' >"$tmp/body"
cat >"$tmp/reuse" <<END
silent
max-time = 10
header = "Content-Type: application/json"
header = "Authorization: Bearer sk-right"
data-binary = "@$tmp/body"
url = "$url/v1/chat/completions"
output = "$tmp/answer"
END
{ cat "$tmp/reuse" && echo 'header = "Farebox-Call-Id: reuse-1"' && echo next && cat "$tmp/reuse" && echo 'header = "Farebox-Call-Id: reuse-2"'; } >"$tmp/twice"
rc=0
curl -q -K "$tmp/twice" || rc=$?
is "close-reuse: curl has two answers" 0 "$rc"
is "close-reuse: first is answered" "1 1 20 complete" "$(record reuse-1)"
is "close-reuse: second is delivered, and not answered" "2 1 20 complete" "$(record reuse-2)"

# --- strictness ---
rejected() {
	is "$1" "$2 rejected" "$status $(record $id | cut -d ' ' -f 4)"
	has "$1: shape" '{"error":{"message":"' "$body"
}
m='"messages":[{"role":"user","content":"x"}]'
strict() { # NAME BODY
	post chat/completions "$2"
	rejected "strict: $1" 400
}
strict "cut JSON" '{"model":"sandbox-chat"'
strict "no JSON" 'hello'
strict "empty" ''
strict "text after the value" "{\"model\":\"sandbox-chat\",$m}}"
strict "trailing comma" "{\"model\":\"sandbox-chat\",$m,}"
strict "array" '[]'
strict "duplicate member" "{\"model\":\"sandbox-chat\",\"n\":1,\"n\":1,$m}"
strict "duplicate member, escaped" "{\"model\":\"sandbox-chat\",\"n\":1,\"\\u006e\":1,$m}"
strict "duplicate member within" '{"model":"sandbox-chat","messages":[{"role":"user","role":"user","content":"x"}]}'
strict "empty name" "{\"\":1,\"model\":\"sandbox-chat\",$m}"
strict "NUL in a name" "{\"model\":\"sandbox-chat\",\"n\\u0000\":1,$m}"
strict "invalid UTF-8" "$(printf '{"model":"sandbox-chat","messages":[{"role":"user","content":"\300\200"}]}')"
strict "surrogate in UTF-8" "$(printf '{"model":"sandbox-chat","messages":[{"role":"user","content":"\355\240\200"}]}')"
strict "control character" "$(printf '{"model":"sandbox-chat","messages":[{"role":"user","content":"\001"}]}')"
strict "deep nesting" "$(printf '%200s' '' | tr ' ' '[')"
strict "leading zero" "{\"model\":\"sandbox-chat\",\"n\":01,$m}"
strict "unknown member" "{\"model\":\"sandbox-chat\",\"colour\":1,$m}"
strict "no model" "{$m}"
strict "no messages" '{"model":"sandbox-chat"}'
strict "empty messages" '{"model":"sandbox-chat","messages":[]}'
strict "model of wrong type" "{\"model\":1,$m}"
strict "stream of wrong type" "{\"model\":\"sandbox-chat\",\"stream\":\"true\",$m}"
strict "bad role" '{"model":"sandbox-chat","messages":[{"role":"robot","content":"x"}]}'
strict "no content" '{"model":"sandbox-chat","messages":[{"role":"user"}]}'
strict "tool message without id" '{"model":"sandbox-chat","messages":[{"role":"tool","content":"x"}]}'
for v in 0 -1 1.5 '"5"' 1e18 1000000000000000000; do
	strict "max_tokens $v" "{\"model\":\"sandbox-chat\",\"max_tokens\":$v,$m}"
	strict "max_completion_tokens $v" "{\"model\":\"sandbox-chat\",\"max_completion_tokens\":$v,$m}"
done
strict "both bounds" "{\"model\":\"sandbox-chat\",\"max_tokens\":5,\"max_completion_tokens\":5,$m}"
for v in 0 129 1000 1.0; do
	strict "n $v" "{\"model\":\"sandbox-chat\",\"n\":$v,$m}"
done
strict "stream_options without stream" "{\"model\":\"sandbox-chat\",\"stream_options\":{\"include_usage\":true},$m}"
strict "unknown stream option" "{\"model\":\"sandbox-chat\",\"stream\":true,\"stream_options\":{\"colour\":true},$m}"
strict "temperature 3" "{\"model\":\"sandbox-chat\",\"temperature\":3,$m}"
strict "tool without a name" "{\"model\":\"sandbox-chat\",\"tools\":[{\"type\":\"function\",\"function\":{}}],$m}"

good="{\"model\":\"sandbox-chat\",$m}"
printf '%s' "$good" >"$tmp/body"
send chat/completions -H 'Authorization: Bearer sk-right' -H 'Content-Type: text/plain'
rejected "strict: Content-Type" 400
send chat/completions -H 'Content-Type: application/json'
rejected "strict: no key" 401
send chat/completions -H 'Content-Type: application/json' -H 'Authorization: Bearer sk-wrong'
rejected "strict: wrong key" 401
send chat/completions -H 'Content-Type: application/json' -H 'Authorization: Bearer sk-right' -H 'Authorization: Bearer sk-right'
rejected "strict: two keys" 400
post chat/completions "$good" -H 'Expect: 100-continue'
rejected "strict: Expect" 400
post chat/completions "$good" -H 'Accept-Encoding: gzip'
rejected "strict: Accept-Encoding" 400
post chat/completions "$good" -H 'Content-Length: 5'
rejected "strict: more than Content-Length" 400
post chat/completions "$good" -H 'Content-Length: 5000'
rejected "strict: less than Content-Length" 408
is "strict: half a body is no delivery" "0 0 0 rejected" "$(record $id)"
post chat/completions "$good" -H 'Content-Length;'
rejected "strict: empty Content-Length" 400
post chat/completions "$good" -H 'Transfer-Encoding: chunked'
is "chunked request" "200 1 1 20 complete" "$status $(record $id)"
post chat/completions "$good" -H 'Content-Type: application/json; charset=utf-8'
is "Content-Type with charset" 200 "$status"
post chat/completions "$good" -X GET
is "GET of a POST" 405 "$status"

# --- the rest ---
is "healthz" '{"status":"ok"}' "$(curl -q -s "$url/healthz")"
has "models" '"id":"sandbox-chat","object":"model"' "$(curl -q -s -H 'Authorization: Bearer sk-right' "$url/v1/models")"
has "one model" '"id":"sandbox-slow-7"' "$(curl -q -s -H 'Authorization: Bearer sk-right' "$url/v1/models/sandbox-slow-7")"
has "no such model" model_not_found "$(curl -q -s -H 'Authorization: Bearer sk-right' "$url/v1/models/nothing")"
has "models need a key" '"error"' "$(curl -q -s "$url/v1/models")"
nobody_lives() { [ "$(curl -q -s "$url/sandbox/live")" = '{"live":0}' ]; }
check "live: none left" wait_until 10 nobody_lives
all=$(curl -q -s "$url/sandbox/calls" | wc -l)
is "calls: since" 2 "$(curl -q -s "$url/sandbox/calls?since=$((all - 2))" | wc -l | tr -d ' ')"
chat sandbox-chat
again=$id
n=$((n - 1))
chat sandbox-chat
is "a repeated id counts twice" "2 10 40 complete" "$(record "$again")"
has "record file" "\"call_id\":\"$again\"" "$(tail -n 1 "$tmp/record")"
rc=0
stop "$sandbox" || rc=$?
is "SIGTERM ends it in order" 0 "$rc"
finish
