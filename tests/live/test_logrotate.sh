#!/bin/sh
# The real logrotate, with our file, on an instance that is being used: every call has its line, whole, and no other log loses one. Run from the build folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$here/../lib.sh"
PATH=$PATH:/usr/sbin:/sbin
command -v logrotate >/dev/null || { echo "no logrotate"; exit 77; }
make -s etc/logrotate/farebox
fcgi=$PWD/tests/live/farebox-fcgi
FAREBOX_LIBEXEC=$PWD/fcgi
FAREBOX_HOME=$tmp/home
export FAREBOX_LIBEXEC FAREBOX_HOME
chmod 755 "$tmp"
farebox() { "$here/../../bin/farebox" "$@"; }
trap 'tests_clean $? farebox stop --now' EXIT

# Our file, for this home. Its users are those who own the folders here; who is not root has nobody to become.
configuration() {
	sed -e "s|^[^ ]*/lib/farebox/|$tmp/home/|" -e "s|^/run/farebox/|$tmp/home/run/|" etc/logrotate/farebox | while IFS= read -r line; do
		case $line in
		/*' {') folder=$(dirname "${line% {}") ;;
		*su\ *)
			[ "$(id -u)" -eq 0 ] || continue
			line="su $(stat -c '%U %G' "$folder")"
			;;
		esac
		printf '%s\n' "$line"
	done
}
rotate() { logrotate -f -s "$tmp/state" "$tmp/conf" 2>&1; }
all() { find "$(dirname "$1")" -name "$(basename "$1")*" -exec sh -c 'for f; do case $f in *.gz) zcat "$f" ;; *) cat "$f" ;; esac; done' sh {} +; }
call() { "$fcgi" "$tmp/home/run/farebox.sock" REQUEST_METHOD=GET REQUEST_URI=/v1/models SERVER_PROTOCOL=HTTP/1.1 "HTTP_AUTHORIZATION=Bearer wrong" </dev/null; }
# shellcheck disable=SC2317 # asked by wait_until
begun() {
	call >/dev/null
	made=$((made + 1))
	[ -s "$calls" ]
}
# shellcheck disable=SC2317
all_there() { [ "$(all "$calls" | wc -l)" -ge "$made" ]; }

farebox setup >/dev/null
farebox start >/dev/null
calls=$tmp/home/log/calls.log
has "a call is refused" "Status: 401" "$(call)"
wait_for_file "$calls" || not_ok "it has its line"
configuration >"$tmp/conf"
chmod 644 "$tmp/conf"
grep -q 'su\|/run' "$tmp/conf" || not_ok "the file is ours" "$(cat "$tmp/conf")"

made=1
said=''
for turn in 1 2 3 4; do
	i=0
	while [ $i -lt 40 ]; do
		[ $i -ne 20 ] || said=$said$(rotate)
		call >/dev/null
		i=$((i + 1))
	done
	made=$((made + i))
	# A day later the next may compress what this one has moved: the workers have looked by then.
	wait_until 20 begun || not_ok "turn $turn: a new file is begun"
done
is "logrotate has nothing to say" "" "$said"
wait_until 20 all_there || :
is "each of $made calls has its line" "$made" "$(all "$calls" | wc -l)"
is "and each line is whole" "$made" "$(all "$calls" | grep -c '^{.*}$')"
check "in several files" test "$(find "$tmp/home/log" -name 'calls.log*' | wc -l)" -ge 4
check "some of them compressed" test -n "$(find "$tmp/home/log" -name 'calls.log*.gz')"
is "the keeper's log is whole" 1 "$(all "$tmp/home/farebox.log" | grep -c 'keeper.* workers on ')"
farebox reload >/dev/null
check "and goes on" wait_until 20 grep -q reload "$tmp/home/farebox.log"
farebox stop >/dev/null
finish
