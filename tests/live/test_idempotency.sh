#!/bin/sh
# Idempotency-Key in every case: replayed free (JSON and streams), in flight, spent, another body, another account, given back when nothing was charged; a caller who left;
# a worker killed after and before the last word of its meter; a bank killed; kept by backup and restore. Run from a build folder configured with --enable-faults.
# shellcheck disable=SC2317 # functions that check and wait_until call by name
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=faults.sh
. "$here/faults.sh"

entries() { farebox ledger a --json | grep -c '"kind": *"call"' || :; }
has_entries() { [ "$(entries)" -ge "$1" ]; }
worker_anew() { [ -n "$(worker)" ] && [ "$(worker)" != "$1" ]; }
calls() { curl -q -s "$sandbox/sandbox/calls" | grep -c . || :; }
answers() { find "$tmp/home/run" -name '*answer.*' | wc -l; }
no_answers() { [ "$(answers)" -eq 0 ]; }
body() { printf '{"model":"%s","stream":%s,"max_tokens":%s,"messages":[{"role":"user","content":"%s"}]}' "$1" "$2" "${4:-40}" "$3"; }
# ask KEY BODY [FILE]: as a web server would, straight to the socket; the answer goes to FILE
ask() {
	printf '%s' "$2" >"$tmp/body.${3:-answer}"
	bytes=$(stat -c %s "$tmp/body.${3:-answer}")
	"$fcgi" "$tmp/home/run/farebox.sock" REQUEST_METHOD=POST REQUEST_URI=/v1/chat/completions CONTENT_TYPE=application/json "CONTENT_LENGTH=$bytes" \
		"HTTP_AUTHORIZATION=Bearer ${caller:-$key}" "HTTP_IDEMPOTENCY_KEY=$1" <"$tmp/body.${3:-answer}" >"$tmp/${3:-answer}" || :
}
answer() { cat "$tmp/${1:-answer}"; }
# The answer of a replay is the first one's, but for the line that tells it.
is_replay() { # NAME FIRST SECOND
	has "$1: it says so" "Idempotent-Replayed: true" "$(answer "$3")"
	grep -av '^Idempotent-Replayed: ' "$tmp/$3" >"$tmp/bare" || :
	check "$1: the same bytes" cmp -s "$tmp/$2" "$tmp/bare"
}

mkdir -p "$tmp/home"
chmod 711 "$tmp/home"
printf '{"workers": 1, "client_gone_ms": 200}\n' >"$tmp/home/farebox.json"
: >"$tmp/faults"
farebox setup >/dev/null
start "$FAREBOX_LIBEXEC/farebox-sandbox" --port-file "$tmp/port"
wait_for_file "$tmp/port"
sandbox=http://127.0.0.1:$(cat "$tmp/port")
echo x | farebox provider add sandbox --style openai --base-url "$sandbox/v1" --key-file - >/dev/null
for model in sandbox-chat sandbox-tick-50-20 sandbox-error-500; do farebox model add $model --provider sandbox --input 0.15 --output 0.60 --max-output 8000 >/dev/null; done
for account in a b; do
	farebox account create $account >/dev/null
	farebox credit $account 10 >/dev/null
done
key=$(farebox key create a 2>/dev/null)
other=$(farebox key create b 2>/dev/null)
farebox start >/dev/null

json=$(body sandbox-chat false 'hello there')
ask k1 "$json" first
has "a call with a key" "Status: 200" "$(answer first)"
check "its entry" wait_until 10 has_entries 1
check "no hold" wait_until 10 no_holds
before=$(calls)
ask '"k1"' "$json" second
is_replay "JSON" first second
stream=$(body sandbox-chat true 'hello there')
ask k2 "$stream" first
check "the stream's entry" wait_until 10 has_entries 2
check "no hold" wait_until 10 no_holds
ask k2 "$stream" second
is_replay "a stream" first second
has "a stream" "data: [DONE]" "$(answer second)"
is "nothing more went upstream" $((before + 1)) "$(calls)"
is "nothing more is in the ledger" 2 "$(entries)"
is "in the log of calls" 2 "$(farebox log | grep -c '"status":200,"code":"replayed","ending":null,"usage":null,"cost":null,"earlier":"')"

ask k1 "$stream"
has "another body" "Status: 422" "$(answer)"
has "another body" idempotency_mismatch "$(answer)"
caller=$other
ask k1 "$json"
check "another account's same key is its own" test -z "$(answer | grep -a Replayed || :)"
has "another account's" "Status: 200" "$(answer)"
caller=$key
ask "$(printf 'a\tb')" "$json"
has "no printable ASCII" "Status: 400" "$(answer)"

ask k3 "$(body sandbox-error-500 false x)"
has "an upstream's error" "Status: 500" "$(answer)"
check "free" wait_until 10 has_entries 3
check "no hold" wait_until 10 no_holds
ask k3 "$json"
has "gave the key back" "Status: 200" "$(answer)"
check "is an entry of its own" wait_until 10 has_entries 4

