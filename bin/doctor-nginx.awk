# Reads `nginx -T`, its includes put in their places, and prints for each location that passes to our socket what is known of it and what is wrong with it: see doctor-web.
# -v socket= need_s= body= header= calls= main= (the settings file's path)

function bytes(v) { v = tolower(v); return v ~ /k$/ ? v * 1024 : v ~ /m$/ ? v * 1048576 : v ~ /g$/ ? v * 1073741824 : v + 0 }

function seconds(v,   s, n, u) {
	if (v ~ /^[0-9]+$/) return v
	for (s = 0; match(v, /^[0-9]+(ms|[smhdwMy])/); v = substr(v, RLENGTH + 1)) {
		n = v + 0; u = substr(v, RSTART, RLENGTH); sub(/^[0-9]+/, "", u)
		s += u == "ms" ? n / 1000 : u == "m" ? n * 60 : u == "h" ? n * 3600 : u == "d" ? n * 86400 : n
	}
	return s
}

# Words of a statement are kept with a tab before each.
function take(kind) { if (word_on) end_word(); if (line != "" || kind != ";") { n = ++count[file]; what[file, n] = kind; text[file, n] = substr(line, 2) } line = "" }
function end_word() { line = line "\t" word; word = ""; word_on = 0 }

/^# configuration file .*:$/ && !quote { file = substr($0, 22); sub(/:$/, "", file); next }
{
	for (i = 1; i <= length($0); i++) {
		c = substr($0, i, 1)
		if (quote) { if (c == "\\" && i < length($0)) word = word substr($0, ++i, 1); else if (c == quote) quote = ""; else word = word c }
		else if (c == "#" && !word_on) break
		else if ((c == "\"" || c == "'") && !word_on) { quote = c; word_on = 1 }
		else if (c == ";" || (c == "{" && word !~ /\$$/) || (c == "}" && word !~ /\$\{/)) take(c)
		else if (c ~ /[ \t\r]/) { if (word_on) end_word() }
		else { word = word c; word_on = 1 }
	}
	if (quote) word = word "\n"
	else if (word_on) end_word()
}

# The path of an include as a pattern: * is the only sign that is used.
function pattern(v,   p) {
	if (v !~ /^\//) { p = main; sub(/[^\/]*$/, "", p); v = p v }
	gsub(/[.+^$(){}|\[\]]/, "\\\\&", v); gsub(/\*/, "[^/]*", v); gsub(/\?/, "[^/]", v)
	return "^" v "$"
}

# The first walk learns what each block says (what stands after a block counts for it too), the second looks at the locations.
function get(name,   i) { for (i = depth; i >= 0; i--) if ((id[i], name) in value) return value[id[i], name]; return "" }
function set(name, v) { if (name ~ /^(fastcgi_param|error_page|listen|server)$/ && (id[depth], name) in value) v = value[id[depth], name] "\n" v; value[id[depth], name] = v }

function walk(f,   i, name, rest, g, p) {
	for (i = 1; i <= count[f]; i++) {
		name = rest = text[f, i]; sub(/\t.*/, "", name); if (!sub(/^[^\t]*\t/, "", rest)) rest = ""
		if (what[f, i] == "{") { id[++depth] = ++blocks; block[depth] = name; title[depth] = rest }
		else if (what[f, i] == "}") {
			if (block[depth] == "upstream" && pass == 1 && index("\n" get("server") "\n", "\nunix:" socket)) ours[title[depth]] = 1
			if (block[depth] == "events") connections = get("worker_connections")
			if (pass == 2 && (id[depth], "fastcgi_pass") in value) mount(f, value[id[depth], "fastcgi_pass"])
			depth--
		} else if (name == "include") {
			p = pattern(rest)
			for (g = 1; g <= files; g++) if (order[g] ~ p && order[g] != f) walk(order[g])
		} else if (pass == 1) set(name, rest)
	}
}

function fault(check, level, finding, remedy) { print "fault\t" check "\t" level "\t" finding "\t" remedy }

function mount(f, to,   v, n, i, p, l, prefix) {
	if (to != "unix:" socket && to != "unix:" socket ":" && !(to in ours)) return
	print "mount\tnginx\t" f
	v = get("listen"); if (v == "") v = "80"
	n = split(v, p, "\n")
	for (i = 1; i <= n; i++) if (p[i] !~ /^(unix:|\[)/) print "listen\t" (p[i] ~ /\tssl/ ? "https" : "http") "\t" substr(p[i], 1, match(p[i] "\t", /\t/) - 1)
	v = get("server_name"); sub(/\t.*/, "", v); if (v ~ /^[a-zA-Z0-9.-]+$/) print "host\t" v
	n = split(get("fastcgi_param"), p, "\n")
	for (i = 1; i <= n; i++) {
		split(p[i], l, "\t")
		if (l[1] == "HTTP_AUTHORIZATION" && l[2] != "$http_authorization") fault("auth", "wrong", f " sets fastcgi_param HTTP_AUTHORIZATION", "take the line fastcgi_param HTTP_AUTHORIZATION out of " f)
		if (l[1] == "FAREBOX_PREFIX") prefix = l[2]
	}
	if (prefix != "") print "prefix\t" prefix
	if (get("fastcgi_pass_request_headers") == "off") fault("auth", "wrong", f " has fastcgi_pass_request_headers off", "take fastcgi_pass_request_headers off; out of " f)
	if (get("fastcgi_buffering") != "off" && get("fastcgi_ignore_headers") ~ /X-Accel-Buffering/) fault("stream", "wrong", "nginx keeps answers back: fastcgi_buffering is on", "fastcgi_buffering off; in the farebox location (" f ")")
	if (get("fastcgi_intercept_errors") == "on" && get("error_page") != "") fault("refusal", "wrong", "nginx puts its own pages in place of refusals: fastcgi_intercept_errors is on", "fastcgi_intercept_errors off; in the farebox location (" f ")")
	v = get("client_max_body_size"); if (v == "") v = "1m"
	if (bytes(v) && bytes(v) <= body) fault("body", "wrong", "client_max_body_size is " v, "client_max_body_size " body * 2 "; in the farebox location (" f ")")
	v = get("fastcgi_read_timeout"); if (v == "") v = "60s"
	if (seconds(v) <= need_s) fault("timeout", "wrong", "nginx gives up after " v " of silence (fastcgi_read_timeout); farebox waits up to " need_s " s for an upstream", "fastcgi_read_timeout " need_s + 10 "s; in the farebox location (" f ")")
	v = get("fastcgi_buffer_size"); if (v == "") v = "4k"
	if (bytes(v) < 24576) fault("buffers", "wrong", "nginx takes no more than " v " of answer headers (fastcgi_buffer_size); farebox passes up to 16 KiB on", "fastcgi_buffer_size 32k; fastcgi_buffers 8 32k; in the farebox location (" f ")")
	v = get("large_client_header_buffers"); if (v == "") v = "4\t8k"
	sub(/.*\t/, "", v)
	if (bytes(v) < header) fault("header", "note", "large_client_header_buffers has room for " v " a header", "large_client_header_buffers 4 32k; in the server { } of " f)
	if (get("fastcgi_next_upstream") ~ /non_idempotent/) fault("retry", "wrong", "nginx may send a call a second time, which is then paid twice (fastcgi_next_upstream non_idempotent)", "fastcgi_next_upstream off; in the farebox location (" f ")")
	v = get("worker_processes"); v = v == "auto" ? cpus : v == "" ? 1 : v
	if (connections == "") connections = 512
	if (v * connections / 2 < calls) fault("capacity", "note", "nginx carries about " int(v * connections / 2) " calls at once (worker_connections " connections "); farebox takes " calls, "worker_connections " int(calls * 2 / v) + 64 "; worker_rlimit_nofile " int(calls * 4 / v) + 256 "; in " main)
}

END {
	for (k in count) seen[k] = 1
	files = 0
	for (k in seen) order[++files] = k
	for (i = 1; i <= files; i++) for (j = i + 1; j <= files; j++) if (order[j] < order[i]) { k = order[i]; order[i] = order[j]; order[j] = k }
	for (pass = 1; pass <= 2; pass++) { id[0] = depth = blocks = 0; walk(main) }
}
