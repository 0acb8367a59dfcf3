#!/bin/sh
# The keeper: one per home, workers that die come back, the bank too; reload and stop drain, stop --now does not; bad settings change nothing; who may what.
# Run from the build folder.
# shellcheck disable=SC2317 # functions that check and wait_until call by name
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=instance.sh
. "$here/instance.sh"

settings() { printf '%s\n' "$1" >"$tmp/home/farebox.json"; }
keeper() { head -n 1 "$tmp/home/run/keeper.pid"; }
workers() { pgrep -P "$(keeper)" -f farebox.fcgi || :; }
workers_n() { workers | wc -l; }
has_workers() { [ "$(workers_n)" -eq "$1" ]; }
lives() { kill -0 "$1" 2>/dev/null && ! grep -q "^State:.*Z" "/proc/$1/status"; } # a zombie is gone, whoever is to wait for it
ended() { ! lives "$1"; }
bank() { farebox status --json | field bank_pid; }
connected() { [ "$(farebox status --json | grep -o '"connected": *true' | wc -l)" -eq "$1" ]; }
key() { cat "$tmp/key"; }
# call CURL-ARGUMENT...: a request straight to the FastCGI socket would need a web server; the one of quickstart's mount is enough.
call() { curl -q -s -m 60 "http://127.0.0.1:$port/v1/chat/completions" -H "Authorization: Bearer $(key)" -H 'Content-Type: application/json' "$@"; }
ask() { printf '{"model":"%s","stream":true,"messages":[{"role":"user","content":"hello"}]}' "$1"; }
code() { call -o "$tmp/answer" -w '%{http_code}' -d "$(ask sandbox-chat)"; }

# In the background, its process in $stream; returns when its first bytes have come. The file of the one before would look like them.
stream_begin() { # MODEL
	rm -f "$tmp/stream"
	call -N -d "$(ask "$1")" >"$tmp/stream" &
	stream=$!
	wait_for_file "$tmp/stream" 30
}

web_start() { # lighttpd on a free port of 127.0.0.1
	user=$(stat -c %U "$tmp/home")
	[ "$user" != root ] || user=nobody
	while :; do
		port=$(awk -v s="$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')" 'BEGIN {print 20000 + s % 10000}')
		{
			printf 'server.bind = "127.0.0.1"\nserver.port = %s\nserver.document-root = "%s"\n' "$port" "$tmp/home"
			[ "$(id -u)" -ne 0 ] || printf 'server.username = "%s"\nserver.groupname = "%s"\n' "$user" "$(id -gn "$user")"
			farebox mount lighttpd
		} >"$tmp/lighttpd.conf"
		start /usr/sbin/lighttpd -D -f "$tmp/lighttpd.conf"
		wait_until 5 web_up_or_gone
		! web_up || return 0
	done
}
web_up() { lives "$started" && curl -q -s -o "$tmp/none" -m 2 "http://127.0.0.1:$port/"; }
web_up_or_gone() { web_up || ! lives "$started"; }

mkdir -p "$tmp/home"
chmod 711 "$tmp/home"
settings '{"workers": 2, "drain_s": 30}'
farebox setup >/dev/null
start "$FAREBOX_LIBEXEC/farebox-sandbox" --port-file "$tmp/port"
wait_for_file "$tmp/port"
echo x | farebox provider add sandbox --style openai --base-url "http://127.0.0.1:$(cat "$tmp/port")/v1" --key-file - >/dev/null
for model in sandbox-chat sandbox-tick-200-20 sandbox-tick-200-300; do
	farebox model add $model --provider sandbox --input 0.15 --output 0.60 --max-output 4096 >/dev/null
done
farebox account create a >/dev/null
farebox credit a 10 >/dev/null
farebox key create a 2>/dev/null >"$tmp/key"
farebox start >"$tmp/started"
web_start
check "two workers" has_workers 2
is "a call" 200 "$(code)"

rc=0
"$FAREBOX_LIBEXEC/farebox.fcgi" --own 2>"$tmp/second" || rc=$?
is "a second keeper is refused" 1 "$rc"
has "a second keeper: says why" "a keeper runs already" "$(cat "$tmp/second")"
is "a second keeper takes nothing away" 200 "$(code)"

if [ "$(id -u)" -eq 0 ]; then
	for pid in $(workers); do
		check "worker $pid is not root" test "$(stat -c %u "/proc/$pid")" -ne 0
	done
	is "isolation" uid "$(farebox status --json | field isolation)"
	pid=$(workers | head -n 1)
	check "a worker's user cannot look into the store" test "$(setpriv --reuid nobody --regid nogroup --clear-groups ls "$tmp/home/store" 2>/dev/null | wc -l)" -eq 0
	is "a worker may not ask the bank's admin socket" "" "$(find "$tmp/home/run/admin.sock" -perm /077)"
else
	case $(farebox status --json | field isolation) in landlock | none) ok "isolation of one user" ;; *) not_ok "isolation of one user" ;; esac
fi
for pid in $(workers); do
	check "worker $pid has no new privileges" grep -q '^NoNewPrivs:.*1$' "/proc/$pid/status"
	is "worker $pid does not have the store open" "" "$(find "/proc/$pid/fd" -lname "$tmp/home/store*" 2>/dev/null)"
done

victim=$(workers | head -n 1)
other=$(workers | tail -n 1)
kill -KILL "$victim"
wait_until 10 ended "$victim" || :
check "a killed worker comes back" wait_until 10 has_workers 2
check "the other one is the same" lives "$other"
is "a call after it" 200 "$(code)"
check "both are connected" wait_until 10 connected 2

