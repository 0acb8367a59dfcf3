#!/bin/sh
# Who may call, and at what price: keys with limits, rotated, imported, expired, revoked; closed accounts; models whose price changes while a call runs, or that go.
# Straight to the FastCGI socket: the caller's address is a parameter there. Run from the build folder.
# shellcheck disable=SC2317 # functions that check and wait_until call by name
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=instance.sh
. "$here/instance.sh"
fcgi=$(pwd)/tests/live/farebox-fcgi

new_key() { farebox key create "$@" --json >"$tmp/record"; key=$(field key <"$tmp/record"); id=$(field id <"$tmp/record"); }
post() { # KEY MODEL ADDRESS STREAM
	post_body=$(printf '{"model":"%s","stream":%s,"max_tokens":20,"messages":[{"role":"user","content":"hello"}]}' "$2" "$4")
	printf '%s' "$post_body" | "$fcgi" "$tmp/home/run/farebox.sock" REQUEST_METHOD=POST REQUEST_URI=/v1/chat/completions "HTTP_AUTHORIZATION=Bearer $1" \
		CONTENT_TYPE=application/json "CONTENT_LENGTH=${#post_body}" "REMOTE_ADDR=$3"
}
# says NAME WANTED KEY [MODEL [ADDRESS]]: the status of a call, with the code of a refusal
says() {
	post "$3" "${4:-sandbox-chat}" "${5:-127.0.0.1}" false >"$tmp/answer" || :
	says_status=$(tr -d '\r' <"$tmp/answer" | sed -n 's/^Status: \([0-9]*\).*/\1/p')
	says_code=$(sed -n 's/.*"code": *"\([a-z_]*\)".*/\1/p' "$tmp/answer")
	is "$1" "$2" "${says_status:-200}${says_code:+ $says_code}"
}
# Of the model slow, in the background; returns when its first bytes have come.
stream_begin() {
	rm -f "$tmp/stream"
	post "$key" slow 127.0.0.1 true >"$tmp/stream" &
	stream=$!
	wait_for_file "$tmp/stream" 30
}
add_model() { farebox model add "$1" --provider sandbox --upstream-name "$2" --input "$3" --output "$3" --max-output 4096 >/dev/null; }

mkdir -p "$tmp/home"
chmod 711 "$tmp/home"
farebox setup >/dev/null
start "$FAREBOX_LIBEXEC/farebox-sandbox" --port-file "$tmp/port"
wait_for_file "$tmp/port"
echo x | farebox provider add sandbox --style openai --base-url "http://127.0.0.1:$(cat "$tmp/port")/v1" --key-file - >/dev/null
has "provider test" "reached, and the key is good" "$(farebox provider test sandbox)"
add_model sandbox-chat sandbox-chat 1
add_model other/chat:1 sandbox-chat 1
add_model slow sandbox-tick-200-20 1
farebox account create a >/dev/null
farebox credit a 10 >/dev/null
farebox start >/dev/null

new_key a
says "a key" 200 "$key"
says "a model whose name has marks" 200 "$key" other/chat:1
farebox account close a >/dev/null
says "a closed account" "403 account_closed" "$key"
farebox account reopen a >/dev/null
says "a reopened account" 200 "$key"
farebox key revoke "$id" >/dev/null
says "a revoked key" "401 key_revoked" "$key"

new_key a --models 'sandbox-*,none-*'
says "--models: one of them" 200 "$key"
says "--models: another" "403 model_not_allowed" "$key" other/chat:1
farebox key set "$id" --models 'other/*' >/dev/null
says "key set --models: counts at once" "403 model_not_allowed" "$key"
says "key set --models: the other way round" 200 "$key" other/chat:1
new_key a --ip '10.1.0.0/16,2001:db8::/32'
says "--ip: within" 200 "$key" sandbox-chat 10.1.255.9
says "--ip: within, the other version" 200 "$key" sandbox-chat 2001:db8::9
says "--ip: outside" "403 ip_not_allowed" "$key" sandbox-chat 10.2.0.1
farebox key set "$id" --ip "" >/dev/null
says "key set --ip: lifted" 200 "$key" sandbox-chat 10.2.0.1
new_key a --expires 1h
says "--expires: before" 200 "$key"
farebox key set "$id" --expires 2020-01-01T00:00:00Z >/dev/null
says "--expires: after" "401 key_expired" "$key"

new_key a
old=$key
farebox key rotate "$id" --grace 1h --json >"$tmp/record"
says "rotate --grace: the new key" 200 "$(field key <"$tmp/record")"
says "rotate --grace: the old one, meanwhile" 200 "$old"
new_key a
old=$key
farebox key rotate "$id" --json >"$tmp/record"
says "rotate: the new key" 200 "$(field key <"$tmp/record")"
says "rotate: the old one" "401 key_revoked" "$old"
farebox key import a --sha256 "$(printf 'sk-legacy key' | sha256sum | cut -d ' ' -f 1)" >/dev/null
says "an imported key" 200 "sk-legacy key"

# A price is fixed when a call is let in: 1 token of input and 20 of output at 1, then at 3 dollars a million.
new_key a
stream_begin
add_model slow sandbox-tick-200-20 3
post "$key" slow 127.0.0.1 true >"$tmp/stream2"
wait $stream
settled() { farebox ledger a --json | grep '"model": *"slow"' >"$tmp/entries"; [ "$(wc -l <"$tmp/entries")" -eq 2 ]; }
check "a new price while a call runs: both are in the ledger" wait_until 10 settled
versions=$(field price_version <"$tmp/entries" | sort -u | wc -l)
is "a new price while a call runs: two versions" 2 "$versions"
first=$(sort -t: -k1 "$tmp/entries" | field amount | tr -d .- | sed 's/^0*//' | sort -n | tr '\n' ' ')
is "a new price while a call runs: three times the old one" 3 "$(echo "$first" | awk '$1 > 0 {print $2 / $1}')"
stream_begin
farebox model remove slow >/dev/null
says "a removed model" "404 model_unknown" "$key" slow
wait $stream
has "a removed model: a call that runs goes on" "[DONE]" "$(cat "$tmp/stream")"
add_model slow sandbox-chat 1
says "a model that is offered again" 200 "$key" slow

# A call is put right by an entry that names it.
call_id=$(head -n 1 "$tmp/entries" | field call_id)
farebox account create b >/dev/null
before=$(farebox balance a --json | field available)
is "credit --corrects" "correction $call_id 0.250000000" "$(farebox credit a 0.25 --corrects "$call_id" --ref put-right --json >"$tmp/record"; echo "$(field kind <"$tmp/record") $(field corrects <"$tmp/record") $(field amount <"$tmp/record")")"
farebox credit a 0.25 --corrects "$call_id" --ref put-right >"$tmp/record" 2>&1
is "debit --corrects" "correction -0.250000000" "$(farebox debit a 0.25 --corrects "$call_id" --json >"$tmp/record"; echo "$(field kind <"$tmp/record") $(field amount <"$tmp/record")")"
is "--corrects, with its --ref once: the balance" "$before" "$(farebox balance a --json | field available)"
rc=0
farebox credit b 1 --corrects "$call_id" >"$tmp/record" 2>&1 || rc=$?
is "--corrects of another account's call is refused" "1 farebox: the call to correct is not in this account's ledger" "$rc $(cat "$tmp/record")"

no_holds() { [ "$(farebox status --json | sed 's/.*"catalogue"//' | field holds)" = 0 ]; }
check "no hold is left" wait_until 10 no_holds
check "the books add up" farebox verify
farebox stop >/dev/null
finish
