#!/bin/sh
# Every command of bin/farebox: what it prints with --json and for people, its exit status, and that it works while no gateway runs.
# Run from the build folder.
# shellcheck disable=SC2317 # functions that check and wait_until call by name
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=instance.sh
. "$here/instance.sh"

# run COMMAND...: its exit status in $rc, its output in $out, its complaint in $err
run() {
	rc=0
	out=$(farebox "$@" 2>"$tmp/err") || rc=$?
	err=$(cat "$tmp/err")
}
fails() { # NAME STATUS PART COMMAND...
	fails_name=$1 fails_rc=$2 fails_part=$3
	shift 3
	run "$@"
	is "$fails_name: exit status" "$fails_rc" "$rc"
	has "$fails_name: says why" "$fails_part" "$err"
	is "$fails_name: nothing on stdout" "" "$out"
}
json() { # NAME RECORDS MEMBER...: each line of $out has all members
	json_name=$1 json_count=$2
	shift 2
	is "$json_name: exit status" 0 "$rc"
	is "$json_name: records" "$json_count" "$(printf '%s' "$out" | grep -c '^{.*}$' || :)"
	for json_member in "$@"; do
		is "$json_name: $json_member in each" "$json_count" "$(printf '%s' "$out" | grep -c "\"$json_member\": *" || :)"
	done
}

fails "no home" 1 "$FAREBOX_HOME" start
run setup
is "setup" 0 "$rc"
run setup
is "setup again is harmless" 0 "$rc"
is "the store is private" 700 "$(stat -c %a "$tmp/home/store")"

run account create alice --credit-limit 0.5 --json
json "account create" 1 name id state balance available pending credits debits credit_limit currency
is "credit limit" 0.500000000 "$(printf '%s' "$out" | field credit_limit)"
run account create bob
is "account create, for people: a title and a row" 2 "$(printf '%s\n' "$out" | wc -l)"
run account set bob --default-models 'm*' --default-max-tokens 100 --default-expires 90d --json
json "account set" 1 name default_models default_ip default_max_tokens default_expires_s
run account show bob
has "account show: its defaults, for people" "m*" "$out"
fails "account set of nothing" 2 "nothing to change" account set bob
fails "a default that no key has" 2 "not known here" account set bob --default-rpm 5
run account set bob --default-models '' --default-max-tokens 0 --default-expires 0s
is "defaults can be taken away" 0 "$rc"
fails "account there already" 1 alice account create alice
fails "no such account" 1 nobody-here account show nobody-here
for name in "a b" a/b a:b -x é "$(printf 'a\nb')" "" "$(printf '%0128d' 1)"; do
	fails "a name that is none ($name)" 2 "not a name" account create "$name"
done
fails "a name missing" 2 "NAME is missing" account create
run account list --json
json "account list" 2 name state balance
run account set alice --credit-limit 1 --json
is "account set" 1.000000000 "$(printf '%s' "$out" | field credit_limit)"
run account close bob --json
is "account close" closed "$(printf '%s' "$out" | field state)"
run account reopen bob --json
is "account reopen" open "$(printf '%s' "$out" | field state)"

