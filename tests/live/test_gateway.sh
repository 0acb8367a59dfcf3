#!/bin/sh
# The whole way of a call, with a real bank, keeper and workers, under lighttpd and nginx: what passes, what is refused, what each end of a call is called and costs,
# callers who leave, a web server that dies. Run from the build folder.
# shellcheck disable=SC2317 # functions that check and wait_until call by name
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=instance.sh
. "$here/instance.sh"
export tmp
fcgi=$(pwd)/tests/live/farebox-fcgi
load=$(pwd)/tests/live/farebox-load
socket=$tmp/home/run/farebox.sock

free_port() { awk -v s="$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')" 'BEGIN {print 20000 + s % 10000}'; }
web_up() { kill -0 "$started" 2>/dev/null && curl -q -s -o "$tmp/none" -m 2 "http://127.0.0.1:$1/"; }

web_start() { # lighttpd | nginx: on a free port, which is then in $web_port; its process in $started
	user=$(stat -c %U "$tmp/home")
	[ "$user" != root ] || user=nobody
	for _ in 1 2 3 4 5; do
		web_port=$(free_port)
		if [ "$1" = lighttpd ]; then
			{
				printf 'server.bind = "127.0.0.1"\nserver.port = %s\nserver.document-root = "%s"\nserver.max-request-field-size = 65536\nserver.max-fds = 4096\n' "$web_port" "$tmp/none.d"
				[ "$(id -u)" -ne 0 ] || printf 'server.username = "%s"\nserver.groupname = "%s"\n' "$user" "$(id -gn "$user")"
				farebox mount lighttpd
			} >"$tmp/lighttpd.conf"
			start /usr/sbin/lighttpd -D -f "$tmp/lighttpd.conf"
		else
			mkdir -p "$tmp/nginx"
			{
				[ "$(id -u)" -ne 0 ] || printf 'user %s %s;\n' "$user" "$(id -gn "$user")"
				printf 'daemon off; worker_processes 1; pid %s/pid; error_log %s/error.log;\nevents { worker_connections 2000; }\nhttp { access_log off;\n' "$tmp/nginx" "$tmp/nginx"
				for kind in client_body fastcgi proxy uwsgi scgi; do printf '%s_temp_path %s/%s;\n' $kind "$tmp/nginx" $kind; done
				printf 'server { listen 127.0.0.1:%s;\n' "$web_port"
				farebox mount nginx
				printf '} }\n'
			} >"$tmp/nginx.conf"
			start /usr/sbin/nginx -p "$tmp/nginx" -c "$tmp/nginx.conf"
		fi
		! wait_until 3 web_up "$web_port" || return 0
	done
	not_ok "$1 does not start" "$(cat "$tmp/log.$tests_logs")"
	finish
}

