#!/bin/sh
# Streams whose holds grow, with a real bank and workers: the model's setting, what is held as it runs, a bank and a worker that are killed meanwhile, a bank that does not
# answer, a provider whose own count goes beyond what was held. Straight to the socket. Run from a build folder that was configured with --enable-faults; skipped otherwise.
# shellcheck disable=SC2317 # functions that check and wait_until call by name
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=faults.sh
. "$here/faults.sh"

entries() { farebox ledger "$1" --json | grep -c '"kind": *"call"' || :; }
entries_are() { [ "$(entries "$1")" -eq "$2" ]; }
held() { farebox calls --live --json | field hold | head -n 1 | tr -d .; }
held_more() { now=$(held) && [ "${now:-0}" -gt "$1" ]; }
# ask KEY BODY [PARAMETER...]: its answer in $tmp/answer
ask() {
	ask_key=$1
	printf '%s' "$2" >"$tmp/body"
	shift 2
	bytes=$(stat -c %s "$tmp/body")
	"$fcgi" "$tmp/home/run/farebox.sock" REQUEST_METHOD=POST REQUEST_URI=/v1/chat/completions CONTENT_TYPE=application/json \
		"CONTENT_LENGTH=$bytes" "HTTP_AUTHORIZATION=Bearer $ask_key" "$@" <"$tmp/body" >"$tmp/answer" 2>&1 || :
}
body() { printf '{"model":"%s","stream":%s,"max_tokens":%s,"messages":[{"role":"user","content":"hello there"}]}' "$1" "$2" "$3"; }
ended() { # ACCOUNT N: its Nth call has its entry, which is then $entry, and nothing is held any more
	wait_until 20 entries_are "$1" "$2" || not_ok "an entry" "$(entries "$1") of $2"
	wait_until 20 no_holds || not_ok "no hold is left"
	entry=$(farebox ledger "$1" --json | tail -n 1)
}
of_entry() { echo "$entry" | field "$1"; }

mkdir -p "$tmp/home"
chmod 711 "$tmp/home"
printf '{"workers": 1, "admit_timeout_ms": 2000}\n' >"$tmp/home/farebox.json"
: >"$tmp/faults"
farebox setup >/dev/null
start "$FAREBOX_LIBEXEC/farebox-sandbox" --port-file "$tmp/port"
wait_for_file "$tmp/port"
echo x | farebox provider add sandbox --style openai --base-url "http://127.0.0.1:$(cat "$tmp/port")/v1" --key-file - >/dev/null
slow=sandbox-tick-20-60
# A dollar per million tokens: a token costs 1,000 nano-dollars.
for model in $slow sandbox-huge; do
	farebox model add "$model" --provider sandbox --input 1 --output 1 --max-output 4096 --stream-hold 16 >/dev/null
done
farebox model add sandbox-chat --provider sandbox --input 1 --output 1 --max-output 4096 >/dev/null
is "model show: stream_hold" 16 "$(farebox model show $slow --json | field stream_hold)"
is "none: 0" 0 "$(farebox model show sandbox-chat --json | field stream_hold)"
out=$(farebox model add tiny --provider sandbox --input 1 --output 1 --stream-hold 15 2>&1) && rc=0 || rc=$?
has "not below 16" "1 farebox" "$rc $out"
for name in a b; do
	farebox account create $name >/dev/null
	farebox credit $name 1 >/dev/null
done
key=$(farebox key create a 2>/dev/null)
poor=$(farebox key create b 2>/dev/null)
farebox debit b 0.99990 >/dev/null # 100,000 nano-dollars are left
farebox start >/dev/null

ask "$key" "$(body $slow true 4000)" &
asked=$!
check "held for a part at first" wait_until 10 held_more 0
first=$now
check "not for 4,000 tokens ($first nano-dollars)" test "$first" -lt 100000
check "and for more as it runs" wait_until 10 held_more "$first"
wait $asked
ended a 1
has "to its end" '"finish_reason":"stop"' "$(cat "$tmp/answer")"
is "charged by the provider's count" "complete 60" "$(of_entry ending) $(of_entry output_tokens)"

# Its bank is killed: while it grows, and between what is held and the answer.
for fault in '' 'bank_after_extend:kill@2'; do
	printf '%s\n' "$fault" >"$tmp/faults"
	old=$(bank)
	ask "$key" "$(body $slow true 4000)" &
	asked=$!
	wait_until 10 held_more 0 || not_ok "it is held for"
	[ -n "$fault" ] || kill -KILL "$old"
	wait $asked
	: >"$tmp/faults"
	ended a "$([ -z "$fault" ] && echo 2 || echo 3)"
	check "bank killed ${fault:-at random}: another bank came" test "$(bank)" != "$old"
	has "the stream runs to its end" '"finish_reason":"stop"' "$(cat "$tmp/answer")"
	is "and costs what it did" "complete 60" "$(of_entry ending) $(of_entry output_tokens)"
