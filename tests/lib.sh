# shellcheck shell=sh
# Shared by the tests' scripts: sourced, not run. A script prints a line for each check and ends with `finish`.
#
#   tmp                     a folder of the script's own, removed at its end
#   ok NAME / not_ok NAME [WHY]
#   is NAME WANTED GOT      equal as text
#   has NAME PART TEXT      TEXT contains PART
#   check NAME COMMAND...   the command's exit status decides
#   start COMMAND...        in the background, its output in $tmp/log.N; its process id is then in $started
#   stop PID                SIGTERM to a process that start began, and wait for it
#   wait_for_file FILE [S]  until it is there and has something in it
#   wait_until S COMMAND... until the command succeeds
#   tests_at_end            a command to run first at the end, however it comes
#   finish                  the sum; exits 1 if a check failed, or if there was none

tests_ok=0
tests_failed=0
tests_pids=
tmp=$(mktemp -d "${TMPDIR:-/tmp}/farebox-test.XXXXXX")

# tests_clean STATUS [COMMAND...]: at the end, however it comes; the command first, without a word.
tests_clean() {
	tests_status=$1
	shift
	trap - EXIT
	[ $# -eq 0 ] || "$@" >/dev/null 2>&1 || :
	${tests_at_end:-:}
	for tests_pid in $tests_pids; do
		kill "$tests_pid" 2>/dev/null || :
	done
	wait
	rm -rf "$tmp"
	exit $tests_status
}
trap 'tests_clean $?' EXIT
trap 'exit 1' HUP INT TERM

ok() {
	tests_ok=$((tests_ok + 1))
	printf 'ok - %s\n' "$1"
}

not_ok() {
	tests_failed=$((tests_failed + 1))
	printf 'not ok - %s\n' "$1"
	[ $# -lt 2 ] || printf '%s\n' "$2" | head -n 20 | sed 's/^/#   /'
}

is() {
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "wanted: $2
got: $3"; fi
}

has() {
	case $3 in
	*"$2"*) ok "$1" ;;
	*) not_ok "$1" "wanted in it: $2
got: $3" ;;
	esac
}

check() {
	tests_name=$1
	shift
	if "$@"; then ok "$tests_name"; else not_ok "$tests_name" "failed: $*"; fi
}

start() {
	tests_logs=$((${tests_logs:-0} + 1))
	"$@" >"$tmp/log.$tests_logs" 2>&1 &
	started=$!
	tests_pids="$tests_pids $started"
}

stop() {
	tests_left=
	for tests_pid in $tests_pids; do
		[ "$tests_pid" = "$1" ] || tests_left="$tests_left $tests_pid"
	done
	tests_pids=$tests_left
	kill "$1" 2>/dev/null || :
	wait "$1"
}

# Ten looks a second: only how long we wait for what must come, never a measure of it.
wait_until() {
	tests_tries=$(($1 * 10))
	shift
	until "$@"; do
		tests_tries=$((tests_tries - 1))
		[ $tests_tries -gt 0 ] || return 1
		sleep 0.1
	done
}

wait_for_file() {
	wait_until "${2:-10}" test -s "$1"
}

finish() {
	printf '%d ok, %d failed\n' "$tests_ok" "$tests_failed"
	[ "$tests_failed" -eq 0 ] && [ "$tests_ok" -gt 0 ] || exit 1
	exit 0
}