# post PATH BODY [CURL-ARGUMENT...]: status in $status; answer and its head in files
post() {
	post_path=$1
	post_body=$2
	shift 2
	status=$(curl -q -s -m 60 -o "$tmp/answer" -D "$tmp/head" -w '%{http_code}' "http://127.0.0.1:$web_port/v1/$post_path" -H "Authorization: Bearer $key" \
		-H 'Content-Type: application/json' -d "$post_body" "$@") || status="curl $?"
}
header() { tr -d '\r' <"$tmp/head" | sed -n "s/^$1: //Ip"; }
ask() { printf '{"model":"%s","stream":%s,"max_tokens":40,"messages":[{"role":"user","content":"hello there"}]}' "$1" "$2"; }
entry_there() { farebox ledger a --json | grep "$1" >"$tmp/entry"; }
entry() { # NAME ENDING [AMOUNT]: of the call that post made
	id=$(header farebox-call-id)
	wait_until 10 entry_there "$id" || : >"$tmp/entry"
	is "$1: ending" "$2" "$(field ending <"$tmp/entry")"
	[ $# -lt 3 ] || is "$1: charge" "$3" "$(field amount <"$tmp/entry" | tr -d -)"
}

mkdir -p "$tmp/home" "$tmp/none.d"
chmod 711 "$tmp/home"
printf '{"workers": 2, "slots": 40, "first_byte_timeout_ms": 1500, "client_gone_ms": 500, "body_rate_bytes": 1000000}\n' >"$tmp/home/farebox.json"
farebox setup >/dev/null
start "$FAREBOX_LIBEXEC/farebox-sandbox" --port-file "$tmp/port"
wait_for_file "$tmp/port"
sandbox=http://127.0.0.1:$(cat "$tmp/port")
echo x | farebox provider add sandbox --style openai --base-url "$sandbox/v1" --key-file - >/dev/null
for model in chat embed tick-100-600 big-3000000 reset garbage headers badjson badkey unpaid accel cut-5 close-reuse nousage streamerror-3 error-429 slow-600000; do
	farebox model add sandbox-$model --provider sandbox --input 0.15 --output 0.60 --max-output 4096 >/dev/null
done
farebox model add unasked --provider sandbox --upstream-name sandbox-chat --input 0.15 --output 0.60 --max-output 4096 --no-stream-options >/dev/null
farebox account create a >/dev/null
farebox credit a 10 >/dev/null
key=$(farebox key create a 2>/dev/null)
farebox start >/dev/null

# A body that comes too slowly takes a while to be refused: begun now, looked at below.
head -c 400000 /dev/zero | tr '\0' ' ' >"$tmp/spaces"
# shellcheck disable=SC2016 # for the inner shell
start sh -c 'FCGI_BODY_PAUSE_MS=300 exec "$0" "$@" <"$tmp/spaces"' "$fcgi" "$socket" REQUEST_METHOD=POST REQUEST_URI=/v1/chat/completions "HTTP_AUTHORIZATION=Bearer $key"
slow=$started
slow_log=$tmp/log.$tests_logs

# More of them than doormen stand there from the start: another request is served all the same.
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	# shellcheck disable=SC2016 # for the inner shell
	start sh -c 'FCGI_BODY_PAUSE_MS=300 exec "$0" "$@" <"$tmp/spaces"' "$fcgi" "$socket" REQUEST_METHOD=POST REQUEST_URI=/v1/chat/completions "HTTP_AUTHORIZATION=Bearer $key"
done
sleep 1
has "while 20 bodies trickle in, others are served" "Status: 200" "$("$fcgi" "$socket" REQUEST_METHOD=GET REQUEST_URI=/healthz </dev/null | head -n 1)"

for server in lighttpd nginx; do
	web_start $server
	web=$started

	post chat/completions "$(ask sandbox-chat false)"
	is "$server: chat" 200 "$status"
	cost=$(header farebox-cost)
	is "$server: usage.cost is the same figure" "$cost" "$(field cost <"$tmp/answer" | awk '{printf "%.9f", $1}')"
	is "$server: x-request-id" "$(header farebox-call-id)" "$(header x-request-id)"
	entry "$server: chat" complete "$cost"

	post chat/completions "$(ask sandbox-chat true)" -N
	is "$server: stream" 200 "$status"
	is "$server: its type" "text/event-stream" "$(header content-type | sed 's/;.*//')"
	is "$server: its end" "data: [DONE]" "$(grep . "$tmp/answer" | tail -n 1)"
	entry "$server: stream" complete "$cost"

	post completions '{"model":"sandbox-chat","prompt":"hello there","max_tokens":5}'
	is "$server: completions" 200 "$status"
	post embeddings '{"model":"sandbox-embed","input":["hello","there"]}'
	is "$server: embeddings" 200 "$status"
	entry "$server: embeddings" complete

	status=$(curl -q -s -o "$tmp/answer" -w '%{http_code}' "http://127.0.0.1:$web_port/v1/models" -H "Authorization: Bearer $key")
	is "$server: models" "200 18" "$status $(grep -o '"object": *"model"' "$tmp/answer" | wc -l)"
	status=$(curl -q -s -o "$tmp/answer" -w '%{http_code}' "http://127.0.0.1:$web_port/v1/models/sandbox-chat" -H "x-api-key: $key")
	is "$server: one model" "200 sandbox-chat" "$status $(field id <"$tmp/answer")"
	status=$(curl -q -s -o "$tmp/answer" -w '%{http_code}' "http://127.0.0.1:$web_port/v1/models/none" -H "Authorization: Bearer $key")
	is "$server: an unknown model" "404 model_unknown" "$status $(field code <"$tmp/answer")"
	status=$(curl -q -s -o "$tmp/answer" -w '%{http_code}' "http://127.0.0.1:$web_port/v1/models")
	is "$server: models need a key" "401 key_missing" "$status $(field code <"$tmp/answer")"
	is "$server: healthz needs none" 200 "$(curl -q -s -o "$tmp/answer" -w '%{http_code}' "http://127.0.0.1:$web_port/healthz")"

	for line in "reset 502 upstream_error" "garbage 502 upstream_error" "headers 502 upstream_error" "badjson 502 upstream_error" "badkey 502 upstream_error" \
		"unpaid 502 upstream_error" "error-429 429 upstream_error" "slow-600000 504 timeout"; do
		# shellcheck disable=SC2086
		set -- $line
		post chat/completions "$(ask "sandbox-$1" false)"
		is "$server: $1" "$2" "$status"
		entry "$server: $1" "$3" 0.000000000
	done
	post chat/completions "$(ask sandbox-accel false)"
	is "$server: no redirect of the upstream's passes" "200 " "$status $(grep -iE '^(x-accel-redirect|x-sendfile|set-cookie|location)' "$tmp/head" || :)"
	post chat/completions "$(ask sandbox-cut-5 true)"
	has "$server: a cut stream says so" upstream_failed "$(cat "$tmp/answer")"
	entry "$server: a cut stream" truncated
	post chat/completions "$(ask sandbox-streamerror-3 true)"
	entry "$server: an error in a stream" stream_error
	post chat/completions "$(ask sandbox-nousage true)"
	entry "$server: no usage reported" complete
	has "$server: no usage reported: estimated" estimated "$(cat "$tmp/entry")"
	post chat/completions "$(ask unasked true)"
	entry "$server: usage not asked for" complete
	has "$server: usage not asked for: estimated" estimated "$(cat "$tmp/entry")"

	post chat/completions "$(ask sandbox-tick-100-600 true)" -N -m 1
	is "$server: the caller leaves" "curl 28" "$status"
	entry "$server: the caller leaves" client_gone
	gone_upstream() { curl -q -s "$sandbox/sandbox/calls" | grep "$id" | grep -q client_gone; }
	check "$server: and the upstream's work ends" wait_until 10 gone_upstream

	# The web server dies while streams run and bytes lie unread: nobody spins.
	for _ in 1 2 3 4 5; do
		start curl -q -s -N "http://127.0.0.1:$web_port/v1/chat/completions" -H "Authorization: Bearer $key" -H 'Content-Type: application/json' -d "$(ask sandbox-tick-100-600 true)"
		stream_log=$tmp/log.$tests_logs
	done
	wait_for_file "$stream_log"
	if [ $server = nginx ]; then pkill -KILL -P "$web" || :; fi
	kill -KILL "$web"
	check "$server killed: every call ends" wait_until 20 no_holds
	ticks() { pgrep -P "$(head -n 1 "$tmp/home/run/keeper.pid")" | while read -r pid; do cut -d' ' -f14,15 "/proc/$pid/stat"; done | awk '{n += $1 + $2} END {print n}'; }
	before=$(ticks)
	sleep 2
	check "$server killed: no thread spins" test $(($(ticks) - before)) -lt 50
done

check "a body that comes too slowly ends" wait_until 30 test -s "$slow_log"
wait_until 10 grep -q body_timeout "$slow_log" || :
has "a body that comes too slowly" "Status: 408" "$(head -n 1 "$slow_log")"
wait "$slow" || :

# Slots run out, and come back.
web_start lighttpd
printf '%s\n' "$key" >"$tmp/keys"
"$load" --url "http://127.0.0.1:$web_port" --keys "$tmp/keys" --calls 120 --connections 120 --stream-every 1 --model sandbox-tick-100-600 --max-tokens 30 --out "$tmp/load" >"$tmp/load.sum" || :
has "more calls than slots: 503" overloaded "$(cut -d' ' -f9 "$tmp/load" | sort | uniq -c)"
is "and nothing but that" "" "$(cut -d' ' -f3 "$tmp/load" | grep -vE '^(200|503)$' || :)"
"$load" --url "http://127.0.0.1:$web_port" --keys "$tmp/keys" --calls 400 --connections 16 --stream-every 2 --model sandbox-chat --max-tokens 30 >"$tmp/load.sum"
has "400 calls after it: none breaks" "http_402 0 http_other" "$(cat "$tmp/load.sum")"
has "400 calls after it: none is cut" "broken 0" "$(cat "$tmp/load.sum")"
check "no hold is left" wait_until 20 no_holds
post chat/completions "$(ask sandbox-chat true)"
is "the slots are free again" 200 "$status"
check "no hold is left after it" wait_until 20 no_holds
is "credits - charges = balance" "$(farebox balance a --json | field balance; farebox balance a --json | field available)" "$(
	farebox ledger a --json | field amount | awk '{n += $1 * 1000000000} END {printf "%.9f", n / 1000000000}')"