run credit alice 5.000000001 --ref r1 --note "first money" --json
json "credit" 1 number kind amount balance time prev hash
is "credit: amount" 5.000000001 "$(printf '%s' "$out" | field amount)"
run credit alice 5.000000001 --ref r1
is "the same --ref again" 0 "$rc"
has "the same --ref again: says so" "already" "$err"
run balance alice --json
json "balance" 1 account available pending credits debits credit_limit currency
is "the same --ref once" 5.000000001 "$(printf '%s' "$out" | field credits)"
is "available has the credit limit in it" 6.000000001 "$(printf '%s' "$out" | field available)"
fails "credit of nothing" 2 AMOUNT credit alice 0
fails "credit below nothing" 2 AMOUNT credit alice -1
fails "ten decimals" 2 AMOUNT credit alice 0.0000000001
fails "debit beyond" 1 "alice has 6.000000001 available: a debit beyond that needs --force" debit alice 7
fails "debit beyond, with a ref" 1 "alice has 6.000000001 available" debit alice 7 --ref never-done
run debit alice 2 --json
is "debit: signed by its effect" -2.000000000 "$(printf '%s' "$out" | field amount)"
run debit alice 7 --force --json
is "debit --force" 0 "$rc"
is "debit --force: below zero" -3.999999999 "$(printf '%s' "$out" | field balance)"
for words in "debit alice 9223372036.854775807 --force" "credit alice 9223372036.854775807"; do
	# shellcheck disable=SC2086
	fails "$words" 1 "beyond what 64 bits hold" $words
done
run balance alice --json
is "and nothing has changed" "5.000000001 9.000000000" "$(printf '%s' "$out" | field credits) $(printf '%s' "$out" | field debits)"
run ledger alice --json
json "ledger" 3 number call_id kind amount balance model usage ending price_version time prev hash
is "ledger: kinds" "credit debit debit" "$(printf '%s\n' "$out" | field kind | tr '\n' ' ' | sed 's/ $//')"
is "ledger: each has the hash of the one before" "$(printf '%s\n' "$out" | sed -n 1p | field hash)" "$(printf '%s\n' "$out" | sed -n 2p | field prev)"
run ledger alice --since 2099-01-01T00:00:00Z --json
json "ledger --since" 0
run ledger --all --json
is "ledger --all: has seals" 0 "$rc"
has "ledger --all: kind seal" '"kind":"seal"' "$(printf '%s' "$out" | tr -d ' ')"
fails "ledger of nobody" 2 "NAME is missing" ledger

run key create alice --name laptop --expires 30d --models 'sandbox-*' --ip 127.0.0.0/8 --json
json "key create" 1 id key name models ip expires
key=$(printf '%s' "$out" | field key)
id=$(printf '%s' "$out" | field id)
case $key in fb_?????????????????????????????????????????????????) ok "key: its form" ;; *) not_ok "key: its form" "$key" ;; esac
run key create alice
is "key create, for people: the key alone" 1 "$(printf '%s\n' "$out" | grep -cx 'fb_[0-9A-Za-z]*')"
run key list alice --json
json "key list" 2 id name state created
is "key list: no key is told" 0 "$(printf '%s' "$out" | grep -c "fb_" || :)"
is "the store has no key" "" "$(grep -rl "$key" "$tmp/home" || :)"
run key set "$id" --models "" --expires never --json
is "key set: lifted" "" "$(printf '%s' "$out" | field models)"
is "key set: never" null "$(printf '%s' "$out" | field expires)"
run key rotate "$id" --grace 1h --json
json "key rotate" 1 id key
run key revoke "$id" --json
is "key revoke" revoked "$(printf '%s' "$out" | field state)"
run key import bob --sha256 "$(printf legacy-key | sha256sum | cut -d ' ' -f 1)" --json
json "key import" 1 id account
for flag in --rpm --tpm --concurrency; do
	fails "$flag is not enforced yet" 2 "not enforced yet" key create alice $flag 5
done
fails "--budget is not enforced yet" 2 "not enforced yet" key create alice --budget 5/day

