#!/bin/sh
# farebox.fcgi as CGI: what the process does and leaves behind; then 100 calls at once under lighttpd and Apache with no bank running, and a SIGKILL of the bank in the
# middle: never two banks, every answer whole, the ledger exact. All as one unprivileged user. Run from the build folder.
# shellcheck disable=SC2317 # functions that check and wait_until call by name
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC2034 # instance.sh looks at it
test_user=nobody
# shellcheck source-path=SCRIPTDIR source=instance.sh
. "$here/instance.sh"
# shellcheck source-path=SCRIPTDIR source=servers.sh
. "$here/servers.sh"
load=$(pwd)/tests/live/farebox-load
calls=100

ask() { printf '{"model":"%s","stream":%s,"messages":[{"role":"user","content":"hello"}]}' "$1" "$2"; }
cgi() { # MODEL STREAM [ARGUMENT...]: one call as a web server would start it, in this process
	ask "$1" "$2" >"$tmp/ask"
	shift 2
	exec env -i FAREBOX_HOME="$tmp/home" GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=POST REQUEST_URI=/v1/chat/completions CONTENT_TYPE=application/json \
		CONTENT_LENGTH="$(wc -c <"$tmp/ask")" ${cgi_key:+"HTTP_IDEMPOTENCY_KEY=$cgi_key"} HTTP_AUTHORIZATION="Bearer $(cat "$tmp/key")" HTTP_PROXY=http://127.0.0.1:1 "$FAREBOX_LIBEXEC/farebox.fcgi" "$@" <"$tmp/ask"
}
live() { curl -q -s "$sandbox/sandbox/live" | field live; }
live_is() { [ "$(live)" -eq "$1" ]; }
live_least() { [ "$(live)" -ge "$1" ]; }
bank_left() { flock -n "$tmp/home/store/LOCK" true; }
no_bank() {
	farebox stop --now >/dev/null 2>&1 || :
	wait_until 10 bank_left || not_ok "no bank runs"
}
# The one that has the store open, among those of this home; one that lost the race to its lock has not.
banks() {
	for bank in $(pgrep -f "^farebox-bank --home $tmp/home\$" || :); do
		[ -z "$(find "/proc/$bank/fd" -lname "$tmp/home/store/ledger.db" 2>/dev/null)" ] || echo "$bank"
	done
}
bank_runs() { [ -n "$(banks)" ]; }
# The bank removes the meter of a process that is gone.
none_left() { [ -z "$(find "$tmp/home/run" -name '*meter.*')" ]; }
last_is() { farebox ledger a --json | tail -n 1 | grep -q "\"ending\": *\"$1\""; }
opened() { grep -c ' open: ' "$tmp/home/run/bank.log" || :; }

farebox setup >/dev/null
start "$FAREBOX_LIBEXEC/farebox-sandbox" --port-file "$tmp/port"
wait_for_file "$tmp/port"
sandbox=http://127.0.0.1:$(cat "$tmp/port")
echo x | farebox provider add sandbox --style openai --base-url "$sandbox/v1" --key-file - >/dev/null
farebox provider add environment --style openai --base-url "$sandbox/v1" --key-env HTTP_X_KEY >/dev/null
for model in chat tick-100-30 tick-100-600 slow-3000; do farebox model add sandbox-$model --provider sandbox --input 0.15 --output 0.60 --max-output 4096 >/dev/null; done
farebox model add sandbox-env --provider environment --upstream-name sandbox-chat --input 0.15 --output 0.60 >/dev/null
farebox account create a >/dev/null
farebox credit a 100 >/dev/null
farebox key create a 2>/dev/null >"$tmp/key"

# One process, no bank: it starts one, and nothing that stays has its standard output (else this would wait for ever).
no_bank
answer=$(cgi sandbox-chat false 2>"$tmp/err" | cat)
has "a call with no bank running" "Status: 200" "$answer"
has "with its cost" "Farebox-Cost: " "$answer"
check "it has started a bank" bank_runs
check "the ledger has it" wait_until 10 last_is complete
is "and the log of calls" 1 "$(farebox log | grep -c '"status":200,"code":null,"ending":"complete"')"
no_bank
answer=$(cgi sandbox-chat true 2>"$tmp/err" | cat)
has "a stream with no bank running" "data: [DONE]" "$answer"
has "its arguments are the caller's words: none counts" "Status: 200" "$(cgi sandbox-chat false --home /nowhere --help 2>"$tmp/err")"
has "a refused one" "Status: 404" "$(cgi nothing false 2>"$tmp/err")"
is "is in the log of calls, too" 1 "$(farebox log | grep -c '"model":"nothing","status":404,"code":"model_unknown","ending":null')"
cgi_key=again
first=$(cgi sandbox-chat true 2>>"$tmp/err" | cat)
wait_until 10 no_holds || :
second=$(cgi sandbox-chat true 2>>"$tmp/err" | cat)
cgi_key=
has "a call with an Idempotency-Key, said again, is replayed" "Idempotent-Replayed: true" "$second"
is "with the same bytes" "$first" "$(printf '%s\n' "$second" | grep -v '^Idempotent-Replayed')"
mv "$tmp/home/log" "$tmp/log.moved"
echo >"$tmp/home/log"
has "where no call can be logged, it goes on" "Status: 200" "$(cgi sandbox-chat false 2>"$tmp/err")"
has "and an alarm is raised" "lines are lost" "$(cat "$tmp/err")"
has "once" "Status: 200" "$(cgi sandbox-chat false 2>"$tmp/err")"
is "not for each call" "" "$(grep -F "lines are lost" "$tmp/err" || :)"
rm "$tmp/home/log"
mv "$tmp/log.moved" "$tmp/home/log"
has "once it can be written again" "Status: 200" "$(cgi sandbox-chat false 2>"$tmp/err")"
has "it says how many are lost" "2 lines were lost" "$(cat "$tmp/err")"
has "standard output may be a file" "Status: 200" "$( (cgi sandbox-chat false) >"$tmp/file" 2>"$tmp/err"; cat "$tmp/file")"
answer=$(cgi sandbox-env false 2>"$tmp/err")
has "an upstream key in the environment is refused" "Status: 502" "$answer"
has "and the log says why" "a CGI program does not get" "$(cat "$tmp/err")"
mkdir "$tmp/broken"
echo '{"nothing": 1}' >"$tmp/broken/farebox.json"
has "settings that cannot be read" "Status: 503" "$(env -i FAREBOX_HOME="$tmp/broken" GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=GET REQUEST_URI=/healthz "$FAREBOX_LIBEXEC/farebox.fcgi" 2>"$tmp/err" </dev/null)"
has "and the log says why" 'unknown setting "nothing"' "$(cat "$tmp/err")"

