#!/bin/bash
# Mode redirect: a client that gets the port of a connection which proxyd had, and its server has reset, is
# taken like any other.
if [[ -z ${NAMESPACE-} ]] && ((EUID == 0)); then
	NAMESPACE=ours exec unshare --net "$0" "$@"
fi
source "$(dirname "$0")/../lib.sh"
need_root
need jq python3
ip link set lo up
free_port FRONT
free_port ASKED

reuse() { # ADDRESS
	timeout 60 python3 - "$@" "$ASKED" <<-'END'
		import socket, struct, sys
		asked = sys.argv[1], int(sys.argv[2])
		family = socket.AF_INET6 if ":" in asked[0] else socket.AF_INET
		server = socket.create_server(asked, family=family)
		first = socket.create_connection(asked)
		accepted, proxyd = server.accept()
		assert proxyd[1] != first.getsockname()[1], "the first went past proxyd"
		accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
		accepted.close()
		try:
		    sys.exit(f"the first was not reset: {first.recv(1)}")
		except ConnectionResetError:
		    pass
		second = socket.socket(family)
		second.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		second.bind((asked[0], proxyd[1]))
		second.connect(asked)
		second.sendall(b"x")
		assert server.accept()[0].recv(1) == b"x"
	END
}

for address in 127.0.0.1 ::1; do
	bracketed=$address
	[[ $address != *:* ]] || bracketed="[$address]"
	cat >"$TMP/proxyd.yaml" <<-END
		lane: relay
		listeners:
		  - address: "$bracketed:$FRONT"
		    intercept: {mode: redirect, traffic: local, interfaces: [lo], ports: [$ASKED]}
		routes: [{original_destination: true}]
	END
	start_proxyd -c "$TMP/proxyd.yaml"
	reuse "$address" || fail "$address: see above"
	assert_equal 2 "$(proxyd_status .flows.total)" "$address: connections that proxyd has taken"
	stop_proxyd
done
say "none of two connections goes past proxyd"
