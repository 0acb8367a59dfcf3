# Reads `lighttpd -p`, twice, and prints for each block that leads to our socket, or starts us, what is known of it and what is wrong with it: see doctor-web.
# -v socket= home= need_s= drain_s= body= header= calls= file= (the settings file's path)

function get(name,   i) { for (i = depth; i >= 1; i--) if ((i, name) in value) return value[i, name]; return "" }
function fault(check, level, finding, remedy) { print "fault\t" check "\t" level "\t" finding "\t" remedy }
function plain(v) { gsub(/^"|",?$|,$/, "", v); return v }

# Settings of the server as a whole stand first in the output, so they are known here.
function mount(   kind, v) {
	kind = index(whole[depth], "\"FAREBOX_HOME\" => \"" home "\"") ? "lighttpd-cgi" : index(whole[depth], "--home " home "\"") ? "lighttpd-bin-path" : index(whole[depth], "\"" socket "\"") ? "lighttpd" : ""
	if (kind == "") return
	print "mount\t" kind "\t" file
	v = get("server.port"); if (v == "") v = 80
	print "listen\t" (get("ssl.engine") ~ /enable/ ? "https" : "http") "\t" plain(get("server.bind")) ":" v
	prefix = match(whole[depth], /"FAREBOX_PREFIX" => "[^"]+"/) ? substr(whole[depth], RSTART + 21, RLENGTH - 22) : ""
	if (prefix != "") print "prefix\t" prefix
	v = get("server.stream-response-body") + 0
	if (v == 0) fault("stream", "wrong", "lighttpd keeps an answer until it is whole: server.stream-response-body is 0", "server.stream-response-body = 2 in the farebox block (" file ")")
	if (v == 1) fault("memory", "wrong", "lighttpd takes all of an answer into memory, however slowly its caller reads: server.stream-response-body is 1", "server.stream-response-body = 2 in the farebox block (" file ")")
	if (match(whole[depth], /"read-timeout" +=> [0-9]+/)) {
		v = substr(whole[depth], RSTART, RLENGTH); sub(/.*> /, "", v)
		if (v + 0 && v + 0 <= need_s) fault("timeout", "wrong", "lighttpd gives up after " v " s of silence (read-timeout); farebox waits up to " need_s " s for an upstream", "take \"read-timeout\" out of the farebox block (" file "), or \"read-timeout\" => " need_s + 10)
	}
	if (get("server.error-intercept") ~ /enable/) fault("refusal", "wrong", "lighttpd puts its own pages in place of refusals: server.error-intercept is enabled", "server.error-intercept = \"disable\" in the farebox block (" file ")")
	v = get("server.max-request-size") + 0
	if (v && v * 1024 < body) fault("body", "wrong", "server.max-request-size is " v " KiB", "server.max-request-size = " int(body / 512) " (KiB) in the farebox block (" file "), or take it out")
	v = get("server.max-request-field-size"); if (v == "") v = 8192
	if (v + 0 < header) fault("header", "note", "server.max-request-field-size is " v, "server.max-request-field-size = 65536 in " file)
	if (match(whole[1], /"server.graceful-shutdown-timeout" +=> "?[0-9]+/)) {
		v = substr(whole[1], RSTART, RLENGTH); sub(/.*> "?/, "", v)
		if (kind != "lighttpd-bin-path" && v + 0 && v + 0 < drain_s) fault("reload", "wrong", "a graceful restart of lighttpd cuts what still streams after " v " s (server.graceful-shutdown-timeout); farebox gives calls " drain_s " s", started ? "\"server.graceful-shutdown-timeout\" => " drain_s " among the server.feature-flags in " file : "farebox mount lighttpd --write" (prefix == "" ? "" : " --prefix " prefix))
	}
	if (whole[1] ~ /"server.graceful-restart-bg" => "enable"/ && !started && get("server.systemd-socket-activation") !~ /enable/) fault("reload", "wrong", "a graceful restart ends lighttpd: the new process can no longer listen (server.graceful-restart-bg without server.systemd-socket-activation)", "farebox mount lighttpd --write" (prefix == "" ? "" : " --prefix " prefix))
	if (kind == "lighttpd-bin-path" && whole[depth] !~ /"max-procs" +=> 1,/) fault("procs", "wrong", "lighttpd starts more than one keeper, on sockets of their own: max-procs is not 1", "\"max-procs\" => 1 in the farebox block (" file ")")
	v = get("server.max-fds"); if (v == "") v = 4096
	if (v / 2 < calls) fault("capacity", "note", "lighttpd carries about " int(v / 2) " calls at once (server.max-fds " v "); farebox takes " calls, "server.max-fds = " calls * 2 + 256 " in " file)
}

# lighttpd that starts any program by itself takes no notice of graceful-restart-bg.
NR == FNR { if (/"bin-path"/) started = 1; next }
/^ *} # end of / { mount(); for (k in value) { split(k, p, SUBSEP); if (p[1] == depth) delete value[k] } depth--; next }
/^}$/ { mount(); next }
/^config \{$/ || /^ *(\$|else).*\{$/ { depth++; whole[depth] = ""; next }
{
	line = $0; gsub(/ +=> +/, " => ", line)
	whole[depth] = whole[depth] line "\n"
	if (match($0, /^ *[a-z][a-z.-]+ += /)) { name = $1; v = substr($0, RLENGTH + 1); value[depth, name] = v }
}
