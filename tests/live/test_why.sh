#!/bin/sh
# A call's story, asked for over FastCGI and as CGI, with right and wrong keys and methods, while banks are killed. Run from the build folder.
# shellcheck disable=SC2317 # functions that check and wait_until call by name
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC2034 # instance.sh looks at it
test_user=nobody
# shellcheck source-path=SCRIPTDIR source=instance.sh
. "$here/instance.sh"
fcgi=$(pwd)/tests/live/farebox-fcgi
socket=$tmp/home/run/farebox.sock

answered() { status=$(sed -n '1s/^Status: \([0-9]*\).*/\1/p' "$tmp/raw"); sed '1,/^\r*$/d' "$tmp/raw" >"$tmp/answer"; }
header() { tr -d '\r' <"$tmp/raw" | sed -n "s/^$1: //Ip"; }
post() { # KEY MODEL MEMBERS: status in $status, the call's id in $id
	printf '{"model":"%s",%s"messages":[{"role":"user","content":"hello"}]}' "$2" "$3" >"$tmp/body"
	"$fcgi" "$socket" REQUEST_METHOD=POST REQUEST_URI=/v1/chat/completions CONTENT_TYPE=application/json "CONTENT_LENGTH=$(wc -c <"$tmp/body")" "HTTP_AUTHORIZATION=Bearer $1" \
		<"$tmp/body" >"$tmp/raw" || :
	answered
	id=$(header farebox-call-id)
}
ask() { # METHOD KEY ID
	"$fcgi" "$socket" "REQUEST_METHOD=$1" "REQUEST_URI=/v1/calls/$3" "HTTP_AUTHORIZATION=Bearer $2" </dev/null >"$tmp/raw" || :
	answered
}
ask_cgi() { # likewise
	env -i FAREBOX_HOME="$tmp/home" GATEWAY_INTERFACE=CGI/1.1 "REQUEST_METHOD=$1" "REQUEST_URI=/v1/calls/$3" HTTP_AUTHORIZATION="Bearer $2" "$FAREBOX_LIBEXEC/farebox.fcgi" </dev/null >"$tmp/raw" 2>"$tmp/err" || :
	answered
}
bank() { pgrep -f "^farebox-bank --home $tmp/home\$" | head -n 1; }
bank_killed() { # and another one there
	kill -9 "$(bank)"
	farebox balance a >/dev/null
}
why_says() { farebox why "$id" --json >"$tmp/why" 2>"$tmp/err" && grep -q "$1" "$tmp/why"; }
same() { tr -d '\n' <"$tmp/why" | cmp -s - "$tmp/answer"; }

mkdir -p "$tmp/home"
printf '{"workers": 1, "default_max_tokens": 100}\n' >"$tmp/home/farebox.json"
farebox setup >/dev/null
start "$FAREBOX_LIBEXEC/farebox-sandbox" --port-file "$tmp/port"
wait_for_file "$tmp/port"
echo x | farebox provider add sandbox --style openai --base-url "http://127.0.0.1:$(cat "$tmp/port")/v1" --key-file - >/dev/null
farebox model add sandbox-chat --provider sandbox --input 1 --output 1 --max-output 4096 >/dev/null
farebox account create a >/dev/null
farebox credit a 1 >/dev/null
key=$(farebox key create a 2>/dev/null)
sister=$(farebox key create a 2>/dev/null)
old=$(farebox key create a --json --expires 1s | field key)
farebox start >/dev/null

post "$key" sandbox-chat ''
is "a call" 200 "$status"
charged=$(header farebox-cost)
is "its bound is told" 100 "$(header farebox-max-tokens)"
check "why" wait_until 10 why_says '"state": "ended"'
is "why: cost" "$charged" "$(field cost <"$tmp/why")"
ask GET "$key" "$id"
is "GET" 200 "$status"
check "GET says what why says" same
has "GET is not to be kept" "Cache-Control: no-store" "$(cat "$tmp/raw")"
ask_cgi GET "$key" "$id"
is "as CGI" 200 "$status"
check "as CGI it says the same" same
upper=$(echo "$id" | tr a-f A-F)
ask GET "$key" "$upper"
is "an id in capitals" 200 "$status"
ask GET "$key" "$id?x=y"
is "with a query" 200 "$status"
ask HEAD "$key" "$id"
is "HEAD" 200 "$status"
for method in POST PUT DELETE; do
	ask $method "$key" "$id"
	is "$method" "405 GET, HEAD" "$status $(header allow)"
done
ask GET "$sister" "$id"
is "with another key of the account" "404 call_unknown" "$status $(field code <"$tmp/answer")"
ask_cgi GET "$sister" "$id"
is "likewise as CGI" "404 call_unknown" "$status $(field code <"$tmp/answer")"
ask GET fb_nobody "$id"
is "with a key of nobody" "401 key_unknown" "$status $(field code <"$tmp/answer")"
for other in 019f0000-0000-7000-8000-000000000000 00000000-0000-0000-0000-000000000000 nothing "$id%2F.." "$id/x" "$(head -c 120 /dev/zero | tr '\0' x)"; do
	ask GET "$key" "$other"
	is "an id that is none" 404 "$status"
done
is "none of it was a call" 1 "$(farebox ledger a --json | grep -c '"kind": *"call"')"

bank_killed
check "the next bank tells it" why_says '"told_by": "story"'
ask GET "$key" "$id"
is "to callers, too" 200 "$status"
check "the same" same
post "$key" sandbox-chat '"max_tokens":5000,'
is "a refused call" 400 "$status"
refused=$id
check "is told at once" why_says '"code": "bad_request"'
ask GET "$key" "$id"
check "to its caller, too" same
has "with its numbers" '"model_max_tokens": 4096' "$(cat "$tmp/answer")"
wait_until 10 why_says '"told_by": "story"' || not_ok "and is written" "$(cat "$tmp/why")"
sleep 1
post "$old" sandbox-chat ''
expired=$id
check "one with an expired key is in memory alone" why_says '"told_by": "memory"'
bank_killed
id=$refused
check "after another bank: what was written is there" why_says '"told_by": "story"'
id=$expired
check "what was not is in the log of calls" why_says '"told_by": "log"'
has "with the code" '"code": "key_expired"' "$(cat "$tmp/why")"
mv "$tmp/home/log" "$tmp/moved"
ln -s "$tmp/moved" "$tmp/home/log"
if farebox why "$id" >"$tmp/out" 2>&1; then not_ok "a link in place of its folder is not followed"; else has "a link in place of its folder is not followed" "farebox: no call $id" "$(cat "$tmp/out")"; fi
farebox verify >"$tmp/verify" 2>&1 || not_ok "verify" "$(cat "$tmp/verify")"
finish