done

# The bank does not answer: the stream ends in good order, and says so.
printf 'bank_after_extend:hold=%s\n' "$tmp/hold" >"$tmp/faults"
: >"$tmp/hold"
ask "$key" "$(body $slow true 4000)"
: >"$tmp/faults"
rm "$tmp/hold"
ended a 4
has "no answer: finish_reason length" '"finish_reason":"length"' "$(cat "$tmp/answer")"
has "the notice says store_unavailable" '"farebox":{"code": "store_unavailable"' "$(cat "$tmp/answer")"
has "and it is a whole stream" 'data: [DONE]' "$(tail -n 3 "$tmp/answer")"
is "balance_end" balance_end "$(of_entry ending)"
check "charged for what came, within its first hold" test "$(of_entry output_tokens)" -gt 0 -a "$(of_entry output_tokens)" -le 16

# Its worker is killed.
old=$(worker)
printf 'worker_mid_stream:kill@20\n' >"$tmp/faults"
ask "$key" "$(body $slow true 4000)"
: >"$tmp/faults"
ended a 5
wait_until 20 connected || :
check "worker killed: charged for what its meter says, within what was held" test "$(of_entry ending) $(of_entry output_tokens)" != "worker_died 0" -a "$(of_entry output_tokens)" -le 60

# Others hold as before; the header says a bound that was lowered.
ask "$poor" "$(body sandbox-chat true 4000)"
has "a model without it: the whole bound is held for" 'Status: 402' "$(cat "$tmp/answer")"
ask "$poor" "$(body $slow false 4000)"
has "an answer in one piece: the same" 'Status: 402' "$(cat "$tmp/answer")"
ask "$poor" "$(body $slow true 4000 | sed 's/"max_tokens":4000,//')"
has "a stream says a bound that was lowered" 'Farebox-Max-Tokens: ' "$(cat "$tmp/answer")"
ended b 1

# A stream that ran dry is an answer like any other to who asks again with its key.
left=$(farebox balance b --json | field available | tr -d .)
ask "$poor" "$(body $slow true 4000)" HTTP_IDEMPOTENCY_KEY=dry
ended b 2
has "runs dry ($left nano-dollars)" 'balance_end' "$(of_entry ending)"
sed '1,/^.$/d' "$tmp/answer" >"$tmp/dry"
has "and says so" '"farebox":{"code": "balance_too_low"' "$(cat "$tmp/dry")"
ask "$poor" "$(body $slow true 4000)" HTTP_IDEMPOTENCY_KEY=dry
has "asked for again with its key: a replay" 'Idempotent-Replayed: true' "$(cat "$tmp/answer")"
is "of the same bytes" "$(cat "$tmp/dry")" "$(sed '1,/^.$/d' "$tmp/answer")"
is "free" 2 "$(entries b)"

# As plain CGI: a process for this one call.
printf '%s' "$(body $slow true 4000)" >"$tmp/body"
bytes=$(stat -c %s "$tmp/body")
env -i FAREBOX_HOME="$FAREBOX_HOME" FAREBOX_LIBEXEC="$FAREBOX_LIBEXEC" GATEWAY_INTERFACE=CGI/1.1 SERVER_PROTOCOL=HTTP/1.1 REQUEST_METHOD=POST REQUEST_URI=/v1/chat/completions REMOTE_ADDR=127.0.0.1 \
	CONTENT_TYPE=application/json "CONTENT_LENGTH=$bytes" "HTTP_AUTHORIZATION=Bearer $key" "$FAREBOX_LIBEXEC/farebox.fcgi" <"$tmp/body" >"$tmp/answer" 2>&1 || :
ended a 6
has "as CGI: to its end" '"finish_reason":"stop"' "$(cat "$tmp/answer")"
is "at its price" "complete 60" "$(of_entry ending) $(of_entry output_tokens)"

# The provider's own count is what is owed, stated and counted where it goes beyond the hold.
is "no call beyond its hold so far" 0 "$(farebox status --json | field over_hold)"
ask "$key" "$(body sandbox-huge true 4000)"
ended a 7
is "a provider's count beyond the hold: the model's limit is charged" 4000 "$(of_entry output_tokens)"
has "stated in the entry" over_hold "$entry"
is "and in status" 1 "$(farebox status --json | field over_hold)"
check "verify" farebox verify
finish
