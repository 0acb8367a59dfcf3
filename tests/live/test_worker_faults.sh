#!/bin/sh
# A worker is killed at each step of a call: exactly one entry, at the price that its meter allows, and nothing is left behind. Run from a build folder that was configured
# with --enable-faults; skipped otherwise.
# shellcheck disable=SC2317 # functions that check and wait_until call by name
set -eu
here=$(cd "$(dirname "$0")" && pwd)
grep -q "^#define FARE_FAULTS 1" config.h || {
	echo "built without fault points"
	exit 77
}
# shellcheck source-path=SCRIPTDIR source=instance.sh
. "$here/instance.sh"
FAREBOX_FAULT_FILE=$tmp/faults
export FAREBOX_FAULT_FILE
fcgi=$(pwd)/tests/live/farebox-fcgi

entries() { farebox ledger a --json | grep -c '"kind": *"call"' || :; }
has_entries() { [ "$(entries)" -ge "$1" ]; }
no_holds() { [ "$(farebox status --json | field holds | head -n 1)" = 0 ]; }
worker() { pgrep -P "$(head -n 1 "$tmp/home/run/keeper.pid")" -f farebox.fcgi || :; }
worker_anew() { [ -n "$(worker)" ] && [ "$(worker)" != "$1" ]; }
connected() { farebox status --json | grep -q '"connected": *true'; }
# ask MODEL: one stream, straight to the socket; its outcome does not matter, a worker that dies has none
ask() {
	printf '{"model":"%s","stream":true,"max_tokens":40,"messages":[{"role":"user","content":"hello there, what is the matter with you?"}]}' "$1" >"$tmp/body"
	bytes=$(stat -c %s "$tmp/body")
	"$fcgi" "$tmp/home/run/farebox.sock" REQUEST_METHOD=POST REQUEST_URI=/v1/chat/completions CONTENT_TYPE=application/json \
		"CONTENT_LENGTH=$bytes" "HTTP_AUTHORIZATION=Bearer $key" <"$tmp/body" >"$tmp/answer" || :
}

mkdir -p "$tmp/home"
chmod 711 "$tmp/home"
printf '{"workers": 1}\n' >"$tmp/home/farebox.json"
: >"$tmp/faults"
farebox setup >/dev/null
start "$FAREBOX_LIBEXEC/farebox-sandbox" --port-file "$tmp/port"
wait_for_file "$tmp/port"
echo x | farebox provider add sandbox --style openai --base-url "http://127.0.0.1:$(cat "$tmp/port")/v1" --key-file - >/dev/null
for model in sandbox-chat sandbox-tick-50-10; do
	farebox model add $model --provider sandbox --input 0.15 --output 0.60 --max-output 4096 >/dev/null
done
farebox account create a >/dev/null
farebox credit a 10 >/dev/null
key=$(farebox key create a 2>/dev/null)
farebox start >/dev/null
ask sandbox-chat
wait_until 10 has_entries 1 || :
whole=$(farebox ledger a --json | tail -n 1 | field amount)
is "the call undisturbed" complete "$(farebox ledger a --json | tail -n 1 | field ending)"

n=1
strike() { # POINT MODEL ENDING: sets $amount
	old=$(worker)
	before=$n
	n=$((n + 1))
	printf '%s\n' "$1" >"$tmp/faults"
	ask "$2"
	check "$1: the worker died and another came" wait_until 20 worker_anew "$old"
	: >"$tmp/faults"
	check "$1: its entry is there" wait_until 20 has_entries $n
	is "$1: one entry" $((before + 1)) "$(entries)"
	is "$1: ending" "$3" "$(farebox ledger a --json | tail -n 1 | field ending)"
	amount=$(farebox ledger a --json | tail -n 1 | field amount)
	check "$1: no hold is left" wait_until 10 no_holds
	wait_until 20 connected || :
}
strike worker_after_admit:kill sandbox-chat not_sent
is "killed after admission: free" 0.000000000 "$amount"
strike worker_before_sent:kill sandbox-chat not_sent
is "killed before it was sent: free" 0.000000000 "$amount"
strike worker_after_sent:kill sandbox-chat worker_died
is "killed when it was sent: nothing came, free" 0.000000000 "$amount"
strike worker_mid_stream:kill@5 sandbox-tick-50-10 worker_died
check "killed mid-stream: what had come is charged ($amount)" test "$amount" != 0.000000000
strike worker_before_settle:kill sandbox-chat worker_died
is "killed before it was settled: the provider's own usage is charged" "$whole" "$amount"

ask sandbox-chat
n=$((n + 1))
wait_until 10 has_entries $n || :
is "the next call" complete "$(farebox ledger a --json | tail -n 1 | field ending)"
check "verify" farebox verify
finish
