#!/bin/sh
# farebox doctor finds nothing wrong with an instance mounted as `farebox mount` says, in each server; leaves nothing behind; and nobody else gets what it probes for.
# What it finds in broken ones is shown by tests/show/18-doctor. Run from the build folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC2034 # instance.sh looks at it
test_user=nobody
# shellcheck source-path=SCRIPTDIR source=instance.sh
. "$here/instance.sh"
unset FAREBOX_URL
# shellcheck source-path=SCRIPTDIR source=servers.sh
. "$here/servers.sh"

# doctor NAME WANTED-STATUS ARGUMENT...: what is wrong, a line each, in $tmp/wrong
doctor() {
	doctor_name=$1 doctor_wanted=$2 doctor_rc=0
	shift 2
	farebox doctor --json "$@" >"$tmp/found" 2>"$tmp/words" || doctor_rc=$?
	is "$doctor_name: exit status" "$doctor_wanted" "$doctor_rc"
	[ "$doctor_rc" -eq "$doctor_wanted" ] || sed 's/^/# /' "$tmp/found"
	is "$doctor_name: nothing on stderr" "" "$(cat "$tmp/words")"
	is "$doctor_name: a line for each finding" "" "$(grep -vE '^\{"check": "[a-z_.-]*", "level": "(ok|note|wrong)", "finding": ".*", "remedy": (null|".*")\}$' "$tmp/found" || :)"
	grep '"level": "wrong"' "$tmp/found" >"$tmp/wrong" || :
}
level_of() { sed -n "s/^{\"check\": \"$1\", \"level\": \"\\([a-z]*\\)\".*/\\1/p" "$tmp/found" | sort -u; }

# nginx's settings in several files, as nginx -T prints them: what stands after an include counts too; an upstream; words in quotes; a location that is none of ours.
cat >"$tmp/dump" <<'END'
# configuration file /e/nginx.conf:
events { worker_connections 9000; } # } none
http { include sites/*; fastcgi_read_timeout 1h; fastcgi_buffer_size 32k; large_client_header_buffers 4 32k;
  upstream fare { server unix:/x/farebox.sock; }
  upstream other { server unix:/y/farebox.sock; } }
# configuration file /e/sites/a:
server { listen 8081; server_name api.example.com other; set $x "a;b}{c"; include /e/mount; }
server { listen 127.0.0.1:8082; location /v1 { fastcgi_pass fare; fastcgi_param A b; fastcgi_param FAREBOX_PREFIX /ai; fastcgi_read_timeout 5m; client_max_body_size 0; } }
server { listen 8083; location / { fastcgi_pass other; } }
# configuration file /e/mount:
location ~ ^/v1 { fastcgi_pass unix:/x/farebox.sock; client_max_body_size 64m; }
END
is "nginx's settings, read" "mount nginx /e/mount|listen http 8081|host api.example.com|mount nginx /e/sites/a|listen http 127.0.0.1:8082|prefix /ai|fault timeout wrong" \
	"$(awk -v socket=/x/farebox.sock -v need_s=300 -v body=33554432 -v header=16384 -v calls=4096 -v cpus=2 -v main=/e/nginx.conf -f "$here/../../bin/doctor-nginx.awk" "$tmp/dump" |
		cut -f 1-3 | tr '\t\n' ' |' | sed 's/|$//')"

rc=0
farebox doctor --url nonsense >"$tmp/none" 2>&1 || rc=$?
is "misuse" 2 $rc
doctor "no instance" 1
has "no instance: the remedy" "farebox setup" "$(cat "$tmp/wrong")"
farebox setup >/dev/null
start "$FAREBOX_LIBEXEC/farebox-sandbox" --port-file "$tmp/port"
wait_for_file "$tmp/port"
echo sk-doctors-test | farebox provider add sandbox --style openai --base-url "http://127.0.0.1:$(cat "$tmp/port")/v1" --key-file - >/dev/null
farebox account create a >/dev/null
farebox credit a 1 >/dev/null
farebox start >/dev/null
seal=$(farebox ledger --all --json | tail -n 1)

# shellcheck disable=SC2317 # wait_until calls it by name
keeper_gone() { ! kill -0 "$(head -n 1 "$tmp/home/run/keeper.pid" 2>/dev/null)" 2>/dev/null; }
serves() { # MOUNT
	web_start "$1"
	web=$started
	doctor "$1" 0
	is "$1: nothing is wrong" "" "$(cat "$tmp/wrong")"
	for check in reach auth refusal stream body header; do
		is "$1: $check" ok "$(level_of mount.$check)"
	done
	stop "$web" || :
	[ "$1" != lighttpd-bin-path ] || wait_until 30 keeper_gone # which that server had started
}
for server in nginx lighttpd apache; do serves $server; done
is "the key of a provider is not told" "" "$(farebox doctor | grep sk-doctors || :)"

# Its probes: with a word of ours, which nobody has left a file for, and with one whose file is old.
post() { printf '{}' | "$(pwd)/tests/live/farebox-fcgi" "$tmp/home/run/farebox.sock" REQUEST_METHOD=POST REQUEST_URI=/v1/chat/completions CONTENT_TYPE=application/json CONTENT_LENGTH=2 REMOTE_ADDR=127.0.0.1 "$@"; }
word=0123456789abcdef0123456789abcdef
file=$tmp/home/run/probe.$(printf %s $word | sha256sum | cut -d ' ' -f 1)
has "a probe of a stranger" key_missing "$(post "HTTP_FAREBOX_PROBE=refusal $word")"
: >"$file"
has "a probe of doctor's" balance_too_low "$(post "HTTP_FAREBOX_PROBE=refusal $word")"
has "a probe of a kind there is not" key_missing "$(post "HTTP_FAREBOX_PROBE=else $word")"
touch -d '-11 minutes' "$file"
has "a probe whose file was left behind" key_missing "$(post "HTTP_FAREBOX_PROBE=refusal $word")"
rm "$file"
: >"$tmp/home/run/probe.$(printf '' | sha256sum | cut -d ' ' -f 1)"
has "a probe without a word" key_missing "$(post "HTTP_FAREBOX_PROBE=refusal ")"
rm "$tmp/home/run"/probe.*

farebox stop >/dev/null
is "the samples of refusals are no calls of the log" "" "$(farebox log | grep balance_too_low || :)"
doctor "stopped" 1
has "stopped: says so" '"check": "gateway"' "$(cat "$tmp/wrong")"
is "stopped: no bank was started" "" "$("$FAREBOX_LIBEXEC/farebox-ctl" bank status)"
for server in lighttpd-bin-path lighttpd-cgi apache-cgi; do serves $server; done
is "the ledger is as it was" "$seal" "$(farebox ledger --all --json | tail -n 1)"
is "no file is left behind" "" "$(find "$tmp/home/run" -name 'probe*')"
farebox stop >/dev/null
finish
