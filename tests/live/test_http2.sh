#!/bin/sh
# HTTP/2 upstream: nginx with TLS in front of the sandbox. Many calls over few connections; a caller who does not read beside streams that go on; servers that go away, gracefully
# and not; certificates and versions that are not good; providers that speak HTTP/1.1. Every call answered, none delivered twice, the books exact. All as one unprivileged
# user. Run from the build folder.
# shellcheck disable=SC2317 # functions that check and wait_until call by name
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC2034 # instance.sh looks at it
test_user=nobody
# shellcheck source-path=SCRIPTDIR source=instance.sh
. "$here/instance.sh"
unset http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY CURL_CA_BUNDLE SSL_CERT_FILE
# shellcheck source-path=SCRIPTDIR source=servers.sh
. "$here/servers.sh"
load=$(pwd)/tests/live/farebox-load

live() { curl -q -s "$sandbox/sandbox/live" | field live; }
live_is() { [ "$(live)" -eq "$1" ]; }
live_least() { [ "$(live)" -ge "$1" ]; }
holds_are() { [ "$(farebox status --json | field holds | head -n 1)" -eq "$1" ]; }

# ---- The servers in front of the sandbox

certificate() { # CA NAME: for 127.0.0.1
	[ -e "$tmp/$1.pem" ] || openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj "/CN=$1" -keyout "$tmp/$1.key" -out "$tmp/$1.pem" 2>"$tmp/none"
	printf 'subjectAltName=IP:127.0.0.1\n' >"$tmp/names"
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$2" -keyout "$tmp/$2.key" -out "$tmp/$2.csr" 2>"$tmp/none"
	openssl x509 -req -in "$tmp/$2.csr" -CA "$tmp/$1.pem" -CAkey "$tmp/$1.key" -CAcreateserial -days 30 -extfile "$tmp/names" -out "$tmp/$2.pem" 2>"$tmp/none"
}

upstream_server() { # PORT CERTIFICATE LISTEN-WORDS SETTINGS
	printf 'server { listen 127.0.0.1:%s ssl %s; ssl_certificate %s/%s.pem; ssl_certificate_key %s/%s.key; %s\n' "$1" "$3" "$tmp" "$2" "$tmp" "$2" "$4"
	printf 'location / { proxy_pass %s; proxy_http_version 1.1; proxy_buffering off; proxy_next_upstream off; client_max_body_size 64m; } }\n' "$sandbox"
}

upstream_settings() {
	printf 'daemon off; worker_processes 1; pid %s/upstream.pid; error_log stderr; events { worker_connections 4000; }\nhttp {\n' "$tmp"
	# shellcheck disable=SC2016 # nginx' own variables
	printf 'log_format seen "$server_port $connection $server_protocol $status $http_farebox_call_id"; access_log %s/seen seen;\n' "$tmp"
	echo 'ssl_protocols TLSv1.2 TLSv1.3;'
	for what in client_body fastcgi proxy uwsgi scgi; do printf '%s_temp_path %s/up_%s;\n' $what "$tmp" $what; done
	upstream_server "$p_h2" good http2 ""
	upstream_server "$p_away" good http2 "keepalive_requests 20;"
	upstream_server "$p_h1" good "" ""
	upstream_server "$p_other" bad http2 ""
	upstream_server "$p_old" good http2 "ssl_protocols TLSv1.2;"
	echo '}'
}

upstream_up() { curl -q -s -o "$tmp/none" -m 2 --cacert "$tmp/ca.pem" "https://127.0.0.1:$p_h1/"; }
upstream_up_or_gone() { upstream_up || ! kill -0 "$started" 2>/dev/null; }
upstream_start() {
	for up_try in 1 2 3 4 5; do
		p_h2=$(awk -v s="$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')" -v t=$up_try 'BEGIN {print 20000 + (s + t) % 10000}')
		p_away=$((p_h2 + 1)) p_h1=$((p_h2 + 2)) p_other=$((p_h2 + 3)) p_old=$((p_h2 + 4))
		upstream_settings >"$tmp/upstream.conf"
		start /usr/sbin/nginx -e stderr -p "$tmp/" -c "$tmp/upstream.conf"
		upstream=$started
		wait_until 5 upstream_up_or_gone
		! upstream_up || return 0
	done
	not_ok "nginx with TLS starts" "$(cat "$tmp"/log.* | tail -n 5)"
	finish
}
seen() { awk -v p="$1" '$1 == p && $5 != "-"' "$tmp/seen"; }
connections() { seen "$1" | awk '{print $2}' | sort -u | wc -l; }
versions() { seen "$1" | awk '{print $3}' | sort -u | tr '\n' ' ' | sed 's/ $//'; }

# ---- The calls

