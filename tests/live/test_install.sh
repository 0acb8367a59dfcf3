#!/bin/sh
# What `make install` puts somewhere works from there, with nothing of the source or build tree: under a DESTDIR, and reached through a link. Run from the build folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$here/../lib.sh"
unset FAREBOX_LIBEXEC FAREBOX_SHARE
FAREBOX_HOME=$tmp/home
export FAREBOX_HOME
chmod 755 "$tmp"
trap 'tests_clean $? "$farebox" stop --now' EXIT

# Not with the variables of the make that runs the tests (distcheck gives a DESTDIR of its own).
env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u DESTDIR make -s install DESTDIR="$tmp/root" >"$tmp/install" 2>&1 || {
	not_ok "make install" "$(tail -n 5 "$tmp/install")"
	finish
}
found=$(cd "$tmp/root" && find . -name farebox -path '*/bin/*')
farebox=$tmp/root/$found
check "nothing names this tree" test -z "$(grep -lF "$here" "$farebox" "$tmp/root/${found%/bin/farebox}"/libexec/farebox/* 2>/dev/null | grep -vE '\.fcgi$|farebox-' || :)"
mkdir "$tmp/elsewhere"
ln -s "$farebox" "$tmp/elsewhere/farebox"
cd "$tmp/elsewhere"
check "setup" "$farebox" setup
check "account create, through a link" ./farebox account create a
check "credit" "$farebox" credit a 1.5
has "start" running "$("$farebox" start)"
has "status" '"state":"running"' "$("$farebox" status --json)"
has "mount" "$tmp/home/run/farebox.sock" "$("$farebox" mount nginx)"
has "mount: programs" "$tmp/root" "$("$farebox" mount lighttpd-bin-path)"
has "balance" '"available": "1.500000000"' "$("$farebox" balance a --json)"
check "verify" "$farebox" verify
check "stop" "$farebox" stop
finish
