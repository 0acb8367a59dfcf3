#!/bin/sh
# The installed service as systemd starts it: its users made, its folders, its socket handed over, the very command lines of the unit with its limits on rights; and who may
# what then. In a mount namespace of its own, where /run, /var/lib and the list of users are the test's. Run from the build folder.
# shellcheck disable=SC2317 # functions that check and wait_until call by name
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ "${FAREBOX_TEST_NS:-}" != yes ]; then
	for tool in systemd-sysusers systemd-tmpfiles systemd-socket-activate systemd-analyze; do
		command -v $tool >/dev/null || { echo "no $tool here"; exit 77; }
	done
	unshare -m true 2>/dev/null || { echo "not root, or no mount namespaces here"; exit 77; }
	FAREBOX_TEST_NS=yes exec unshare -m --propagation private "$0" "$@"
fi
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$here/../lib.sh"
unset FAREBOX_LIBEXEC FAREBOX_SHARE FAREBOX_HOME
chmod 755 "$tmp"
build=$(pwd)
root=$tmp/root
trap 'tests_clean $? service "$farebox" stop --now' EXIT

user_of() { stat -c %U "/proc/$1"; }
field() { sed -n "s/.*\"$1\": *\"\\{0,1\\}\\([^\",}]*\\).*/\\1/p"; }
as() { as_user=$1; shift; setpriv --reuid "$as_user" --regid "$(id -g "$as_user")" --clear-groups "$@"; }
# may USER yes|no WHAT COMMAND...
may() {
	may_user=$1 may_wanted=$2 may_what=$3 may_got=no
	shift 3
	as "$may_user" "$@" >"$tmp/may" 2>&1 && may_got=yes
	is "$may_user $may_what" "$may_wanted" $may_got
}
# The unit's setting, all its lines as one.
unit() { sed -n "s/^$1=//p" "$tmp/units/farebox.service" | tr '\n' ' ' | sed 's/ $//'; }
# What the unit does to what it runs, as far as that can be done without systemd.
service() {
	env -i "PATH=$PATH" LC_ALL=C "$(unit Environment)" setpriv --no-new-privs \
		--bounding-set "-all$(unit CapabilityBoundingSet | tr 'A-Z ' 'a-z\n' | sed 's/^cap_/,+/' | tr -d '\n')" -- "$@"
}

env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u DESTDIR make -s install DESTDIR="$root" >"$tmp/install" 2>&1 || {
	not_ok "make install" "$(tail -n 5 "$tmp/install")"
	finish
}
farebox=$root$(cd "$root" && find . -name farebox -path '*/bin/*' | sed 's/^\.//')
mkdir "$tmp/units"
find "$root" -path '*systemd*/farebox.s*' >"$tmp/files"
while read -r file; do
	sed "s#^\(Exec[A-Za-z]*\)=#\1=$root#" "$file" >"$tmp/units/${file##*/}"
done <"$tmp/files"
home=/var/lib/farebox
if [ "$(unit ReadWritePaths)" != $home ]; then
	echo "configured without units, or for another place"
	exit 77
fi
is "systemd-analyze verify" "" "$(systemd-analyze verify --man=no "$tmp/units/farebox.service" "$tmp/units/farebox.socket" 2>&1 | grep farebox || :)"
level=$(systemd-analyze security --offline=true "$tmp/units/farebox.service" 2>&1 | sed -n 's/.*exposure level.*: \([0-9]*\)\..*/\1/p')
check "systemd-analyze security: exposure $level of 10" test "${level:-9}" -le 3

# Users and folders as systemd makes them.
mkdir -p "$tmp/users/etc"
grep -v '^farebox' /etc/passwd >"$tmp/users/etc/passwd"
grep -v '^farebox' /etc/group >"$tmp/users/etc/group"
check "the users are made" systemd-sysusers --root="$tmp/users" "$(find "$root" -path '*sysusers.d/*')" 2>"$tmp/made"
mount --bind "$tmp/users/etc/passwd" /etc/passwd
mount --bind "$tmp/users/etc/group" /etc/group
for dir in /run /var/lib; do mount -t tmpfs -o mode=755 none $dir; done
check "the folders are made" systemd-tmpfiles --create "$(find "$root" -path '*tmpfiles.d/*')"
is "the run folder" "3771 farebox farebox-worker" "$(stat -c '%a %U %G' /run/farebox)"

