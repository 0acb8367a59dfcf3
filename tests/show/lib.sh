# shellcheck shell=sh
# shellcheck disable=SC2034,SC2154
# Shared by the commands under tests/show: an instance of its own through bin/quickstart, and the books checked from outside. Sourced after tests/lib.sh.
#
#   show_up [QUICKSTART-ARGUMENT...]  an instance in $tmp/home on a free port, its env read; $show_settings (a JSON object) becomes its farebox.json first
#   show_down                         ends it; also done at the script's end
#   show_accounts N AMOUNT            accounts show-1..N, credited; their keys, a line each, in $tmp/keys
#   show_settled                      waits a minute until no hold is left
#   show_books                        checks balances against ledgers, entries against what the sandbox saw, and verify
#   show_live_test NAME               runs tests/live/NAME with its own servers, its output in $tmp/live, its exit status in $show_rc
#   show_build TARGET...              makes them in the build folder, which is then in $show_build
#   show_end FIGURE                   the figure last; exits 0 or 1

show_top=$(cd "$(dirname "$0")/../.." && pwd)

show_port() { # a port that nobody listens on now
	while :; do
		show_try=$(awk -v s="$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')" 'BEGIN {print 20000 + s % 10000}')
		grep -qi ":$(printf %04X "$show_try") 0*:0000 0A" /proc/net/tcp || { echo "$show_try"; return; }
	done
}

show_up() {
	mkdir -p "$tmp/home"
	chmod 755 "$tmp"
	[ -z "${show_settings:-}" ] || [ -e "$tmp/home/farebox.json" ] || printf '%s\n' "$show_settings" >"$tmp/home/farebox.json"
	[ -n "${show_listen:-}" ] || show_listen=$(show_port)
	tests_at_end=show_down
	"$show_top/bin/quickstart" --detach --home "$tmp/home" --port "$show_listen" "$@" >"$tmp/quickstart" 2>&1 || {
		not_ok "quickstart" "$(tail -n 20 "$tmp/quickstart")"
		show_end "no instance"
	}
	# shellcheck source=/dev/null
	. "$tmp/home/env"
}

show_down() {
	[ -d "$tmp/home" ] || return 0
	"$show_top/bin/quickstart" --stop --home "$tmp/home" >"$tmp/stop" 2>&1 || not_ok "quickstart --stop" "$(tail -n 5 "$tmp/stop")"
}

show_accounts() {
	: >"$tmp/keys"
	show_i=1
	while [ "$show_i" -le "$1" ]; do
		farebox account create "show-$show_i" >/dev/null
		[ "$2" = 0 ] || farebox credit "show-$show_i" "$2" >/dev/null
		farebox key create "show-$show_i" --json | show_field key >>"$tmp/keys"
		show_i=$((show_i + 1))
	done
}

show_field() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p"; }

show_holds() { farebox status --json | show_field holds; }
show_no_holds() { [ "$(show_holds)" = 0 ]; }
show_settled() {
	if wait_until 60 show_no_holds; then ok "no hold left"; else not_ok "no hold left" "holds: $(show_holds)"; fi
}

# Amounts have nine places: without the point they are whole nano-dollars.
show_nano() { tr -d . | awk '{printf "%.0f", $1}'; }

show_account_books() { # NAME
	show_sum=$(farebox ledger "$1" --json | show_field amount | tr -d . | awk '{s += $1} END {printf "%.0f", s}')
	farebox balance "$1" --json >"$tmp/balance"
	show_available=$(show_field available <"$tmp/balance" | show_nano)
	show_credits=$(show_field credits <"$tmp/balance" | show_nano)
	show_debits=$(show_field debits <"$tmp/balance" | show_nano)
	[ "$show_sum" = "$show_available" ] && [ "$((show_credits - show_debits))" -eq "$show_available" ] && [ "$show_available" -ge 0 ] && return
	echo "# $1: ledger $show_sum, available $show_available, credits $show_credits, debits $show_debits"
	return 1
}