rc=0
out=$(echo sk-secret | farebox provider add up --style openai --base-url http://127.0.0.1:9/v1 --key-file - --json) || rc=$?
json "provider add" 1 name style base_url key_file
is "a key on standard input is private" "" "$(find "$tmp/home/secrets" -name '*.key' -perm /027)"
run provider list --json
json "provider list" 1 name base_url
fails "another style" 2 "not built yet" provider add g --style gemini --base-url http://127.0.0.1:9
fails "provider test" 1 up: provider test up
is "provider test: in one line" 1 "$(printf '%s\n' "$err" | wc -l)"
fails "provider test of none" 1 "no provider" provider test nobody
run model add m1 --provider up --upstream-name m-real --input 0.15 --output 0.60 --cache-read 0.075 --max-output 1000 --context 8000 --bound-field max_tokens --json
json "model add" 1 name provider upstream input output cache_read max_output context bound_field price_version
run model add m2 --provider up --input 1 --output 0
is "model add, for people" 0 "$rc"
run model list --json
json "model list" 2 name input output
run model add m1 --provider up --input 0.20 --output 0.60 --json
is "a new price is a new version" 3 "$(printf '%s' "$out" | field price_version)"
run model show m1 --json
is "model show" 0.20 "$(printf '%s' "$out" | field input | sed 's/0*$//; s/\(\.[0-9]\)$/\10/')"
fails "model of no provider" 1 nowhere model add m3 --provider nowhere --input 1 --output 1
fails "model without a price" 2 "--input is missing" model add m3 --provider up
fails "provider in use" 1 up provider remove up
run model remove m1
is "model remove" 0 "$rc"
run model remove m2
run provider remove up
is "provider remove" 0 "$rc"

run calls --json
json "calls" 0
run calls --live --json
json "calls --live" 0
fails "why of no call" 1 "not among the calls that run" why 019f0000-0000-7000-8000-000000000000
fails "why of no id" 2 "not a call id" why yesterday
fails "why of nothing" 2 "CALL-ID" why
run log
is "log, before any call" "0 " "$rc $out"
fails "log of nothing" 1 "no instance" --home "$tmp/nowhere" log
fails "log with another word" 2 "--follow" log --colour
run usage --json
json "usage" 0
fails "usage by what is not kept" 2 "account, key, model or day" usage --by colour
run verify --json
json "verify" 1 ok entries seals holds entries_per_second first_fault
is "verify: ok" true "$(printf '%s' "$out" | field ok)"
is "verify: entries" 3 "$(printf '%s' "$out" | field entries)"
run status --json
json "status, nothing runs" 1 workers holds fastcgi_socket head_seal isolation
is "status: stopped" stopped "$(printf '%s' "$out" | field state)"
for server in nginx lighttpd lighttpd-bin-path lighttpd-cgi apache apache-cgi; do
	run mount $server
	is "mount $server" 0 "$rc"
	has "mount $server: this instance" "$tmp/home" "$out"
	is "mount $server: nothing left to fill in" "" "$(printf '%s' "$out" | grep '@[A-Z_]*@' || :)"
done
long=$tmp/$(printf '%0110d' 1)
run --home "$long" setup
is "a home with a long name" 0 "$rc"
fails "mount: a socket's path that web servers cannot use" 1 "107 bytes" mount nginx --home "$long"
printf '{"listen": "%s"}\n' "$tmp/short.sock" >"$long/farebox.json"
run mount nginx --home "$long"
has "mount: a shorter one" "$tmp/short.sock" "$out"
farebox stop --home "$long" >/dev/null
fails "an empty home" 2 "--home needs a folder" setup --home ""
fails "an empty home, before the command" 2 "--home needs a folder" --home "" setup
fails "a home that cannot be made" 1 "cannot make /dev/null" setup --home /dev/null
is "a home that cannot be made: one line" 1 "$(printf '%s\n' "$err" | wc -l)"
fails "mount of another" 2 iis mount iis
run backup "$tmp/backup" --json
json "backup" 1 dir entries accounts head_seal
is "backup: what is in it" 3 "$(printf '%s' "$out" | sed 's/.*"entries": \([0-9]*\), "accounts".*/\1/')"
is "backup: nothing but the store" store "$(ls "$tmp/backup")"
is "backup: private" 700 "$(stat -c %a "$tmp/backup")"
fails "backup into what is not empty" 1 "is not empty" backup "$tmp/backup"
fails "backup into nowhere" 1 "No such file" backup "$tmp/no/where"
fails "backup without a folder" 2 "DIR is missing" backup
fails "restore over a running bank" 1 "farebox stop" restore "$tmp/backup"
farebox stop >/dev/null
fails "restore over a store" 1 "there is a store already" restore "$tmp/backup"
fails "restore of nothing" 1 "no backup there" --home "$tmp/other" restore "$tmp/nothing"
check "restore of nothing makes no store" test ! -e "$tmp/other/store"
(cd "$tmp" && farebox --home other restore backup >"$tmp/restored") || not_ok "restore, by relative paths"
has "restore: says what is in it" "4 entries, 2 accounts; verified" "$(cat "$tmp/restored")"
run --home "$tmp/other" balance alice --json
is "restore: the balance" 5.000000001 "$(printf '%s' "$out" | field credits)"
run --home "$tmp/other" ledger --all --json
has "restore: the ledger says so" '"kind":"restored"' "$out"
is "restore: no outage" 0 "$(printf '%s' "$out" | grep -c '"kind":"outage"' || :)"
run status --json
epoch=$(printf '%s' "$out" | field epoch)
run --home "$tmp/other" status --json
check "restore: another epoch" test "$epoch" != "$(printf '%s' "$out" | field epoch)"
farebox --home "$tmp/other" stop >/dev/null
rm "$tmp/backup/store/seals.db"
find "$tmp/backup/store/log" -type f -exec truncate -s 0 {} +
fails "restore of a damaged backup" 1 "" --home "$tmp/third" restore "$tmp/backup"
check "restore of a damaged backup leaves no store" test ! -e "$tmp/third/store/meta.db"
check "and nothing of its work" test ! -e "$tmp/third/restoring"
fails "not built yet" 2 "not built yet" catalog
fails "no such command" 2 "no such command" frobnicate
fails "reload of nothing" 1 "not running" reload
for command in backup restore log setup start stop reload status verify mount account credit debit rerate balance ledger usage calls why key provider model; do
	run $command --help
	is "$command --help" 0 "$rc"
	has "$command --help: how" "farebox $command" "$out"
done

if [ "$(id -u)" -eq 0 ] && setpriv --reuid nobody --regid nogroup --clear-groups test -x "$FAREBOX_LIBEXEC/farebox-ctl" -a -x "$tmp/home"; then
	for words in "balance alice" "status" "verify" "start" "stop" "reload" "key list"; do
		rc=0
		# shellcheck disable=SC2086
		out=$(setpriv --reuid nobody --regid nogroup --clear-groups "$here/../../bin/farebox" $words 2>&1) || rc=$?
		is "another user's $words: one clear line" "1 farebox: $tmp/home belongs to another user: only they, or root, may do this" "$rc $out"
	done
fi
run start
is "start" 0 "$rc"
run start
is "start again is harmless" 0 "$rc"
has "start again: says so" "already running" "$out"
run status --json
is "status: running" running "$(printf '%s' "$out" | sed 's/"workers".*//' | field state)"
check "status: isolation" test "$(printf '%s' "$out" | field isolation)" != null
check "the FastCGI socket is there" test -S "$(printf '%s' "$out" | field fastcgi_socket)"
run balance alice --json
is "commands work while it runs" 5.000000001 "$(printf '%s' "$out" | field credits)"
run stop
is "stop" 0 "$rc"
is "nothing is left" "" "$(pgrep -f "$tmp/home" || :)"
run stop
is "stop again is harmless" 0 "$rc"
run balance alice --json
is "and commands still work" 0 "$rc"
run --home "$tmp/home" balance alice --json
is "--home before the command" 0 "$rc"
fails "a mistyped home" 1 "no instance there" balance alice --json --home "$tmp/nowhere"
check "a mistyped home is not made" test ! -e "$tmp/nowhere"
farebox stop >/dev/null
finish