calls_of() { # OUT NUMBER AT-ONCE MODEL [ARGUMENT...]
	calls_out=$1
	calls_number=$2
	calls_at_once=$3
	calls_model=$4
	shift 4
	"$load" --url "http://127.0.0.1:$port" --keys "$tmp/key" --calls "$calls_number" --connections "$calls_at_once" --model "$calls_model" --stream-model "$calls_model" \
		--stream-every 2 --timeout 120 --out "$calls_out" "$@" >"$tmp/load" 2>&1
}
statuses() { awk '{print $3}' "$1" | sort | uniq -c | awk '{printf "%s%s x %s", sep, $1, $2; sep = ", "}'; }
ask() { # MODEL: status, with the answer and its head in files; the call's id in $id
	status=$(curl -q -s -m 60 -o "$tmp/answer" -D "$tmp/head" -w '%{http_code}' "http://127.0.0.1:$port/v1/chat/completions" -H "Authorization: Bearer $(cat "$tmp/key")" \
		-H 'Content-Type: application/json' -d "{\"model\":\"$1\",\"messages\":[{\"role\":\"user\",\"content\":\"hello there\"}]}") || status="curl $?"
	id=$(tr -d '\r' <"$tmp/head" | sed -n 's/^farebox-call-id: //Ip')
}
entry_there() { farebox ledger a --json | grep "$id" >"$tmp/entry"; }
entry() { # NAME ENDING AMOUNT: of the call that ask made
	wait_until 10 entry_there || : >"$tmp/entry"
	is "$1: ending and charge" "$2 $3" "$(field ending <"$tmp/entry") $(field amount <"$tmp/entry" | tr -d -)"
}
books() {
	check "$1: no hold left" wait_until 30 no_holds
	farebox ledger a --json | grep '"kind": *"call"' | field call_id | sort >"$tmp/entries"
	curl -q -s "$sandbox/sandbox/calls" >"$tmp/calls"
	field call_id <"$tmp/calls" | grep -v '^local-' | sort >"$tmp/delivered"
	is "$1: no call has two entries" "" "$(uniq -d "$tmp/entries" | head -n 3)"
	is "$1: no delivered call is without one" "" "$(comm -13 "$tmp/entries" "$tmp/delivered" | head -n 3)"
	is "$1: none of $(wc -l <"$tmp/delivered") was delivered twice" "" "$(grep -v '"deliveries": *[01][,}]' "$tmp/calls" | head -n 3)"
	check "$1: verify" farebox verify
}

certificate ca good
certificate other bad
mkdir -p "$tmp/home"
# More slots than a part of this test has calls: they stay taken until a settlement is on the disk, however slow that is.
printf '{"workers": 1, "slots": 4096, "ca_file": "%s/ca.pem", "idle_timeout_ms": 600000}\n' "$tmp" >"$tmp/home/farebox.json"
farebox setup >/dev/null
start "$FAREBOX_LIBEXEC/farebox-sandbox" --port-file "$tmp/port"
wait_for_file "$tmp/port"
sandbox=http://127.0.0.1:$(cat "$tmp/port")
upstream_start
for provider in "h2 $p_h2" "away $p_away" "h1 $p_h1" "other $p_other" "old $p_old"; do
	echo x | farebox provider add "${provider% *}" --style openai --base-url "https://127.0.0.1:${provider#* }/v1" --key-file - >/dev/null
	farebox model add "${provider% *}" --provider "${provider% *}" --upstream-name sandbox-chat --input 0.15 --output 0.60 --max-output 4096 >/dev/null
done
for model in tick-100-30 big-60000000 slow-60000; do
	farebox model add $model --provider h2 --upstream-name sandbox-$model --input 0.15 --output 0.60 --max-output 16000000 >/dev/null
done
farebox account create a >/dev/null
farebox credit a 1000 >/dev/null
farebox key create a 2>/dev/null >"$tmp/key"
farebox start >/dev/null
web_start nginx

# ---- Many over few
ask h2
is "a call" 200 "$status"
is "by HTTP/2" "HTTP/2.0" "$(versions "$p_h2")"
{
	printf '{"model":"h2","max_tokens":20,"messages":[{"role":"user","content":"'
	head -c 5000000 /dev/zero | tr '\0' x
	printf '"}]}'
} >"$tmp/large"
is "a body of 5 MB" 200 "$(curl -q -s -m 60 -o "$tmp/answer" -w '%{http_code}' "http://127.0.0.1:$port/v1/chat/completions" -H "Authorization: Bearer $(cat "$tmp/key")" \
	-H 'Content-Type: application/json' --data-binary "@$tmp/large")"
calls_of "$tmp/out" 600 60 h2 || :
is "600 calls, 60 at a time" "600 x 200" "$(statuses "$tmp/out")"
is "every stream whole" 300 "$(awk '$5 == 1 && $6 == 1' "$tmp/out" | wc -l)"
is "over HTTP/2 alone" "HTTP/2.0" "$(versions "$p_h2")"
is "over one connection" 1 "$(connections "$p_h2")"
books "many"