# SIGTERM: the caller is gone.
mkfifo "$tmp/fifo"
cat "$tmp/fifo" >"$tmp/stream" &
tests_pids="$tests_pids $!"
cgi sandbox-tick-100-600 true >"$tmp/fifo" 2>"$tmp/err" &
one=$!
tests_pids="$tests_pids $one"
check "a stream runs" wait_until 20 live_is 1
wait_for_file "$tmp/stream"
kill "$one"
check "SIGTERM: the upstream's work ends" wait_until 20 live_is 0
check "SIGTERM: the ledger says that the caller has gone" wait_until 20 last_is client_gone
check "SIGTERM: the process ends" wait_until 10 none_left

for server in lighttpd-cgi apache-cgi; do
	no_bank
	web_start $server
	web=$started
	wait_until 10 bank_left || no_bank
	before=$(opened)
	: >"$tmp/two"
	: >"$tmp/watched"
	(while :; do
		n=$(banks | wc -l)
		[ "$n" -le 1 ] || echo "$n" >>"$tmp/two"
		echo "$n" >>"$tmp/watched"
		sleep 0.02
	done) 2>/dev/null &
	watcher=$!
	tests_pids="$tests_pids $watcher"
	"$load" --url "http://127.0.0.1:$port" --keys "$tmp/key" --calls $calls --connections $calls --stream-every 2 --stream-model sandbox-tick-100-30 --model sandbox-slow-3000 \
		--max-tokens 30 --timeout 60 --out "$tmp/load" >"$tmp/load.sum" 2>&1 &
	loader=$!
	tests_pids="$tests_pids $loader"
	check "$server: calls run" wait_until 20 live_least 20
	killed=$(banks)
	check "$server: the bank is killed" kill -KILL "$killed"
	wait "$loader" || :
	is "$server: $calls calls get 200" "$calls" "$(awk '$3 == 200' "$tmp/load" | wc -l)"
	is "$server: and whole answers" "$calls" "$(awk '$6 == 1' "$tmp/load" | wc -l)"
	check "$server: no process stays" wait_until 20 none_left
	check "$server: no hold stays" wait_until 20 no_holds
	check "$server: the watcher watched" test -s "$tmp/watched"
	is "$server: never two banks" "" "$(sort -u "$tmp/two")"
	is "$server: one bank, killed, and one after it" 2 "$(($(opened) - before))"
	stop "$watcher" || :
	stop "$web" || :
	farebox ledger --all --json >"$tmp/ledger"
	# The call whose upstream key could not be had was never sent.
	grep '"kind": *"call"' "$tmp/ledger" | grep -v '"not_sent"' >"$tmp/sent"
	field call_id <"$tmp/sent" | sort >"$tmp/entries"
	curl -q -s "$sandbox/sandbox/calls" >"$tmp/seen.all"
	field call_id <"$tmp/seen.all" | grep -v '^local-' | sort >"$tmp/seen"
	is "$server: no call has two entries" "" "$(uniq -d "$tmp/entries")"
	is "$server: the calls that the sandbox saw are those of the ledger" "" "$(comm -3 "$tmp/entries" "$tmp/seen" | head -n 3)"
	is "$server: delivered once each" "" "$(grep -v '"deliveries": *1,' "$tmp/seen.all" | head -n 3)"
	is "$server: all complete but the one that was left" 1 "$(grep -cv '"ending": *"complete"' "$tmp/sent")"
	farebox log | field call_id | sort >"$tmp/logged"
	is "$server: each but those two is in the log of calls" 2 "$(comm -23 "$tmp/entries" "$tmp/logged" | wc -l)"
	is "$server: the amounts add up to the balance" "$(farebox balance a --json | field available | tr -d .)" "$(farebox ledger a --json | field amount | tr -d . | awk '{s += $1} END {printf "%.0f", s}')"
	check "$server: verify" farebox verify
done
finish