# The log of calls: a line for each entry, told alike; moved away, it is begun anew.
farebox ledger --all --json | grep '"kind": *"call"' | sed 's/.*"call_id": *"\([^"]*\)".*"amount": *"-\{0,1\}\([^"]*\)".*/\1 \2/' | sort >"$tmp/entries"
logged() { farebox log | grep -v '"ending":null' | sed 's/.*"call_id":"\([^"]*\)".*"cost":"\([^"]*\)".*/\1 \2/' | sort >"$tmp/logged"; cmp -s "$tmp/entries" "$tmp/logged"; }
check "the log of calls is the ledger's" wait_until 10 logged
diff "$tmp/entries" "$tmp/logged" | head -n 5 || :
has "and has what was refused" '"status":404,"code":"model_unknown","ending":null' "$(farebox log)"
is "each line has all" 0 "$(farebox log | grep -vc '^{"time":"[^"]*","call_id":"[^"]*","account_id":[0-9nul]*,"key_id":[0-9nul]*,"model":.*,"status":[0-9nul]*,"code":.*,"ending":.*,"usage":.*,"cost":.*,"ms":[0-9]*}$' || :)"
is "and no key" 0 "$(farebox log | grep -c "$key\|fb_" || :)"
mv "$tmp/home/log/calls.log" "$tmp/moved"
sleep 1.1
post chat/completions "$(ask sandbox-chat true)"
check "moved away, it is begun anew" wait_until 10 test -s "$tmp/home/log/calls.log"
mv "$tmp/home/log" "$tmp/home/log.moved"
sleep 1.1
for _ in 1 2 3; do post chat/completions "$(ask sandbox-chat true)"; done
is "with no folder for it calls go on" 200 "$status"
alarms() { [ "$(grep -c 'alarm: the log of calls' "$tmp/home/farebox.log")" = 1 ]; }
check "with one alarm" wait_until 10 alarms
farebox reload >/dev/null
resumed() { post chat/completions "$(ask sandbox-chat true)"; grep -q 'written again; [3-9][0-9]* lines were lost' "$tmp/home/farebox.log"; }
check "after a reload it is there again, and it says what is lost" wait_until 20 resumed
check "with one alarm only" alarms
check "no hold is left, again" wait_until 20 no_holds
# An account's defaults hold for keys and calls that say nothing.
farebox account create d --default-models 'sandbox-c*,other' --default-ip 127.0.0.0/8,::1 --default-max-tokens 33 >/dev/null
farebox credit d 1 >/dev/null
first_key=$key
key=$(farebox key create d 2>/dev/null)
post chat/completions '{"model":"sandbox-chat","messages":[{"role":"user","content":"hello there"}]}'
is "an account's default bound" "200 33" "$status $(header farebox-max-tokens)"
post embeddings '{"model":"sandbox-embed","input":"hello"}'
is "a model beyond its defaults" "403 model_not_allowed" "$status $(field code <"$tmp/answer")"
farebox account set d --default-models '' --default-ip 192.0.2.0/24 >/dev/null
post embeddings '{"model":"sandbox-embed","input":"hello"}'
is "an address beyond its defaults" "403 ip_not_allowed" "$status $(field code <"$tmp/answer")"
key=$(farebox key create d --ip 127.0.0.1 2>/dev/null)
post embeddings '{"model":"sandbox-embed","input":"hello"}'
is "a key's own word goes before them" 200 "$status"
key=$first_key
check "no hold is left, once more" wait_until 20 no_holds
for by in account key model day; do
	is "usage --by $by: the ledger's" "$(farebox ledger --all --json | grep '"kind": *"call"' | field amount | awk '{n -= $1 * 1000000000} END {printf "%d calls, %.0f", NR, n}')" "$(
		farebox usage --by $by --json | sed 's/.*"calls": \([0-9]*\).*"cost": "\([0-9.]*\)".*/\1 \2/' | awk '{c += $1; n += $2 * 1000000000} END {printf "%d calls, %.0f", c, n}')"
done
check "verify" farebox verify
is "delivered once each" "" "$(curl -q -s "$sandbox/sandbox/calls" | grep -v '"deliveries": *1,' || :)"
finish
