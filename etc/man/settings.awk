# The list of settings in farebox.json(5), as mdoc, from the sample etc/farebox.json (which a test compares with the programs' table).
/^  \/\/ / {
	sub(/^  \/\/ /, "")
	help = help (help ? " " : "") $0
}
/^  "/ {
	split($0, part, "\"")
	value = substr($0, index($0, ": ") + 2)
	sub(/,$/, "", value)
	gsub(/"/, "\\(dq", value)
	gsub(/""/, "an empty text", help)
	print ".It Va " part[2] " Pq default: Li " value
	gsub(/\. /, ".\n", help)
	print toupper(substr(help, 1, 1)) substr(help, 2) "."
	help = ""
}
