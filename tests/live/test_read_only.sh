#!/bin/sh
# A home with its run folder on a disk that is read-only: the bank waits for it, though it cannot write its log, who wants a bank is told, and later there is a log. Run
# from the build folder; needs root, for a file system of its own.
# shellcheck disable=SC2317 # functions that check and wait_until call by name
set -eu
if [ "${1-}" != mounted ]; then
	if [ "$(id -u)" -ne 0 ] || ! unshare -m true 2>/dev/null; then
		echo "needs root: a file system of its own"
		exit 77
	fi
	exec unshare -m "$0" mounted
fi
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$here/../lib.sh"
FAREBOX_LIBEXEC=$(pwd)/fcgi
export FAREBOX_LIBEXEC
disk=$tmp/disk bank=
end() {
	[ -z "$bank" ] || kill -9 "$bank" 2>/dev/null || :
	umount -l "$disk"
}
tests_at_end=end
mkdir "$disk"
mount -t tmpfs -o size=100m,mode=700 farebox-home "$disk"
mkdir "$disk/home"
echo '{}' >"$disk/home/farebox.json"
run=$disk/home/run
bank_up() {
	fcgi/farebox-bank --home "$disk/home" &
	bank=$!
}
opened() { grep -q "info: open" "$run/bank.log"; }
told() { ! flock -n -s "$run/bank.waits" true; }
bank_up
check "a bank opens" wait_until 10 opened
kill -9 "$bank"
wait "$bank" || :
: >"$run/bank.log"
mount -o remount,ro "$disk"
bank_up
check "who wants a bank is told that one waits" wait_until 5 told
mount -o remount,rw "$disk"
check "it opens by itself, and has a log" wait_until 10 opened
finish
