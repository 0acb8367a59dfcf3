#!/bin/sh
# Every way a call can end that kills nobody: one word in its entry, one rule for its charge. A row: what is done; the ending; nano-dollars charged, of what the sandbox served.
# Needs --enable-faults, as its sister that kills; skipped otherwise.
# shellcheck disable=SC2154,SC2317 # from endings.sh; functions that are called by name
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=endings.sh
. "$here/endings.sh"

limits=', "first_byte_timeout_ms": 900, "idle_timeout_ms": 900'
endings_up "$limits, \"client_gone_ms\": 0" sandbox-chat sandbox-error-500 sandbox-garbage sandbox-reset sandbox-streamerror-0 sandbox-streamerror-5 sandbox-cut-0 sandbox-cut-5 sandbox-slow-500 \
	sandbox-slow-2000 sandbox-tick-80-16 sandbox-tick-200-16 sandbox-tick-2000-3 sandbox-nousage

ask sandbox-chat
row "complete, a stream" complete full
ask sandbox-chat false
row "complete, JSON" complete full
ask sandbox-nousage
row "complete, the provider says no usage: estimated" complete part
ask sandbox-error-500
row "upstream error before content" upstream_error free
ask sandbox-garbage
row "the upstream answers garbage" upstream_error free
ask sandbox-reset
row "the upstream resets the connection" upstream_error free
ask sandbox-streamerror-0
row "an error event before any content" upstream_error free
ask sandbox-streamerror-5
row "an error event mid-stream" stream_error part
ask sandbox-cut-5
row "a truncated stream" truncated part
ask sandbox-cut-5 false
row "a truncated JSON answer: nothing was relayed" upstream_error free

ask sandbox-slow-2000
row "time-out before the first byte" timeout free
ask sandbox-tick-2000-3
row "time-out mid-stream" timeout part

# The caller leaves. At the bound of 0 nothing more is read.
call sandbox-slow-500
wait_until 10 live_is sent || not_ok "it is sent"
leave
row "caller gone before the first byte, client_gone_ms 0" client_gone free
call sandbox-tick-200-16
wait_until 10 streams || not_ok "it streams"
leave
row "caller gone mid-stream, client_gone_ms 0: what was relayed" client_gone part
short=$row_amount

call sandbox-tick-200-16
wait_until 10 streams || not_ok "it streams"
for meter in "$tmp/home/run"/meter.*; do
	for slot in 0 1 2 3; do printf '\377' | dd of="$meter" bs=1 seek=$((128 + 128 * slot)) conv=notrunc 2>/dev/null; done
done
rc=0
farebox verify >"$tmp/verify" 2>&1 || rc=$?
has "verify names the hold whose meter has another call" "1 farebox: the hold of call $(farebox calls --live --json | field call_id) has no meter" "$rc $(cat "$tmp/verify")"
leave
row "its meter damaged" meter_damaged free

# As many as there are slots; one more is refused before there is a hold.
callers=
for _ in 1 2 3 4; do
	call sandbox-tick-80-16
	callers="$callers $caller"
done
four() { [ "$(farebox calls --live --json | wc -l)" -eq 4 ]; }
wait_until 10 four || not_ok "four calls run"
ask sandbox-chat
has "slots full: refused" '"overloaded"' "$(cat "$tmp/answer")"
for caller in $callers; do wait "$caller" || :; done
n=$((n + 3))
row "slots full: the four that ran" complete full

reload "$limits, \"client_gone_ms\": 10000, \"client_gone_bytes\": 65536"
call sandbox-slow-500
wait_until 10 live_is sent || not_ok "it is sent"
leave
row "caller gone before the first byte, bounds wide: the usage is read" client_gone full
call sandbox-tick-80-16
wait_until 10 streams || not_ok "it streams"
leave
row "caller gone mid-stream, bounds wide: the usage is read" client_gone full
check "which is more than what was relayed by then ($row_amount, $short)" test "$row_amount" -gt "$short"

reload "$limits, \"client_gone_ms\": 10000, \"client_gone_bytes\": 0"
call sandbox-tick-200-16
wait_until 10 streams || not_ok "it streams"
leave
row "caller gone mid-stream, client_gone_bytes 0: what was relayed" client_gone part
endings_end
