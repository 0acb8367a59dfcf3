# shellcheck shell=sh
# What tests of endings share: an instance with one worker of four slots, callers straight at its socket, and rows: how a call ended, what it was charged by the sandbox's own
# record, that its hold is gone, and that the balance is exact. Sourced with $here set, from a build folder that was configured with --enable-faults; skipped otherwise.
# shellcheck disable=SC2317,SC2154,SC2034 # functions that check and wait_until call by name; here
# shellcheck source-path=SCRIPTDIR source=faults.sh
. "$here/faults.sh"

# endings_up SETTINGS MODEL...: prices are 150 and 600 nano-dollars a token of input and output
endings_up() {
	mkdir -p "$tmp/home"
	chmod 711 "$tmp/home"
	settings "$1"
	shift
	farebox setup >/dev/null
	start "$FAREBOX_LIBEXEC/farebox-sandbox" --port-file "$tmp/port"
	wait_for_file "$tmp/port"
	sandbox=http://127.0.0.1:$(cat "$tmp/port")
	echo x | farebox provider add sandbox --style openai --base-url "$sandbox/v1" --key-file - >/dev/null
	for model in "$@"; do
		farebox model add "$model" --provider sandbox --input 0.15 --output 0.60 --max-output 4096 >/dev/null
	done
	farebox account create a >/dev/null
	farebox credit a 10 >/dev/null
	key=$(farebox key create a 2>/dev/null)
	farebox start >/dev/null
	n=0
}
settings() { printf '{"workers": 1, "slots": 4%s}\n' "$1" >"$tmp/home/farebox.json"; }
reload() { # SETTINGS
	settings "$1"
	old=$(worker)
	farebox reload >/dev/null
	wait_until 20 worker_anew "$old" || not_ok "reload"
	wait_until 20 connected || :
}

worker_anew() { # OLD: one worker, another one
	anew=$(worker)
	[ -n "$anew" ] && [ "$anew" != "$1" ] && [ "$(printf '%s\n' "$anew" | wc -l)" = 1 ]
}
entries() { farebox ledger a --json | grep -c '"kind": *"call"' || :; }
has_entries() { [ "$(entries)" -ge "$1" ]; }
no_holds() { [ "$(farebox calls --live --json | wc -l)" = 0 ]; }
live_is() { farebox calls --live --json | grep -q "\"state\": *\"$1\""; }
fault() { printf '%s\n' "$1" >"$tmp/faults"; }

# send MODEL STREAM: one call, its answer in $tmp/answer; the outcome does not matter, a worker that dies has none
send() {
	: >"$tmp/answer"
	send_body=$tmp/body.$1.$2
	[ -s "$send_body" ] || printf '{"model":"%s","stream":%s,"max_tokens":40,"messages":[{"role":"user","content":"hello there, what is the matter with you?"}]}' "$1" "$2" >"$send_body"
	exec "$fcgi" "$tmp/home/run/farebox.sock" REQUEST_METHOD=POST REQUEST_URI=/v1/chat/completions CONTENT_TYPE=application/json \
		"CONTENT_LENGTH=$(stat -c %s "$send_body")" "HTTP_AUTHORIZATION=Bearer $key" <"$send_body" >"$tmp/answer"
}
ask() { (send "$1" "${2:-true}") || :; } # MODEL [STREAM, true or false]
call() { # the same in the background: $caller can be killed
	: >"$tmp/answer"
	send "$1" "${2:-true}" &
	caller=$!
}
streams() { grep -q '"content": *"[^"]' "$tmp/answer"; }
leave() { # the caller hangs up
	kill -KILL "$caller"
	wait "$caller" 2>/dev/null || :
}

nano() { tr -d . | awk '{printf "%.0f", $1}'; }
# what the sandbox served of a call, in nano-dollars
served() { curl -s "$sandbox/sandbox/calls" | grep "\"call_id\": *\"$1\"" | sed 's/.*"input_tokens": *\([0-9]*\).*"output_tokens": *\([0-9]*\).*/\1 \2/' | awk '{print $1 * 150 + $2 * 600}'; }

# row NAME ENDING free|full|part: the newest entry, when it is there
row() {
	n=$((n + 1))
	row_why=
	wait_until 20 has_entries $n || row_why="no entry"
	wait_until 20 no_holds || row_why="$row_why; a hold is left"
	farebox ledger a --json >"$tmp/ledger"
	row_entry=$(grep '"kind": *"call"' "$tmp/ledger" | tail -n 1)
	row_ending=$(printf '%s' "$row_entry" | field ending)
	row_amount=$((-$(printf '%s' "$row_entry" | field amount | nano)))
	row_served=$(served "$(printf '%s' "$row_entry" | field call_id)")
	row_served=${row_served:-0}
	[ "$(grep -c '"kind": *"call"' "$tmp/ledger")" = $n ] || row_why="$row_why; not $n entries"
	[ "$row_ending" = "$2" ] || row_why="$row_why; ending $row_ending, not $2"
	case $3 in
	free) [ "$row_amount" -eq 0 ] || row_why="$row_why; charged" ;;
	full) [ "$row_amount" -eq "$row_served" ] && [ "$row_amount" -gt 0 ] || row_why="$row_why; not charged in full" ;;
	part) [ "$row_amount" -gt 0 ] && [ "$row_amount" -le "$row_served" ] || row_why="$row_why; charged nothing, or too much" ;;
	esac
	[ "$(farebox balance a --json | field available | nano)" = "$(field amount <"$tmp/ledger" | tr -d . | awk '{s += $1} END {printf "%.0f", s}')" ] || row_why="$row_why; the balance is not exact"
	row_text=$(printf '%-66s %-14s %6s of %6s  %s' "$1" "$row_ending" "$row_amount" "$row_served" "$3")
	if [ -z "$row_why" ]; then ok "$row_text"; else not_ok "$row_text" "${row_why#; }
$(farebox why "$(printf '%s' "$row_entry" | field call_id)" 2>&1)"; fi
}
# no_row NAME: the call leaves no entry and no hold
no_row() {
	wait_until 20 no_holds || :
	if no_holds && [ "$(entries)" = "$n" ]; then ok "$(printf '%-66s no entry' "$1")"; else not_ok "$1" "entries: $(entries), not $n"; fi
}
endings_end() {
	check "verify" farebox verify
	finish
}