ask k4 "$(body sandbox-chat true words=3000 8000)" first
check "more than is kept" test "$(stat -c %s "$tmp/first")" -gt 262144
check "its entry" wait_until 10 has_entries 5
check "no hold" wait_until 10 no_holds
ask k4 "$(body sandbox-chat true words=3000 8000)"
has "an answer that was not kept: spent" "idempotency_spent" "$(answer)"
has "with its call" "\"earlier_call_id\": \"$(grep -a '^Farebox-Call-Id: ' "$tmp/first" | tr -d '\r' | sed 's/.*: //')\"" "$(answer)"
has "and its cost" "\"cost\": \"$(farebox ledger a --json | tail -n 1 | field amount | tr -d -)\"" "$(answer)"

slow=$(body sandbox-tick-50-20 true 'hello')
rm -f "$tmp/first"
ask k5 "$slow" first &
asked=$!
check "a slow stream runs" wait_until 10 test -s "$tmp/first"
ask k5 "$slow"
has "in flight" "idempotency_in_flight" "$(answer)"
has "in flight" "Retry-After: 1" "$(answer)"
wait $asked
check "its entry" wait_until 10 has_entries 6
check "no hold" wait_until 10 no_holds

# A caller leaves at once, and comes back.
n=6
bytes=$(stat -c %s "$tmp/body.first")
"$fcgi" "$tmp/home/run/farebox.sock" REQUEST_METHOD=POST REQUEST_URI=/v1/chat/completions CONTENT_TYPE=application/json "CONTENT_LENGTH=$bytes" \
	"HTTP_AUTHORIZATION=Bearer $key" HTTP_IDEMPOTENCY_KEY=k6 <"$tmp/body.first" >"$tmp/left" 2>/dev/null &
asked=$!
check "it has got something" wait_until 10 test -s "$tmp/left"
kill -KILL $asked
wait $asked 2>/dev/null || :
n=$((n + 1))
check "the call goes on to its end" wait_until 20 has_entries $n
is "the caller was gone" client_gone "$(farebox ledger a --json | tail -n 1 | field ending)"
check "no hold" wait_until 10 no_holds
ask k6 "$slow"
has "he gets the answer" "Idempotent-Replayed: true" "$(answer)"
has "whole" "data: [DONE]" "$(answer)"

strike() { # POINT KEY BODY
	old=$(worker)
	n=$((n + 1))
	printf '%s:kill\n' "$1" >"$tmp/faults"
	ask "$2" "$3"
	check "$1: the worker died and another came" wait_until 20 worker_anew "$old"
	: >"$tmp/faults"
	check "$1: its entry is there" wait_until 20 has_entries $n
	check "$1: no hold is left" wait_until 10 no_holds
	wait_until 20 connected || :
	ask "$2" "$3"
}
strike worker_after_final k7 "$json"
has "killed after its last word: replayed" "Idempotent-Replayed: true" "$(answer)"
strike worker_before_settle k8 "$json"
has "killed before it: spent" "idempotency_spent" "$(answer)"

# The bank is killed while a call runs, and between its decision and the disk.
rm -f "$tmp/first"
ask k9 "$slow" first &
asked=$!
check "a stream runs" wait_until 10 test -s "$tmp/first"
kill -KILL "$(pgrep -f "^farebox-bank --home $tmp/home\$")"
ask k9 "$slow"
has "a new bank knows what runs" "idempotency_in_flight" "$(answer)"
wait $asked
n=$((n + 1))
check "its entry" wait_until 20 has_entries $n
check "no hold" wait_until 10 no_holds
ask k9 "$slow" second
is_replay "after the bank was killed" first second
printf 'bank_after_decide:kill\n' >"$tmp/faults"
ask k10 "$json" first
n=$((n + 1))
sleep 0.2
: >"$tmp/faults"
wait_until 20 has_entries $n || :
check "no hold" wait_until 10 no_holds
ask k10 "$json" second
is_replay "after the bank was killed between decision and disk" first second
ask k1 "$json" second
has "older ones are known, too" "Idempotent-Replayed: true" "$(answer second)"
is "one entry each" $n "$(entries)"
check "no answer is left in the run folder" wait_until 10 no_answers

has "verify" '"ok":true' "$(farebox verify --json)"
farebox backup "$tmp/backup" >/dev/null
farebox stop --now >/dev/null
rm -rf "$tmp/home/store"
farebox restore "$tmp/backup" >/dev/null
has "verify of what was restored" '"ok":true' "$(farebox verify --json)"
farebox start >/dev/null
ask k2 "$stream" second
has "a restored store has the answers" "Idempotent-Replayed: true" "$(answer second)"
finish
