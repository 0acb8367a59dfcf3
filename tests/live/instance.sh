# shellcheck shell=sh
# An instance of a live test's own, in $tmp/home; it is stopped at the test's end. Sourced first, with $here set, from the build folder.
# shellcheck disable=SC2154 # here
# With test_user=nobody a test that root runs is run once more as nobody, in a folder of nobody's.

if [ "${test_user:-}" = nobody ] && [ "$(id -u)" -eq 0 ]; then
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
chmod 755 "$tmp"
trap 'tests_clean $? farebox stop --now' EXIT

farebox() { "$here/../../bin/farebox" "$@"; }
field() { sed -n "s/.*\"$1\": *\"\\{0,1\\}\\([^\",}]*\\).*/\\1/p"; }
no_holds() { [ "$(farebox status --json | field holds | head -n 1)" = 0 ]; }