# The socket as the socket unit makes it, and the service with the first connection.
web=$(sed -n 's/^SocketGroup=//p' "$tmp/units/farebox.socket")
socket=$(sed -n 's/^ListenStream=//p' "$tmp/units/farebox.socket")
# shellcheck disable=SC2046
start service systemd-socket-activate -l "$socket" -E "$(unit Environment)" $(unit ExecStart)
wait_until 10 test -S "$socket"
chgrp "$web" "$socket"
chmod "$(sed -n 's/^SocketMode=//p' "$tmp/units/farebox.socket")" "$socket"
cp "$build/tests/live/farebox-fcgi" "$tmp/fcgi"
chmod 755 "$tmp/fcgi"
healthz() { as "$1" "$tmp/fcgi" "$socket" REQUEST_METHOD=GET REQUEST_URI=/healthz REMOTE_ADDR=127.0.0.1; }
has "the web server's user connects, and is answered" '"ok"' "$(healthz "$web" | tr -d ' \n')"
running() { "$farebox" status --json | grep -q '"state":"running".*"connected": *true.*"connected": *true'; }
check "it runs" wait_until 20 running
"$farebox" status --json >"$tmp/status"
is "status: the socket" "$socket" "$(field fastcgi_socket <"$tmp/status")"
is "status: isolation by user" uid "$(field isolation <"$tmp/status")"
keeper=$(field keeper_pid <"$tmp/status")
bank=$(field bank_pid <"$tmp/status")
is "the keeper's user" root "$(user_of "$keeper")"
is "the bank's user" farebox "$(user_of "$bank")"
is "the workers' users" "farebox-worker farebox-worker" "$(for pid in $(pgrep -P "$keeper"); do user_of "$pid"; done | tr '\n' ' ' | sed 's/ $//')"
is "nobody of them can get rights" "1 1 1 1" "$(for pid in "$keeper" "$bank" $(pgrep -P "$keeper"); do sed -n 's/^NoNewPrivs:[^0-9]*//p' "/proc/$pid/status"; done | tr '\n' ' ' | sed 's/ $//')"
is "the workers have no rights" "0000000000000000 0000000000000000" "$(for pid in $(pgrep -P "$keeper"); do sed -n 's/^CapEff:[^0-9]*//p' "/proc/$pid/status"; done | tr '\n' ' ' | sed 's/ $//')"

# A paid call, with a key that the workers alone can read.
start "$build/fcgi/farebox-sandbox" --port-file "$tmp/port"
wait_for_file "$tmp/port"
echo secret | "$farebox" provider add sandbox --style openai --base-url "http://127.0.0.1:$(cat "$tmp/port")/v1" --key-file - >/dev/null
"$farebox" model add sandbox-chat --provider sandbox --input 1 --output 1 --max-output 4096 >/dev/null
"$farebox" account create a >/dev/null
"$farebox" credit a 5 >/dev/null
key=$("$farebox" key create a --json | field key)
call() {
	call_body='{"model":"sandbox-chat","messages":[{"role":"user","content":"hello"}]}'
	printf '%s' "$call_body" | as "$web" "$tmp/fcgi" "$socket" REQUEST_METHOD=POST REQUEST_URI=/v1/chat/completions "HTTP_AUTHORIZATION=Bearer $key" \
		CONTENT_TYPE=application/json "CONTENT_LENGTH=${#call_body}" REMOTE_ADDR=127.0.0.1
}
has "a paid call" '"choices"' "$(call)"
may farebox-worker yes "reads the provider's key" cat "$home/secrets/sandbox.key"
may "$web" no "reads the provider's key" cat "$home/secrets/sandbox.key"
may farebox-worker no "sees the store" ls "$home/store"
may "$web" no "sees the store" ls "$home/store"
may farebox yes "sees the store" ls "$home/store"
may nobody no "connects to the socket" "$tmp/fcgi" "$socket" REQUEST_METHOD=GET REQUEST_URI=/healthz REMOTE_ADDR=127.0.0.1
may nobody no "sees the run folder's names" ls /run/farebox
may farebox-worker no "commands the bank" "$farebox" balance a
may "$web" no "commands the bank" "$farebox" balance a
may farebox yes "commands the bank" "$farebox" balance a
may "$web" no "stops it" "$farebox" stop

