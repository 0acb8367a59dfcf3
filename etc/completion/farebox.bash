# shellcheck shell=bash
# Completion of farebox for bash. Commands, sub-commands and flags come from `farebox --help` and each command's --help; names come from the instance.

# Runs the farebox that is being completed, for the instance that is named so far.
_farebox_run() { "${farebox[@]}" "$@" 2>/dev/null </dev/null; }

# The commands: a name begins each part of the list in --help.
_farebox_commands() {
	_farebox_run --help | sed -n 's/^  \([a-z].*\)/\1/p' | sed -e 's/   */\n/g' -e 's/ | /\n/g' | sed -n 's/^\([a-z][a-z-]*\).*/\1/p'
}

# What may come after the words so far, by a command's --help on standard input: sub-commands, flags, and words such as NAME that stand for a value.
_farebox_next() { # WORD...
	words=$* awk '
	BEGIN { n = split(ENVIRON["words"], typed, " ") }
	/^  --json prints/ { json = 1 }
	!/^ *(usage: *)?farebox / { next }
	{
		sub(/^ *(usage: *)?farebox +[^ ]+ */, "")
		first = 1
		plain = 0
		split("", value)
		split("", used)
		if ($1 ~ /^[a-z][a-z-]*$/) {
			if (n == 0) { print $1; next }
			if (typed[1] != $1) next
			first = 2
		}
		for (i = first; i <= NF; i++) {
			word = $i
			gsub(/[][]/, "", word)
			if (word !~ /^--/) { place[++plain] = word; continue }
			value[word] = ""
			if ($i !~ /\]$/ && i < NF && $(i + 1) !~ /^(\[|--)/) {
				value[word] = $++i
				gsub(/[][]/, "", value[word])
			}
		}
		at = 1
		for (i = first; i <= n; i++) {
			if (!(typed[i] in value)) { at += typed[i] !~ /^--/; continue }
			used[typed[i]] = 1
			if (value[typed[i]] != "" && ++i > n) { print value[typed[n]]; valued = 1; next }
		}
		if (at <= plain) print place[at]
		for (word in value) if (!(word in used)) print word
	}
	END { if (!valued) print (json ? "--json\n" : "") "--home\n--help" }'
}

# The values of one member in the records of a list.
_farebox_list() { # COMMAND MEMBER
	_farebox_run "$1" list --json | sed -n "s/.*[{ ]\"$2\": *\"\{0,1\}\([^\",}]*\).*/\1/p"
}

# What may stand for a word of a usage line.
_farebox_values() { # COMMAND WORD
	case $1:$2 in
	*:--*) echo "$2" ;;
	*:DIR) compgen -d -- "$cur" ;;
	*:FILE*) compgen -f -- "$cur" ;;
	*:ACCOUNT | account:NAME | credit:NAME | debit:NAME | balance:NAME | ledger:NAME) _farebox_list account name ;;
	key:ID) _farebox_list key id ;;
	why:CALL-ID) _farebox_run calls --json | sed -n 's/.*"call_id": *"\([^"]*\)".*/\1/p' ;;
	provider:NAME | *:P) _farebox_list provider name ;;
	model:NAME | rerate:M) _farebox_list model name ;;
	*:*[A-Z]*) ;;
	*) tr '|' '\n' <<<"$2" ;;
	esac
}

_farebox() {
	local cur=${COMP_WORDS[COMP_CWORD]} farebox=("${COMP_WORDS[0]/#\~/$HOME}") words=() next word i
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [ "${COMP_WORDS[i]}" = --home ]; then
			i=$((i + 1))
			[ "$i" -lt "$COMP_CWORD" ] || { mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return; }
			farebox+=(--home "${COMP_WORDS[i]/#\~/$HOME}")
		else
			words+=("${COMP_WORDS[i]}")
		fi
	done
	next=$(
		if [ ${#words[@]} -eq 0 ]; then
			_farebox_commands
			printf '%s\n' --home --help
		else
			_farebox_run "${words[0]}" --help | _farebox_next "${words[@]:1}" | while read -r word; do _farebox_values "${words[0]}" "$word"; done
		fi
	)
	mapfile -t COMPREPLY < <(compgen -W "$next" -- "$cur")
}
complete -F _farebox farebox
