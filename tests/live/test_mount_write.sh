#!/bin/sh
# `farebox mount SERVER --write` on copies of the machine's own /etc/lighttpd, /etc/nginx and /etc/apache2, in a mount namespace of the test's: nothing outside it changes.
# Run from the build folder.
# shellcheck disable=SC2016 # dollars of the servers' own
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ "${1:-}" != inside ]; then
	for folder in lighttpd nginx apache2; do [ -d /etc/$folder ] || { echo "no /etc/$folder"; exit 77; }; done
	[ "$(id -u)" -eq 0 ] || { echo "only root has a mount namespace with all of its users"; exit 77; }
	exec unshare -m "$0" inside
fi
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$here/../lib.sh"
FAREBOX_LIBEXEC=$(pwd)/fcgi
FAREBOX_HOME=$tmp/home
FAREBOX_SHARE=$tmp/share
export FAREBOX_LIBEXEC FAREBOX_HOME FAREBOX_SHARE
farebox() { "$here/../../bin/farebox" "$@"; }
trees='lighttpd nginx apache2'
chmod 755 "$tmp"

# What the machine has, as its packages left it or not, but for mounts of ours.
for tree in $trees; do
	cp -a "/etc/$tree" "$tmp/$tree"
	mount --bind "$tmp/$tree" "/etc/$tree"
