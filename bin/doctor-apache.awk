# Reads all settings files of an Apache httpd and prints, if they lead to our socket or start us, what is known of that and what is wrong with it: see doctor-web.
# -v socket= home= need_s= body= header= calls=

function fault(check, level, finding, remedy) { print "fault\t" check "\t" level "\t" finding "\t" remedy }
# The last of the file with the mount, else the last of all: near enough to what Apache does, and what can be tried is tried.
function get(name) { return (file, name) in value ? value[file, name] : last[name] }

FNR == 1 { host = "" }
{ sub(/\r$/, ""); if (sub(/\\$/, "")) { held = held $0; next } $0 = held $0; held = "" }
/^[ \t]*(#|$)/ { next }
{ name = tolower($1); rest = $0; sub(/^[ \t]*[^ \t]+[ \t]*/, "", rest); gsub(/^"|"$/, "", rest) }
name == "<virtualhost" { host = rest; sub(/>.*/, "", host); sub(/[ \t].*/, "", host); next }
name == "</virtualhost>" { host = ""; next }
name == "listen" && listen == "" { listen = $2; next }
name ~ /^proxypass(match)?$/ && index($0, "unix:" socket "|") { found("apache"); next }
name == "scriptaliasmatch" && /\/farebox\.fcgi"?$/ { found("apache-cgi"); next }
name == "setenv" && $2 == "FAREBOX_HOME" { v = $3; gsub(/"/, "", v); if (v == home) ours[FILENAME] = 1; next }
name == "setenv" { next }
name == "requestheader" { if (tolower($2) == "unset" && tolower($3) ~ /^"?authorization/) unset = FILENAME; next }
{ value[FILENAME, name] = rest; last[name] = rest }
name == "sslengine" && tolower($2) == "on" { tls[host] = 1 }
name == "servername" { names[host] = $2 }

function found(kind) { kinds[++n] = kind; files[n] = FILENAME; hosts[n] = host; lines[n] = $0 }
function option(name, v) { if (!match(line, "[ \t]" name "=[^ \t\"]*")) return ""; v = substr(line, RSTART, RLENGTH); sub(/.*=/, "", v); return v }

END { for (i = 1; i <= n; i++) if (kinds[i] == "apache" || files[i] in ours) mount(kinds[i], hosts[i]) }

function mount(kind, at,   v) {
	file = files[i]; line = lines[i]
	print "mount\t" kind "\t" file
	v = at != "" ? at : listen; sub(/^(_default_|\*):/, "", v)
	print "listen\t" (tls[at] ? "https" : "http") "\t" v
	if (at != "" && names[at] != "") print "host\t" names[at]
	# What the pattern has before /(v1
	if (match(line, /\^[^(]+\/\(v1/)) { v = substr(line, RSTART + 1, RLENGTH - 5); gsub(/\\/, "", v); if (v != "") print "prefix\t" v }
	if (tolower(get("cgipassauth")) != "on") fault("auth", "wrong", "Apache keeps Authorization to itself: CGIPassAuth is not on", "CGIPassAuth On in the farebox <LocationMatch> (" file ")")
	if (unset != "") fault("auth", "wrong", unset " has RequestHeader unset Authorization", "take RequestHeader unset Authorization out of " unset)
	if (kind == "apache") {
		if (tolower(option("flushpackets")) != "on") fault("stream", "wrong", "Apache keeps answers back: the ProxyPassMatch line has no flushpackets=on", "flushpackets=on at the end of the ProxyPassMatch line (" file ")")
		if (tolower(option("enablereuse")) == "on") fault("reuse", "wrong", "Apache would keep connections that farebox closes: enablereuse=on", "enablereuse=off at the end of the ProxyPassMatch line (" file ")")
		if (tolower(get("proxyerroroverride")) ~ /^on/) fault("refusal", "wrong", "Apache puts its own pages in place of refusals: ProxyErrorOverride is on", "ProxyErrorOverride Off in the farebox <LocationMatch> (" file ")")
		v = option("timeout"); if (v == "") v = get("proxytimeout"); if (v == "") v = get("timeout"); if (v == "") v = 60
		if (v + 0 <= need_s) fault("timeout", "wrong", "Apache gives up after " v " s of silence; farebox waits up to " need_s " s for an upstream", "timeout=" need_s + 10 " at the end of the ProxyPassMatch line (" file ")")
	} else {
		v = get("cgidscripttimeout"); if (v == "") v = get("timeout"); if (v == "") v = 60
		sub(/s$/, "", v)
		if (v + 0 <= need_s) fault("timeout", "wrong", "Apache gives up after " v " s of silence; farebox waits up to " need_s " s for an upstream", "CGIDScriptTimeout " need_s + 10 " in the farebox <LocationMatch> (" file ")")
	}
	v = get("limitrequestbody"); if (v == "") v = 1073741824
	if (v + 0 && v + 0 <= body) fault("body", "wrong", "LimitRequestBody is " v, "LimitRequestBody " body * 2 " in the farebox <LocationMatch> (" file ")")
	v = get("limitrequestfieldsize"); if (v == "") v = 8190
	if (v + 0 < 16000 && v + 0 < header) fault("header", "note", "LimitRequestFieldSize is " v, "LimitRequestFieldSize 16000 outside all sections of Apache's settings")
	v = get("gracefulshutdowntimeout"); if (v + 0 && v + 0 < drain_s) fault("reload", "wrong", "a graceful stop of Apache cuts what still streams after " v " s (GracefulShutdownTimeout); farebox gives calls " drain_s " s", "GracefulShutdownTimeout " drain_s " in Apache's settings")
	v = get("maxrequestworkers"); if (v == "") v = get("maxclients"); if (v == "") v = 150
	if (v + 0 < calls) fault("capacity", "note", "Apache carries " v " calls at once (MaxRequestWorkers); farebox takes " calls, "MaxRequestWorkers " calls ", and ServerLimit to match, in the settings of Apache's mpm")
}
