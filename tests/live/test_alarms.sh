#!/bin/sh
# Delivery of alarms, when it goes wrong: a program that fails, hangs or is not there, hundreds of alarms at once, a bank and a farebox-alarm that are killed in the middle.
# No gateway runs: accounts fall by debits. All as one unprivileged user. Run from the build folder.
# shellcheck disable=SC2317 # functions that check and wait_until call by name
set -eu
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck disable=SC2034 # instance.sh looks at it
test_user=nobody
# shellcheck source-path=SCRIPTDIR source=instance.sh
. "$here/instance.sh"
ctl=$FAREBOX_LIBEXEC/farebox-ctl
many=300

settings() { # PROGRAM: what it does with each alarm
	printf '#!/bin/sh\n%s\n' "$1" >"$tmp/bell.new"
	chmod 755 "$tmp/bell.new"
	mv "$tmp/bell.new" "$tmp/bell"
}
fall() { "$ctl" debit "$1" 1 --force >/dev/null; }
rise() { "$ctl" credit "$1" 1 >/dev/null; }
told() { grep -c "\"id\": \"low_balance/$1/" "$tmp/rung" || :; }
told_is() { [ "$(told "$1")" = "$2" ]; }
waiting() { "$ctl" status --json | field alarms_waiting; }
none_waits() { [ "$(waiting)" = 0 ]; }
bank() { pgrep -f "^farebox-bank --home $tmp/home\$"; }
courier() { pgrep -f "^farebox-alarm --home $tmp/home\$" | head -n 1; }
courier_gone() { [ -z "$(courier)" ]; }
log_has() { grep -q "$1" "$tmp/home/run/bank.log"; }

mkdir "$tmp/home"
: >"$tmp/rung"
printf '{"alarm_command": "%s/bell", "alarm_tries": 2, "alarm_timeout_ms": 500}\n' "$tmp" >"$tmp/home/farebox.json"
farebox setup >/dev/null
farebox account create a --low-balance 1 >/dev/null
settings "cat >>$tmp/rung; env | sort >$tmp/env; echo \$# >$tmp/words"
rise a
fall a
check "a fall is told" wait_until 20 told_is a 1
check "to a program with a clean environment" wait_until 10 test -s "$tmp/words"
is "its names" "FAREBOX_HOME HOME PATH PWD" "$(sed 's/=.*//' "$tmp/env" | grep -v '^_$\|SHLVL\|OLDPWD' | tr '\n' ' ' | sed 's/ $//')"
is "and no words" 0 "$(cat "$tmp/words")"
check "then nothing stays" wait_until 10 courier_gone

# Fails, then works.
settings "test -e $tmp/once || { touch $tmp/once; exit 3; }; cat >>$tmp/rung"
rise a
fall a
check "what fails is tried again" wait_until 20 told_is a 2
check "and logged" log_has "alarm_command: exited with 3"
settings "cat >>$tmp/rung"
rm "$tmp/bell"
rise a
fall a
no_bell() { log_has "$tmp/bell: No such file"; }
check "a program that is not there" wait_until 20 no_bell
settings "cat >>$tmp/rung"
check "is found when it is" wait_until 20 told_is a 3

# Hangs, with a child of its own.
settings "sleep 1017 & sleep 1017"
rise a
fall a
hung() { log_has "alarm_command: ended by signal 9" && log_has "alarm_command: alarm low_balance/a/4/.* is not delivered, after 2 tries"; }
check "what hangs is killed, and given up" wait_until 30 hung
is "with all that it started" "" "$(pgrep -u "$(id -u)" -f '^sleep 1017$' || :)"
check "no alarm waits" wait_until 10 none_waits
settings "cat >>$tmp/rung"
rise a
fall a
check "the next one is told, the one that was given up is not" wait_until 20 told_is a 4

# The bank is killed while the program is at it: it is not told to another.
printf '{"alarm_command": "%s/bell", "alarm_tries": 2, "alarm_timeout_ms": 60000}\n' "$tmp" >"$tmp/home/farebox.json"
settings "until test -e $tmp/gate; do sleep 0.05; done; cat >>$tmp/rung"
rise a
fall a
runs() { pgrep -u "$(id -u)" -f "^/bin/sh $tmp/bell\$" >/dev/null; }
one_runs() { [ "$(pgrep -u "$(id -u)" -f "^/bin/sh $tmp/bell\$" | wc -l)" -le 1 ]; }
not_runs() { [ "$(courier)" != "$killed" ] && one_runs; }
check "the program runs" wait_until 20 runs
kill -KILL "$(bank)"
farebox balance a >/dev/null
touch "$tmp/gate"
check "the bank is killed: the next one waits no longer" wait_until 20 none_waits
is "told once" 5 "$(told a)"

# The process that delivers is killed: what it had is said to the next one.
rm "$tmp/gate"
rise a
fall a
check "the program runs again" wait_until 20 runs
killed=$(courier)
kill -KILL "$killed"
check "the program is killed with it" wait_until 20 not_runs
touch "$tmp/gate"
check "farebox-alarm is killed: it is told" wait_until 20 told_is a 6
check "and no alarm waits" wait_until 20 none_waits
is "once" 6 "$(told a)"

# More at once than the bank keeps.
settings "cat >>$tmp/rung"
i=0
while [ $i -lt $many ]; do
	"$ctl" account create "m-$i" --low-balance 1 >/dev/null
	rise "m-$i"
	i=$((i + 1))
done
settings "test -e $tmp/go || exit 1; cat >>$tmp/rung"
printf '{"alarm_command": "%s/bell", "alarm_tries": 10, "alarm_timeout_ms": 5000}\n' "$tmp" >"$tmp/home/farebox.json"
kill -TERM "$(bank)"
i=0
while [ $i -lt $many ]; do
	fall "m-$i"
	i=$((i + 1))
done
is "the bank keeps no more than 256" 256 "$(waiting)"
is "status shows no more, either" 256 "$("$ctl" status --json | sed 's/.*"alarms"//' | grep -o '"alarm": *"low_balance"' | wc -l)"
touch "$tmp/go"
all_told() { [ "$(grep -o '"id": "low_balance/m-[0-9]*/1' "$tmp/rung" | sort -u | wc -l)" -eq "$many" ]; }
check "all $many are told" wait_until 120 all_told
check "and none waits" wait_until 20 none_waits
is "none twice" "$many" "$(grep -c '"low_balance/m-' "$tmp/rung")"
check "then nothing stays" wait_until 10 courier_gone
check "verify" farebox verify
finish
