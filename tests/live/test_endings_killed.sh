#!/bin/sh
# Worker, bank and keeper killed at each step of a call: exactly one entry, at the price that its meter allows, and nothing is left behind. Rows as in test_endings.sh.
# Run from a build folder that was configured with --enable-faults; skipped otherwise.
# shellcheck disable=SC2154,SC2317 # from endings.sh; functions that are called by name
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=endings.sh
. "$here/endings.sh"

endings_up "" sandbox-chat sandbox-tick-80-16
ask sandbox-chat
row "undisturbed" complete full

strikes=0
# A worker that dies takes its call with it; the keeper has another one soon.
strike() { # POINTS MODEL
	[ $((strikes % 3)) -ne 2 ] || { # a keeper waits longer each time: another one has more patience
		farebox stop --now >/dev/null
		farebox start >/dev/null
		wait_until 20 connected || :
	}
	strikes=$((strikes + 1))
	old=$(worker)
	fault "$1"
	ask "$2"
	wait_until 20 worker_anew "$old" || not_ok "$1: another worker comes"
	fault ""
	wait_until 20 connected || :
}
strike worker_before_admit:kill sandbox-chat
no_row "worker killed before the hold"
strike worker_after_admit:kill sandbox-chat
row "worker killed after the hold" not_sent free
strike worker_before_sent:kill sandbox-chat
row "worker killed before it says sent" not_sent free
strike worker_after_sent:kill sandbox-chat
row "worker killed when it has said sent: nothing came" worker_died free
strike worker_mid_stream:kill@5 sandbox-tick-80-16
row "worker killed mid-stream: what had come" worker_died part
strike worker_before_settle:kill sandbox-chat
row "worker killed after the last byte: the provider's usage" worker_died full
strike worker_after_final:kill sandbox-chat
row "worker killed during settle, the bell not rung" complete full
strike worker_after_settle:kill sandbox-chat
row "worker killed during settle, the bell rung" complete full

# What kills a bank strikes once: the next one begins to count anew.
once() { : >"$tmp/once"; }
# A bank that dies is started again by the worker, which says again what was not answered: the caller sees nothing of it.
bank_strike() { # NAME POINT
	once
	fault "$2:kill=$tmp/once@*"
	ask sandbox-chat
	has "$2: the caller has its answer" '[DONE]' "$(cat "$tmp/answer")"
	row "$1" complete full
	fault ""
	check "$2: it was struck" test ! -e "$tmp/once"
	wait_until 20 connected || :
}
bank_strike "bank killed before the hold is written" bank_before_hold
bank_strike "bank killed after the hold is written" bank_after_hold
bank_strike "bank killed when it has decided" bank_after_decide
bank_strike "bank killed before the commit" store_commit
bank_strike "bank killed between commit and flush" store_flush
bank_strike "bank killed before the acknowledgement" bank_before_ack

once
strike "worker_mid_stream:kill@5,bank_after_decide:kill=$tmp/once" sandbox-tick-80-16
row "worker killed mid-stream, bank when it has decided that" worker_died part
once
strike "worker_before_settle:kill,store_commit:kill=$tmp/once" sandbox-chat
row "worker killed after the last byte, bank as it commits" worker_died full
old=$(worker)
call sandbox-tick-80-16
bank=$(bank)
wait_until 10 streams || not_ok "it streams"
kill -KILL "$old" "$bank"
wait "$caller" || :
wait_until 20 worker_anew "$old" || not_ok "another worker comes"
wait_until 20 connected || :
row "worker and bank killed at once, mid-stream" worker_died part

call sandbox-tick-80-16
wait_until 10 streams || not_ok "it streams"
kill -KILL "$(head -n 1 "$tmp/home/run/keeper.pid")"
wait "$caller" || :
has "keeper killed: the caller has its answer" '[DONE]' "$(cat "$tmp/answer")"
row "keeper killed mid-stream: its worker ends what it has" complete full
farebox start >/dev/null
ask sandbox-chat
row "the next call, of the next keeper" complete full
endings_end