old=$(bank)
kill -KILL "$old"
bank_anew() { [ -n "$(pgrep -f "farebox-bank.*$tmp/home" || :)" ] && ! lives "$old"; }
check "a killed bank comes back without a command" wait_until 20 bank_anew
is "a call after it" 200 "$(code)"

before=$(workers | sort)
settings '{"workers": 3, "drain_s": 30}'
stream_begin sandbox-tick-200-20
farebox reload >/dev/null
is "a call during reload" 200 "$(code)"
none_of_before() { for pid in $before; do ! lives "$pid" || return 1; done; }
check "reload: the old workers end" wait_until 30 none_of_before
check "reload: the new settings hold" wait_until 10 has_workers 3
rc=0
wait $stream || rc=$?
is "reload: the running stream was not cut" "0 1" "$rc $(grep -c '\[DONE\]' "$tmp/stream")"

# What goes from one program to the next does not pile up.
descriptors() { find "/proc/$(keeper)/fd" -type l | wc -l; }
descriptors_are() { [ "$(descriptors)" -eq "$1" ]; }
reloads() { grep -c "keeper.*reload: farebox" "$tmp/home/farebox.log"; }
reloaded() { [ "$(reloads)" -gt "$1" ]; }
had=$(descriptors)
for _ in 1 2 3; do
	before=$(workers | sort) count=$(reloads)
	farebox reload >/dev/null
	check "reload again" wait_until 20 reloaded "$count"
	check "reload again: the old workers end" wait_until 30 none_of_before
done
check "after reloads the keeper has as many descriptors as before ($had)" wait_until 10 descriptors_are "$had"
is "after reloads: a call" 200 "$(code)"

before=$(workers | sort)
settings '{"workers": 0}'
rc=0
farebox reload 2>"$tmp/refused" || rc=$?
is "bad settings: reload refuses" "1 yes" "$rc $(grep -q 'workers must be' "$tmp/refused" && echo yes)"
kill -HUP "$(keeper)"
check "bad settings: said in the log" wait_until 10 grep -q "reload refused.*workers must be" "$tmp/home/farebox.log"
is "bad settings: the same workers" "$before" "$(workers | sort)"
is "bad settings: a call" 200 "$(code)"
kill -KILL "$(workers | head -n 1)"
check "bad settings: a restarted worker has the old ones" wait_until 10 has_workers 3
settings '{"workers": 2, "drain_s": 30}'

stream_begin sandbox-tick-200-20
farebox stop >"$tmp/stopped" &
stopping=$!
draining() { farebox status --json | grep -q '"state":"draining".*"state":"draining"'; }
check "stop: status tells that keeper and workers drain" wait_until 10 draining
rc=0
wait $stream || rc=$?
is "stop drains: the running stream was not cut" "0 1" "$rc $(grep -c '\[DONE\]' "$tmp/stream")"
wait $stopping
is "stop: nothing is left" "" "$(pgrep -f "farebox.*$tmp/home" || :)"
is "stop: no hold is left" 0 "$(farebox status --json | field holds)"

farebox start >/dev/null
stream_begin sandbox-tick-200-300
farebox stop --now >/dev/null
wait $stream || :
is "stop --now: the stream is cut" 0 "$(grep -c '\[DONE\]' "$tmp/stream" || :)"
is "stop --now: nothing is left" "" "$(pgrep -f "farebox.*$tmp/home" || :)"
no_holds() { [ "$(farebox status --json | field holds)" = 0 ]; }
check "stop --now: the call is settled from its meter" wait_until 10 no_holds
has "stop --now: its ending" worker_died "$(farebox ledger a --json | tail -n 1 | field ending)"
check "the books add up" farebox verify

# Started again while the one before still drains.
farebox start >/dev/null
stream_begin sandbox-tick-200-20
farebox stop >"$tmp/stopped" 2>&1 &
stopping=$!
check "start during a stop: the first drains" wait_until 10 draining
farebox start >"$tmp/started"
has "start during a stop: another one runs" running "$(cat "$tmp/started")"
is "start during a stop: a call" 200 "$(code)"
rc=0
wait $stream || rc=$?
is "start during a stop: the running stream was not cut" "0 1" "$rc $(grep -c '\[DONE\]' "$tmp/stream")"
rc=0
wait $stopping || rc=$?
is "start during a stop: the stop is done" 0 $rc
has "start during a stop: and says so" "another was started (keeper $(keeper))" "$(cat "$tmp/stopped")"
is "start during a stop: the second one stays" 200 "$(code)"
farebox stop >/dev/null
check "the books add up" farebox verify

# Time to drain is bounded.
settings '{"workers": 1, "drain_s": 1}'
farebox start >/dev/null
stream_begin sandbox-tick-200-300
farebox stop >/dev/null
wait $stream || :
is "after drain_s the worker is ended" 0 "$(grep -c '\[DONE\]' "$tmp/stream" || :)"

# Deaths in a row: the pause grows, and it still comes back.
settings '{"workers": 1}'
farebox start >/dev/null
i=0
while [ $i -lt 4 ]; do
	check "death $i: it comes back" wait_until 15 has_workers 1
	workers | xargs -r kill -KILL
	i=$((i + 1))
done
check "after deaths in a row it comes back" wait_until 15 has_workers 1
is "and serves" 200 "$(code)"
farebox stop --now >/dev/null
finish
