# shellcheck shell=sh
# An instance whose processes strike at the fault points that $tmp/faults names. Sourced first, with $here set, from a build folder configured with --enable-faults; skipped otherwise.
# shellcheck disable=SC2154,SC2034 # here; what tests use
grep -q "^#define FARE_FAULTS 1" config.h || {
	echo "built without fault points"
	exit 77
}
# shellcheck source-path=SCRIPTDIR source=instance.sh
. "$here/instance.sh"
FAREBOX_FAULT_FILE=$tmp/faults
export FAREBOX_FAULT_FILE
: >"$tmp/faults"
fcgi=$(pwd)/tests/live/farebox-fcgi

bank() { farebox status --json | field bank_pid; }
worker() { pgrep -P "$(head -n 1 "$tmp/home/run/keeper.pid")" -f farebox.fcgi || :; }
connected() { farebox status --json | grep -q '"connected": *true'; }
