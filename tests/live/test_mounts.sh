#!/bin/sh
# What `farebox mount` prints, in real web servers: the same list of tests for each of nginx, lighttpd, lighttpd that starts farebox itself, Apache, and both as CGI; at the
# end a table of what passed. All as one unprivileged user. Run from the build folder.
# shellcheck disable=SC2317 # functions that check and wait_until call by name
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC2034 # instance.sh looks at it
test_user=nobody
# shellcheck source-path=SCRIPTDIR source=instance.sh
. "$here/instance.sh"

# shellcheck source-path=SCRIPTDIR source=servers.sh
. "$here/servers.sh"

keeper() { head -n 1 "$tmp/home/run/keeper.pid"; }
ask() { printf '{"model":"%s","stream":%s,"messages":[{"role":"user","content":"hello"}]}' "${2:-sandbox-chat}" "$1"; }
call() { curl -q -s -m 60 "http://127.0.0.1:$port$prefix/v1/chat/completions" -H "Authorization: Bearer $(cat "$tmp/key")" -H 'Content-Type: application/json' "$@"; }
# mark: the next cell of this server's row, by what has failed since the last one.
mark() {
	if [ "$tests_failed" -eq "$failed_before" ]; then row="$row pass"; else row="$row FAIL"; fi
	failed_before=$tests_failed
}

status_of() { call -o "$tmp/answer" -w '%{http_code}' "$@"; }
lines_more() { [ "$(grep -c '^data: ' "$tmp/stream")" -gt "$1" ]; }
live_is() { curl -q -s "$sandbox/sandbox/live" | grep -q "\"live\": *$1[,}]"; }
last_entry() { farebox ledger a --json | tail -n 1 >"$tmp/entry" && grep -q '"kind": *"call"' "$tmp/entry" && grep -q "$1" "$tmp/entry"; }

refuses() { # NAME
	is "$1: no key" 401 "$(curl -q -s -m 30 -o "$tmp/answer" -w '%{http_code}' "http://127.0.0.1:$port$prefix/v1/chat/completions" -H 'Content-Type: application/json' -d "$(ask false)")"
	has "$1: no key: says so" '"key_missing"' "$(cat "$tmp/answer")"
	mark
	is "$1: no money" 402 "$(curl -q -s -m 30 -o "$tmp/answer" -w '%{http_code}' "http://127.0.0.1:$port$prefix/v1/chat/completions" \
		-H "x-api-key: $(cat "$tmp/poor")" -H 'Content-Type: application/json' -d "$(ask false)")"
	has "$1: no money: what is missing" '"shortfall": "0.00' "$(cat "$tmp/answer")"
	mark
}

answers() { # NAME
	is "$1: a call" 200 "$(status_of -d "$(ask false)")"
	has "$1: with its cost" '"cost":' "$(cat "$tmp/answer")"
	is "$1: healthz" 200 "$(curl -q -s -o "$tmp/answer" -w '%{http_code}' "http://127.0.0.1:$port$prefix/healthz")"
	is "$1: a path with %2F in it is ours" 404 "$(curl -q -s -o "$tmp/answer" -w '%{http_code}' -H "Authorization: Bearer $(cat "$tmp/key")" "http://127.0.0.1:$port$prefix/v1/models/a%2Fb")"
	has "$1: a path with %2F in it: says so" model_unknown "$(cat "$tmp/answer")"
	for path in /ai/healthz /ai/v1/models; do
		is "$1: mounted at /ai too: $path" 200 "$(curl -q -s -o "$tmp/answer" -w '%{http_code}' -H "Authorization: Bearer $(cat "$tmp/key")" "http://127.0.0.1:$port$path")"
	done
	is "$1: mounted at /ai: a call" 200 "$(curl -q -s -m 60 -o "$tmp/answer" -w '%{http_code}' -H "Authorization: Bearer $(cat "$tmp/key")" -H 'Content-Type: application/json' \
		-d "$(ask false)" "http://127.0.0.1:$port/ai/v1/chat/completions")"
	# A caller's header is no setting of ours: a wrong one changes nothing at either place.
	for path in /healthz /ai/healthz; do
		is "$1: $path: a caller's header sets no prefix" 200 "$(curl -q -s -o "$tmp/answer" -w '%{http_code}' -H 'Farebox-Prefix: /x' -H 'FAREBOX_PREFIX: /x' "http://127.0.0.1:$port$path")"
	done
	is "$1: other paths are the web server's" 404 "$(curl -q -s -o "$tmp/answer" -w '%{http_code}' "http://127.0.0.1:$port/other")"
	mark
}

# A stream that runs for two minutes: what comes of it comes while it runs upstream. Then its caller leaves.
streams() { # NAME
	is "$1: a stream" 1 "$(call -N -d "$(ask true)" | grep -c '\[DONE\]')"
	: >"$tmp/stream"
	# shellcheck disable=SC2016 # for the inner shell
	start sh -c 'exec curl -q -s -N "$1" -H "Authorization: Bearer $(cat "$2")" -H "Content-Type: application/json" -d "$3" >"$4"' - \
		"http://127.0.0.1:$port$prefix/v1/chat/completions" "$tmp/key" "$(ask true sandbox-tick-200-600)" "$tmp/stream"
	caller=$started
	check "$1: its first chunk comes" wait_until 20 lines_more 1
	check "$1: the next ones after it" wait_until 20 lines_more "$(($(grep -c '^data: ' "$tmp/stream") + 3))"
	check "$1: while it runs upstream" live_is 1
	mark
	stop "$caller" || :
	check "$1: the caller leaves: the upstream's work ends" wait_until 20 live_is 0
	check "$1: the caller leaves: the ledger says so" wait_until 20 last_entry client_gone
	mark
}

