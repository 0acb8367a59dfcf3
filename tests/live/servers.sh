# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# Web servers for the tests that need them, with what `farebox mount` prints; all as the test's own user. Sourced after tests/lib.sh, with FAREBOX_HOME set.
#
#   web_start MOUNT   a server on a free port, which is then in $port; its process in $started

web_up() { curl -q -s -o "$tmp/none" -m 2 "http://127.0.0.1:$port/"; }
web_up_or_gone() { web_up || ! kill -0 "$started" 2>/dev/null; }

# At the root and below /ai: one instance, mounted twice.
web_mounts() { # MOUNT
	farebox mount "$1" --prefix ''
	farebox mount "$1" --prefix /ai
}

settings_lighttpd() { # MOUNT
	printf 'server.bind = "127.0.0.1"\nserver.port = %s\nserver.document-root = "%s"\nserver.upload-dirs = ("%s")\nserver.max-request-field-size = 65536\n' "$port" "$tmp/home" "$tmp"
	web_mounts "$1"
}

settings_nginx() {
	printf 'daemon off; pid %s/nginx.pid; error_log stderr; events { }\nhttp { access_log off;\n' "$tmp"
	for what in client_body fastcgi proxy uwsgi scgi; do printf '%s_temp_path %s/%s;\n' $what "$tmp" $what; done
	printf 'server { listen 127.0.0.1:%s; large_client_header_buffers 4 32k;\n' "$port"
	web_mounts nginx
	echo '} }'
}

settings_apache() { # MOUNT
	mkdir -p "$tmp/docs"
	for what in mpm_event authz_core env alias cgid proxy proxy_fcgi; do echo "LoadModule ${what}_module /usr/lib/apache2/modules/mod_$what.so"; done
	printf 'ServerRoot "%s"\nDefaultRuntimeDir "%s"\nDocumentRoot "%s/docs"\nPidFile "%s/apache.pid"\nErrorLog "%s/apache.log"\n' "$tmp" "$tmp" "$tmp" "$tmp" "$tmp"
	printf 'ServerName 127.0.0.1\nListen 127.0.0.1:%s\nLimitRequestFieldSize %s\n' "$port" "$([ "$1" = apache ] && echo 16000 || echo 65536)"
	web_mounts "$1"
}

# web_start NAME: on a free port; another one when somebody else was faster.
web_start() {
	for web_try in 1 2 3 4 5; do
		port=$(awk -v s="$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')" -v t=$web_try 'BEGIN {print 20000 + (s + t) % 10000}')
		case $1 in
		nginx)
			settings_nginx >"$tmp/web.conf"
			start /usr/sbin/nginx -e stderr -p "$tmp/" -c "$tmp/web.conf"
			;;
		apache*)
			settings_apache "$1" >"$tmp/web.conf"
			start /usr/sbin/apache2 -D FOREGROUND -f "$tmp/web.conf"
			;;
		*)
			settings_lighttpd "$1" >"$tmp/web.conf"
			start /usr/sbin/lighttpd -D -f "$tmp/web.conf"
			;;
		esac
		wait_until 5 web_up_or_gone
		! kill -0 "$started" 2>/dev/null || ! web_up || return 0
	done
	not_ok "$1 starts" "$(cat "$tmp"/log.* | tail -n 5)"
	finish
}
