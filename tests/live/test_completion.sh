#!/bin/sh
# Completion in bash: what it offers is what the commands' --help says and what the instance has. Run from the build folder.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$here/../lib.sh"
command -v bash >/dev/null || { echo "no bash"; exit 77; }
top=$(cd "$here/../.." && pwd)
FAREBOX_LIBEXEC=$PWD/fcgi
FAREBOX_HOME=$tmp/home
export FAREBOX_LIBEXEC FAREBOX_HOME
chmod 755 "$tmp"
farebox() { "$top/bin/farebox" "$@"; }
trap 'tests_clean $? farebox stop --now' EXIT

# offers WORD...: what is offered in place of the last word, on one line.
offers() {
	# shellcheck disable=SC2016 # for bash
	bash -c '. "$1"; shift; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _farebox; echo "${COMPREPLY[*]}"' bash "$top/etc/completion/farebox.bash" "$top/bin/farebox" "$@"
}

farebox setup >/dev/null
for name in alice alfred bob; do farebox account create "$name" >/dev/null; done
farebox key create bob >/dev/null 2>&1
farebox provider add up --style openai --base-url http://127.0.0.1:9/v1 >/dev/null
farebox model add tiny --provider up --input 1 --output 2 >/dev/null

is "a command" "backup balance" "$(offers ba)"
has "all commands" " usage " " $(offers '') "
is "after --home DIR" "setup" "$(offers --home "$tmp/home" setu)"
is "a sub-command" "create close" "$(offers account c)"
is "accounts" "alfred alice" "$(offers credit al)"
is "of another instance" "" "$(offers --home "$tmp/none" credit al)"
is "an account behind a sub-command" "bob" "$(offers account show b)"
is "flags" "--ref" "$(offers credit alice 5 --r)"
is "a flag once" "" "$(offers credit alice 5 --ref x --r)"
is "a flag's value" "up" "$(offers model add other --provider '')"
is "a choice" "account" "$(offers usage --by a)"
is "keys" "1" "$(offers key revoke 1)"
is "models" "tiny" "$(offers model show t)"
is "web servers" "nginx" "$(offers mount ng)"
is "nothing of a command that there is none of" "--home --help" "$(offers nothing '')"
mkdir "$tmp/home/backups"
is "a folder" "$tmp/home/backups" "$(offers backup "$tmp/home/ba")"
if command -v shellcheck >/dev/null; then check "shellcheck" shellcheck "$top/etc/completion/farebox.bash"; fi
finish