bodies() { # NAME
	is "$1: a body of 20 MiB" 200 "$(status_of --data-binary "@$tmp/large")"
	is "$1: a body of 20 MiB, no key" 401 "$(curl -q -s -m 60 -o "$tmp/answer" -w '%{http_code}' "http://127.0.0.1:$port$prefix/v1/chat/completions" \
		-H 'Content-Type: application/json' -H 'Expect:' --data-binary "@$tmp/large")"
	is "$1: a body above the limit gets our answer" 413 "$(status_of --data-binary "@$tmp/big")"
	has "$1: a body above the limit: says so" body_too_large "$(cat "$tmp/answer")"
	is "$1: a body of unknown length" 200 "$(status_of -H 'Transfer-Encoding: chunked' -d "$(ask false)")"
	mark
}

# 16 KiB for one request header is our limit (Apache's a little less); endless ones of the upstream end with us.
headers() { # NAME
	is "$1: three headers of 12,000 bytes" 200 "$(status_of -H "X-A: $(cat "$tmp/x12000")" -H "X-B: $(cat "$tmp/x12000")" -H "X-C: $(cat "$tmp/x12000")" -d "$(ask false)")"
	is "$1: a header above the limit is refused" 400 "$(status_of -H "X-A: $(cat "$tmp/x12000")$(cat "$tmp/x12000")" -d "$(ask false)")"
	# Apache's own limit is below ours: the answer is its own.
	[ "$1" = apache ] || has "$1: a header above the limit: says so" 'The header x-a' "$(cat "$tmp/answer")"
	is "$1: endless headers of the upstream" 502 "$(status_of -d "$(ask false sandbox-headers)")"
	has "$1: endless headers of the upstream: says so" upstream_failed "$(cat "$tmp/answer")"
	mark
}

serves() { # NAME
	row=
	failed_before=$tests_failed
	refuses "$1"
	answers "$1"
	streams "$1"
	bodies "$1"
	headers "$1"
	# shellcheck disable=SC2086 # a word each
	printf '%-18s %5s %5s %5s %15s %8s %12s %14s\n' "$1" $row >>"$tmp/table"
}

prefix=
# What the web servers say counts, not this.
mkdir "$tmp/home"
echo '{"prefix": "/set"}' >"$tmp/home/farebox.json"
farebox setup >/dev/null
start "$FAREBOX_LIBEXEC/farebox-sandbox" --port-file "$tmp/port"
wait_for_file "$tmp/port"
sandbox=http://127.0.0.1:$(cat "$tmp/port")
echo x | farebox provider add sandbox --style openai --base-url "$sandbox/v1" --key-file - >/dev/null
for model in chat tick-200-600 headers; do farebox model add sandbox-$model --provider sandbox --input 0.15 --output 0.60 --max-output 4096 >/dev/null; done
farebox account create a >/dev/null
farebox credit a 1000 >/dev/null
farebox key create a 2>/dev/null >"$tmp/key"
farebox account create poor >/dev/null
farebox key create poor 2>/dev/null >"$tmp/poor"
head -c 34000000 /dev/zero >"$tmp/big"
{ printf '{"model":"sandbox-chat","messages":[{"role":"user","content":"'; head -c 20971520 /dev/zero | tr '\0' x; printf '"}]}'; } >"$tmp/large"
head -c 12000 /dev/zero | tr '\0' x >"$tmp/x12000"
printf '%-18s %5s %5s %5s %15s %8s %12s %14s\n' server 401 402 200 'chunk by chunk' hang-up '20 MiB body' 'header limits' >"$tmp/table"

farebox start >/dev/null
case $(farebox status --json | field isolation) in landlock | none) ok "isolation of one user" ;; *) not_ok "isolation of one user" ;; esac
for server in nginx lighttpd apache; do
	web_start $server
	web=$started
	serves $server
	stop "$web" || :
done
farebox stop >/dev/null

web_start lighttpd-bin-path
web=$started
serves lighttpd-bin-path
is "lighttpd-bin-path: status tells lighttpd's socket" "$tmp/home/run/lighttpd.sock" "$(farebox status --json | field fastcgi_socket | sed 's/-[0-9]*$//')"
is "lighttpd-bin-path: one keeper, two workers" 2 "$(pgrep -P "$(keeper)" -f farebox.fcgi | wc -l)"
old=$(keeper)
kill -USR1 "$web"
another_keeper() { [ "$(keeper)" != "$old" ] && [ "$(farebox status --json | sed 's/"workers".*//' | field state)" = running ]; }
check "lighttpd-bin-path: a restart brings another keeper" wait_until 20 another_keeper
is "lighttpd-bin-path: which serves" 200 "$(call -o "$tmp/answer" -w '%{http_code}' -d "$(ask false)")"
stop "$web" || :
keeper_gone() { [ "$(farebox status --json | sed 's/"workers".*//' | field state)" = stopped ]; }
check "lighttpd-bin-path: its keeper leaves with it" wait_until 20 keeper_gone

# As CGI, with no keeper, and at first no bank.
farebox stop >/dev/null
for server in lighttpd-cgi apache-cgi; do
	web_start $server
	web=$started
	serves $server
	stop "$web" || :
done
check "the books add up" farebox verify
farebox stop >/dev/null
cat "$tmp/table"
finish
