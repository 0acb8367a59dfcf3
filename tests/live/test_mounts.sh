#!/bin/sh
# What `farebox mount` prints, in real web servers: nginx, lighttpd, and lighttpd that starts farebox itself. All as one unprivileged user.
# Run from the build folder.
# shellcheck disable=SC2317 # functions that check and wait_until call by name
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# As root: once more as nobody, in a folder of nobody's.
if [ "$(id -u)" -eq 0 ]; then
	setpriv --reuid nobody --regid nogroup --clear-groups test -x "$0" -a -x "$(pwd)/fcgi/farebox-ctl" || {
		echo "user nobody cannot get at $(pwd)"
		exit 77
	}
	exec setpriv --reuid nobody --regid nogroup --clear-groups "$0" "$@"
fi
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$here/../lib.sh"
FAREBOX_LIBEXEC=$(pwd)/fcgi
FAREBOX_HOME=$tmp/home
export FAREBOX_LIBEXEC FAREBOX_HOME
trap 'farebox stop --now >/dev/null 2>&1 || :; tests_clean' EXIT

farebox() { "$here/../../bin/farebox" "$@"; }
field() { sed -n "s/.*\"$1\": *\"\\{0,1\\}\\([^\",}]*\\).*/\\1/p"; }
keeper() { head -n 1 "$tmp/home/run/keeper.pid"; }
ask() { printf '{"model":"sandbox-chat","stream":%s,"messages":[{"role":"user","content":"hello"}]}' "$1"; }
call() { curl -q -s -m 30 "http://127.0.0.1:$port$prefix/v1/chat/completions" -H "Authorization: Bearer $(cat "$tmp/key")" -H 'Content-Type: application/json' "$@"; }
web_up() { curl -q -s -o "$tmp/none" -m 2 "http://127.0.0.1:$port/"; }
web_up_or_gone() { web_up || ! kill -0 "$started" 2>/dev/null; }

settings_lighttpd() { # MOUNT
	printf 'server.bind = "127.0.0.1"\nserver.port = %s\nserver.document-root = "%s"\nserver.upload-dirs = ("%s")\nserver.max-request-field-size = 65536\n' "$port" "$tmp/home" "$tmp"
	farebox mount "$1"
}

settings_nginx() {
	printf 'daemon off; pid %s/nginx.pid; error_log stderr; events { }\nhttp { access_log off;\n' "$tmp"
	for what in client_body fastcgi proxy uwsgi scgi; do printf '%s_temp_path %s/%s;\n' $what "$tmp" $what; done
	printf 'server { listen 127.0.0.1:%s; large_client_header_buffers 4 32k;\n' "$port"
	farebox mount nginx
	echo '} }'
}

# web_start NAME: on a free port; another one when somebody else was faster.
web_start() {
	for web_try in 1 2 3 4 5; do
		port=$(awk -v s="$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')" -v t=$web_try 'BEGIN {print 20000 + (s + t) % 10000}')
		case $1 in
		nginx)
			settings_nginx >"$tmp/web.conf"
			start /usr/sbin/nginx -e stderr -p "$tmp/" -c "$tmp/web.conf"
			;;
		*)
			settings_lighttpd "$1" >"$tmp/web.conf"
			start /usr/sbin/lighttpd -D -f "$tmp/web.conf"
			;;
		esac
		wait_until 5 web_up_or_gone
		! kill -0 "$started" 2>/dev/null || ! web_up || return 0
	done
	not_ok "$1 starts" "$(cat "$tmp"/log.* | tail -n 5)"
	finish
}

serves() { # NAME
	is "$1: a call" 200 "$(call -o "$tmp/answer" -w '%{http_code}' -d "$(ask false)")"
	has "$1: with its cost" '"cost":' "$(cat "$tmp/answer")"
	is "$1: a stream" 1 "$(call -N -d "$(ask true)" | grep -c '\[DONE\]')"
	is "$1: healthz" 200 "$(curl -q -s -o "$tmp/answer" -w '%{http_code}' "http://127.0.0.1:$port$prefix/healthz")"
	is "$1: other paths are the web server's" 404 "$(curl -q -s -o "$tmp/answer" -w '%{http_code}' "http://127.0.0.1:$port/other")"
	head -c 34000000 /dev/zero >"$tmp/big"
	is "$1: a body above the limit gets our answer" 413 "$(call -o "$tmp/answer" -w '%{http_code}' --data-binary "@$tmp/big")"
	has "$1: a body above the limit: says so" body_too_large "$(cat "$tmp/answer")"
}

prefix=
farebox setup >/dev/null
start "$FAREBOX_LIBEXEC/farebox-sandbox" --port-file "$tmp/port"
wait_for_file "$tmp/port"
echo x | farebox provider add sandbox --style openai --base-url "http://127.0.0.1:$(cat "$tmp/port")/v1" --key-file - >/dev/null
farebox model add sandbox-chat --provider sandbox --input 0.15 --output 0.60 --max-output 4096 >/dev/null
farebox account create a >/dev/null
farebox credit a 10 >/dev/null
farebox key create a 2>/dev/null >"$tmp/key"

farebox start >/dev/null
case $(farebox status --json | field isolation) in landlock | none) ok "isolation of one user" ;; *) not_ok "isolation of one user" ;; esac
for server in nginx lighttpd; do
	web_start $server
	serves $server
	stop "$started" || :
done
farebox stop >/dev/null

web_start lighttpd-bin-path
serves lighttpd-bin-path
is "lighttpd-bin-path: status tells lighttpd's socket" "$tmp/home/run/lighttpd.sock" "$(farebox status --json | field fastcgi_socket | sed 's/-[0-9]*$//')"
is "lighttpd-bin-path: one keeper, two workers" 2 "$(pgrep -P "$(keeper)" -f farebox.fcgi | wc -l)"
old=$(keeper)
kill -USR1 "$started"
another_keeper() { [ "$(keeper)" != "$old" ] && [ "$(farebox status --json | sed 's/"workers".*//' | field state)" = running ]; }
check "lighttpd-bin-path: a restart brings another keeper" wait_until 20 another_keeper
is "lighttpd-bin-path: which serves" 200 "$(call -o "$tmp/answer" -w '%{http_code}' -d "$(ask false)")"
stop "$started" || :
keeper_gone() { [ "$(farebox status --json | sed 's/"workers".*//' | field state)" = stopped ]; }
check "lighttpd-bin-path: its keeper leaves with it" wait_until 20 keeper_gone
check "the books add up" farebox verify
farebox stop >/dev/null
finish