# ---- One who does not read, and 50 who do
mkfifo "$tmp/unread"
start sh -c "exec curl -q -sN -m 300 -o '$tmp/unread' 'http://127.0.0.1:$port/v1/chat/completions' -H 'Authorization: Bearer $(cat "$tmp/key")' \
	-H 'Content-Type: application/json' -d '{\"model\":\"big-60000000\",\"stream\":true,\"max_tokens\":16000000,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}'"
stalled=$started
exec 9<>"$tmp/unread" # both ends: opened, and not read
check "the answer to one who does not read begins" wait_until 20 live_is 1
calls_of "$tmp/out" 50 50 tick-100-30 --stream-every 1 || :
is "50 streams beside it" "50 x 200" "$(statuses "$tmp/out")"
is "all whole" 50 "$(awk '$6 == 1' "$tmp/out" | wc -l)"
calls_of "$tmp/out" 200 20 h2 || :
is "200 calls beside it" "200 x 200" "$(statuses "$tmp/out")"
is "over the one connection" 1 "$(connections "$p_h2")"
check "it still stands" wait_until 20 holds_are 1
check "so it does at its client" kill -0 $stalled
memory=$(awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$(pgrep -f "farebox.fcgi --worker" -P "$(head -n 1 "$tmp/home/run/keeper.pid")")/status")
check "what waits for it is bounded ($memory MiB in the worker, of 75 MB to come)" test "$memory" -lt 160
cat <&9 >"$tmp/whole" &
reader=$!
rc=0
wait $stalled || rc=$?
exec 9<&-
sleep 0.2
kill $reader 2>/dev/null || :
is "read at last: it ends well" 0 $rc
is "and is whole" "data: [DONE]" "$(grep . "$tmp/whole" | tail -n 1)"
books "stalled"
rm -f "$tmp/whole"

# ---- Servers that go away
calls_of "$tmp/out" 400 40 away || :
is "a server that goes away after each 20 calls: 400 answered" "400 x 200" "$(statuses "$tmp/out")"
books "going away"
: >"$tmp/out"
calls_of "$tmp/out" 2000 40 h2 &
calls=$!
reloads=0
while kill -0 $calls 2>/dev/null && [ $reloads -lt 8 ]; do
	sleep 0.3
	kill -HUP "$upstream"
	reloads=$((reloads + 1))
done
wait $calls || :
is "nginx reloaded $reloads times meanwhile: 2000 answered" "2000 x 200" "$(statuses "$tmp/out")"
books "reloads"

# ---- A server that dies: what it may have processed is not sent again
: >"$tmp/out"
calls_of "$tmp/out" 20 20 slow-60000 &
calls=$!
check "20 calls wait" wait_until 20 live_is 20
pkill -KILL -P "$upstream"
wait $calls || :
is "nginx' workers killed: refused" "20 x 502" "$(statuses "$tmp/out")"
books "killed"
awk '{print $4}' "$tmp/out" | sort >"$tmp/refused"
is "killed: charged nothing" "20 0.000000000" "$(farebox ledger a --json | grep -F -f "$tmp/refused" | field amount | sort | uniq -c | awk '{print $1, $2}')"
check "nginx has new workers" wait_until 10 upstream_up
ask h2
is "the next call" 200 "$status"

# ---- What is not good, and what is old
ask other
is "a certificate of another authority" 502 "$status"
has "its code" '"upstream_failed"' "$(cat "$tmp/answer")"
has "its reason" "no trusted TLS connection" "$(cat "$tmp/answer")"
entry "certificate" upstream_error 0.000000000
is "certificate: never delivered" "" "$(curl -q -s "$sandbox/sandbox/calls" | grep "$id" || :)"
has "provider test: the same" "certificate" "$(farebox provider test other 2>&1 || :)"
is "provider test: one whose authority is in ca_file" "h2: reached, and the key is good" "$(farebox provider test h2 2>&1 || :)"
calls_of "$tmp/out" 100 20 h1 || :
is "a provider without HTTP/2" "100 x 200" "$(statuses "$tmp/out")"
is "by HTTP/1.1" "HTTP/1.1" "$(versions "$p_h1")"
ask old
is "TLS 1.2" 200 "$status"
printf '{"workers": 1, "ca_file": "%s/ca.pem", "tls_min_version": "1.3", "upstream_http": "1.1"}\n' "$tmp" >"$tmp/home/farebox.json"
farebox reload >/dev/null
old_refused() {
	ask old
	[ "$status" = 502 ]
}
check "tls_min_version 1.3: TLS 1.2 is refused" wait_until 20 old_refused
has "its reason" "no trusted TLS connection" "$(cat "$tmp/answer")"
old_spoken() { # an older worker may have taken one more
	: >"$tmp/seen"
	ask h2
	[ "$status $(versions "$p_h2")" = "200 HTTP/1.1" ]
}
check "upstream_http 1.1: HTTP/1.1" wait_until 20 old_spoken
books "all"
finish