show_books() {
	farebox ledger --all --json >"$tmp/ledger" || not_ok "the ledger is exported"
	show_wrong=0
	farebox account list --json | show_field name >"$tmp/names"
	while read -r show_name; do
		show_account_books "$show_name" || show_wrong=$((show_wrong + 1))
	done <"$tmp/names"
	is "credits - ledger = balance, none below zero, in $(wc -l <"$tmp/names") accounts" 0 "$show_wrong"
	curl -s "$SANDBOX_URL/sandbox/calls" >"$tmp/sandbox"
	grep '"kind": *"call"' "$tmp/ledger" | show_field call_id | sort >"$tmp/entries"
	show_field call_id <"$tmp/sandbox" | grep -v '^local-' | sort >"$tmp/seen"
	is "no call id has two entries" "" "$(uniq -d "$tmp/entries" | head -n 3)"
	is "each of $(wc -l <"$tmp/seen") call ids that the sandbox saw has its entry" "" "$(comm -13 "$tmp/entries" "$tmp/seen" | head -n 3)"
	is "no call was delivered twice" "" "$(grep -v '"deliveries": *[01][,}]' "$tmp/sandbox" | head -n 3)"
	if farebox verify >"$tmp/verify" 2>&1; then ok "verify clean"; else not_ok "verify clean" "$(cat "$tmp/verify")"; fi
}

# As root such a test goes on as nobody, who may not get at this clone or its build: it has a copy.
show_live_test() {
	mkdir -p "$tmp/copy/tests/live" "$tmp/copy/build/fcgi" "$tmp/copy/build/tests/live"
	cp -R "$show_top/bin" "$show_top/etc" "$tmp/copy/"
	cp "$show_top/tests/lib.sh" "$tmp/copy/tests/"
	cp "$show_top/tests/live/"*.sh "$tmp/copy/tests/live/"
	for show_i in fcgi/farebox.fcgi fcgi/farebox-bank fcgi/farebox-ctl fcgi/farebox-sandbox tests/live/farebox-load; do
		cp "${FAREBOX_BUILD:-$show_top/.build}/$show_i" "$tmp/copy/build/$show_i"
	done
	chmod -R a+rX "$tmp/copy"
	show_rc=0
	(cd "$tmp/copy/build" && "../tests/live/$1") >"$tmp/live" 2>&1 || show_rc=$?
}

show_build() {
	# shellcheck source-path=SCRIPTDIR source=../../bin/packages
	. "$show_top/bin/packages"
	# shellcheck disable=SC2086
	packages_install $PACKAGES_BUILD libcmocka-dev || exit 1
	show_build=${FAREBOX_BUILD:-$show_top/.build}
	mkdir -p "$show_build"
	(
		[ -x "$show_top/configure" ] || (cd "$show_top" && autoreconf -i)
		cd "$show_build"
		# shellcheck disable=SC2086
		[ -f Makefile ] || "$show_top/configure" -q ${FAREBOX_CONFIGURE:-}
		make -s "$@"
	) >"$tmp/build" 2>&1 || {
		not_ok "build of $*" "$(tail -n 10 "$tmp/build")"
		show_end "no build"
	}
}

show_end() {
	show_down
	rm -rf "${tmp:?}/home"
	echo "$tests_ok ok, $tests_failed failed: $1"
	[ "$tests_failed" -eq 0 ] && [ "$tests_ok" -gt 0 ] || exit 1
	exit 0
}

show_workers() { pgrep -P "$(head -n 1 "$tmp/home/run/keeper.pid")" -f farebox.fcgi; }
show_bank() { pgrep -f "farebox-bank.*--home $tmp/home( |\$)"; }
show_load() { "${FAREBOX_BUILD:-$show_top/.build}/tests/live/farebox-load" --url "$FAREBOX_URL" "$@"; }
show_live() { curl -s "$SANDBOX_URL/sandbox/live" | show_field live; }
show_live_is() { [ "$(show_live)" -eq "$1" ]; }
show_live_least() { [ "$(show_live)" -ge "$1" ]; }