workers=$(pgrep -P "$keeper" | sort)
# As after an upgrade: the bank's file is another one.
bank_file=$(readlink "/proc/$bank/exe")
cp "$bank_file" "$bank_file.new"
mv "$bank_file.new" "$bank_file"
# shellcheck disable=SC2046
service $(unit ExecReload) >/dev/null
none_of_before() { for pid in $workers; do ! kill -0 "$pid" 2>/dev/null || return 1; done; }
check "reload: other workers, the same keeper" wait_until 30 none_of_before
bank_is_new() { [ "$(readlink "/proc/$("$farebox" status --json | field bank_pid)/exe")" = "$bank_file" ]; }
check "reload: the bank has made room for its new file" wait_until 20 bank_is_new
is "reload: users" "root farebox farebox-worker farebox-worker" "$(for pid in "$keeper" "$("$farebox" status --json | field bank_pid)" $(pgrep -P "$keeper"); do user_of "$pid"; done | tr '\n' ' ' | sed 's/ $//')"
has "reload: a paid call" '"choices"' "$(call)"
# shellcheck disable=SC2046
is "ExecStop" stopped "$(service $(unit ExecStop))"
is "ExecStop: nothing is left" "" "$(pgrep -f "^$root.*(farebox.fcgi|farebox-bank)" || :)"
is "ExecStop: the run folder is as it was" "3771 farebox farebox-worker" "$(stat -c '%a %U %G' /run/farebox)"

# Without systemd: setup and start, as root. The settings name the web server's group.
rm -rf /var/lib/farebox /run/farebox
"$farebox" setup >/dev/null
is "setup: who owns what" "711 farebox farebox 700 farebox farebox 750 farebox farebox-worker" \
	"$(stat -c '%a %U %G' $home $home/store $home/secrets | tr '\n' ' ' | sed 's/ $//')"
printf '{"listen_group": "%s"}\n' "$web" >$home/farebox.json
"$farebox" start >/dev/null
has "start: the web server's user is answered" '"ok"' "$(healthz "$web" | tr -d ' \n')"
is "start: users" "farebox farebox-worker farebox-worker" "$(for pid in "$("$farebox" status --json | field bank_pid)" $(pgrep -P "$("$farebox" status --json | field keeper_pid)"); do user_of "$pid"; done | tr '\n' ' ' | sed 's/ $//')"
"$farebox" stop >/dev/null

# Where systemd runs and has the units, start and stop are its.
mkdir -p /run/systemd/system "$tmp/bin"
printf '#!/bin/sh\necho "$*" >>%s/systemctl\n' "$tmp" >"$tmp/bin/systemctl"
chmod 755 "$tmp/bin/systemctl"
PATH=$tmp/bin:$PATH "$farebox" start >"$tmp/out"
PATH=$tmp/bin:$PATH "$farebox" stop >>"$tmp/out"
is "under systemd: start and stop" "-q is-enabled farebox.socket;start farebox.socket farebox.service;-q is-enabled farebox.socket;--no-block stop farebox.socket farebox.service;" \
	"$(tr '\n' ';' <"$tmp/systemctl")"
: >"$tmp/systemctl"
FAREBOX_UNIT=1 PATH=$tmp/bin:$PATH "$farebox" stop >>"$tmp/out"
is "under systemd: what the unit itself runs" "" "$(cat "$tmp/systemctl")"
finish