done
for folder in /run /var/log; do mount -t tmpfs none $folder; done
mkdir /run/lock /var/log/lighttpd /var/log/nginx /var/log/apache2
chown www-data /var/log/lighttpd
for server in lighttpd nginx apache; do farebox mount $server --remove >/dev/null 2>&1 || :; done
rm -f /etc/nginx/*.before-farebox.*
for tree in $trees; do cp -a "/etc/$tree" "$tmp/$tree.before"; done
cp -R "$here/../../etc" "$FAREBOX_SHARE"
mkdir "$FAREBOX_HOME"
cp "$here/../../etc/farebox.json" "$FAREBOX_HOME/"
farebox setup >/dev/null

differs() { for tree in $trees; do diff -r "$tmp/$tree.$1" "/etc/$tree" | grep -v '^Only in /etc/nginx: .*before-farebox' || :; done; }
# The mounts there are, by their first lines.
places() {
	cat /dev/null /etc/lighttpd/conf-enabled/90-farebox*.conf /etc/nginx/snippets/farebox*.conf /etc/apache2/conf-enabled/farebox*.conf 2>/dev/null |
		sed -n "s|^# farebox mount \(.*\) --home $FAREBOX_HOME|\1|p"
}
fails() { # NAME WANTED-EXIT PART ARGUMENT...
	name=$1 wanted=$2 part=$3
	shift 3
	rc=0
	farebox mount "$@" >"$tmp/out" 2>&1 || rc=$?
	is "$name: exit status" "$wanted" "$rc"
	has "$name: says so" "$part" "$(cat "$tmp/out")"
	is "$name: one line" 1 "$(grep '^farebox: ' "$tmp/out" | grep -cv 'all is put back')"
}
# What lies at a path is another thing for a while.
covered() { mount --bind "$1" "$2"; }
bare() { umount "$1"; }

FAREBOX_HOME=$tmp/none farebox mount nginx --write >"$tmp/out" 2>&1 || :
is "an instance that is not there" "farebox: mount: $tmp/none is not there: farebox setup makes it" "$(cat "$tmp/out")"
for server in lighttpd nginx apache; do
	case $server in apache) tree=apache2 ;; *) tree=$server ;; esac
	rc=0
	farebox mount $server --write >"$tmp/out" 2>&1 || rc=$?
	is "$server: --write" 0 $rc
	has "$server: its settings are tested, the reload command is named" "finds its settings good; now: " "$(tail -n 1 "$tmp/out")"
	has "$server: what was written is told" "wrote /etc/$tree/" "$(cat "$tmp/out")"
	cp -a "/etc/$tree" "$tmp/$tree.once"
	is "$server: again" unchanged "$(farebox mount $server --write)"
	is "$server: again: nothing differs" "" "$(diff -r "$tmp/$tree.once" "/etc/$tree")"
	farebox mount $server --prefix /ai --write >/dev/null
	is "$server: at a prefix too: both are there" "$server --prefix /ai
$server" "$(places)"
	farebox mount $server --remove >/dev/null
	is "$server: one removed, the other stays" "$server --prefix /ai" "$(places)"
	farebox mount $server --prefix /ai --remove >/dev/null
	is "$server: both removed" "" "$(places)"
	is "$server: removing what is not there" unchanged "$(farebox mount $server --remove)"
done
is "removed: as before, but for Apache's modules" "" "$(differs before | grep -v '^Only in /etc/apache2/mods-enabled')"
for tree in $trees; do rm -rf "$tmp/$tree.before" && cp -a "/etc/$tree" "$tmp/$tree.before"; done
has "listen_group is set, the rest of the settings file stays" 'www-data' "$(diff "$here/../../etc/farebox.json" "$FAREBOX_HOME/farebox.json")"
is "listen_group: one line differs" 1 "$(diff "$here/../../etc/farebox.json" "$FAREBOX_HOME/farebox.json" | grep -c '^>')"
is "listen_group: as the programs read it" www-data "$("$FAREBOX_LIBEXEC/farebox-ctl" conf listen_group)"
is "the settings file has a copy beside it" 1 "$(find "$FAREBOX_HOME" -name 'farebox.json.before-farebox.*' | wc -l)"

# Settings that the server does not take: all is put back. Settings that it did not take before: nothing is begun.
for server in lighttpd nginx apache; do
	echo 'farebox_garbage = ((' >>"$FAREBOX_SHARE/mount.$server"
	fails "$server: settings that it refuses" 1 "does not take these settings" $server --prefix /ai --write
	has "$server: settings that it refuses: put back" "all is put back" "$(cat "$tmp/out")"
done
is "settings that a server refuses: all as before" "" "$(differs before)"
echo 'garbage = ((' >/etc/lighttpd/conf-enabled/00-garbage.conf
echo 'garbage' >/etc/nginx/conf.d/00-garbage.conf
echo 'Garbage' >/etc/apache2/conf-enabled/00-garbage.conf
for server in lighttpd nginx apache; do
	fails "$server: broken before" 1 "nothing changed: $server's settings are not good as they are" $server --write
done
rm /etc/lighttpd/conf-enabled/00-garbage.conf /etc/nginx/conf.d/00-garbage.conf /etc/apache2/conf-enabled/00-garbage.conf
is "broken before: nothing was touched" "" "$(differs before)"
rm -rf "$FAREBOX_SHARE"
cp -R "$here/../../etc" "$FAREBOX_SHARE"

# The operator's own settings are kept where they are larger, and stay what they are.
printf 'server.max-request-field-size = 131072\nserver.feature-flags += ("server.metrics" => "enable")\n' >/etc/lighttpd/conf-enabled/00-own.conf
farebox mount lighttpd --write >/dev/null
lighttpd -p -f /etc/lighttpd/lighttpd.conf >"$tmp/lighttpd.now"
for line in 'server.max-request-field-size *= 131072' '"server.metrics" *=> "enable"' '"server.h2proto" *=> "enable"' '"server.graceful-shutdown-timeout" *=> 0'; do
	check "lighttpd: in effect: $line" grep -q "$line" "$tmp/lighttpd.now"
done
is "lighttpd: restarts in the background are not for one that has no service manager (-D)" 0 "$(grep -c restart-bg "$tmp/lighttpd.now")"
check "lighttpd: they are for one that has" sh -c 'lighttpd -D -p -f /etc/lighttpd/lighttpd.conf | grep -q "\"server.graceful-restart-bg\" *=> \"enable\""'
is "lighttpd: and again" unchanged "$(farebox mount lighttpd --write)"
fails "another mount at the same place" 1 "has another mount (mount lighttpd --home" lighttpd-cgi --write
farebox mount lighttpd --remove >/dev/null
printf '$HTTP["url"] =~ "^/php" { fastcgi.server = ("/" => (("bin-path" => "/bin/true", "socket" => "/run/php"))) }\nserver.modules += ("mod_fastcgi")\n' >/etc/lighttpd/conf-enabled/00-own.conf
has "lighttpd: where it starts programs itself: says so" "it starts programs itself" "$(farebox mount lighttpd --write)"
is "lighttpd: no restart in the background where it starts programs itself" 0 "$(grep -c graceful /etc/lighttpd/conf-enabled/90-farebox.conf || :)"
echo '# mine' >/etc/lighttpd/conf-available/90-farebox.conf
fails "a file of that name that is not ours" 1 "is not from farebox" lighttpd --write
rm /etc/lighttpd/conf-enabled/00-own.conf /etc/lighttpd/conf-enabled/90-farebox.conf /etc/lighttpd/conf-available/90-farebox.conf
echo 'large_client_header_buffers 8 64k;' >/etc/nginx/conf.d/own.conf
farebox mount nginx --write >/dev/null
is "nginx: what its settings say already is not said twice" no "$([ -e /etc/nginx/conf.d/farebox.conf ] && echo yes || echo no)"
farebox mount nginx --remove >/dev/null
rm /etc/nginx/conf.d/own.conf
printf 'server\n{\n\tlisten 127.0.0.1:8080;\n}\n# server {\nserver { listen 127.0.0.1:8081;\n}\n' >/etc/nginx/sites-enabled/own
farebox mount nginx --write --site /etc/nginx/sites-enabled/own >/dev/null
is "nginx: --site: in each server block" 2 "$(nginx -T 2>/dev/null | grep -c '^	include snippets/farebox.conf; # farebox mount$')"
farebox mount nginx --remove >/dev/null
is "nginx: --site: removed" "server
{
	listen 127.0.0.1:8080;
}
# server {
server { listen 127.0.0.1:8081;
}" "$(cat /etc/nginx/sites-enabled/own)"
rm /etc/nginx/sites-enabled/own
fails "nginx: a site that is not there" 1 "name the file" nginx --write --site /none/none
fails "nginx: a site without a server block" 1 "no server { } block" nginx --write --site /etc/nginx/mime.types
is "nothing is left of all that" "" "$(differs before)"

# Who may, and what is installed.
rc=0
setpriv --reuid nobody --regid nogroup --clear-groups "$here/../../bin/farebox" mount nginx --write >"$tmp/out" 2>&1 || rc=$?
is "not root" "1 farebox: mount: only root may write to /etc/nginx: without --write it prints what goes there" "$rc $(cat "$tmp/out")"
for server in lighttpd-bin-path lighttpd-cgi apache-cgi; do
	fails "$server: the home is root's" 1 "which must own its home" $server --write
done
printf '#!/bin/sh\necho lighttpd/1.4.35\n' >"$tmp/old"
chmod 755 "$tmp/old"
covered "$tmp/old" /usr/sbin/lighttpd
fails "too old" 1 "lighttpd 1.4.35 is too old: farebox needs 1.4.53" lighttpd
fails "too old: --write" 1 "too old" lighttpd --write
bare /usr/sbin/lighttpd
covered /dev/null /usr/sbin/lighttpd
fails "not installed" 1 "lighttpd is not installed" lighttpd --write
check "not installed: printed all the same" farebox mount lighttpd >/dev/null
bare /usr/sbin/lighttpd
has "nginx: gzip off" "gzip off;" "$(farebox mount nginx)"
printf '#!/bin/sh\necho "nginx version: nginx/1.22.1 --without-http_gzip_module"\n' >"$tmp/old"
covered "$tmp/old" /usr/sbin/nginx
is "nginx without gzip: not said" 0 "$(farebox mount nginx | grep -c 'gzip off')"
bare /usr/sbin/nginx
for prefix in ai /ai/ / '/a b' '/a"b' '/a;b' '/a{' "/a'" '/$x' '/a
b' '/é'; do
	rc=0
	farebox mount nginx --prefix "$prefix" >"$tmp/out" 2>&1 || rc=$?
	is "no prefix: $(printf %s "$prefix" | tr '\n' ' ')" "2 1" "$rc $(wc -l <"$tmp/out")"
done
is "nothing is left at the end" "" "$(differs before)"
finish
