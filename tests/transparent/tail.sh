#!/bin/bash
# Rules of a listener that a reload has taken away stay until clients have acknowledged the end of what they were
# sent. It is the reload that waits for them, never a worker with its flows.
if [[ -z ${NAMESPACE-} ]] && ((EUID == 0)); then
	NAMESPACE=ours exec unshare --net "$0" "$@"
fi
source "$(dirname "$0")/../lib.sh"
need_root
need nft python3
ip link set lo up
free_port TAKEN
free_port FRONT
free_port BACK

write_config() { # LISTENER
	cat >"$TMP/proxyd.yaml" <<-END
		lane: relay
		listeners:
		  - {address: "127.0.0.1:$FRONT", proxy_protocol: {from: 127.0.0.1, timeout: 10m}}
		  $1
		upstreams: [{name: back, endpoints: ["127.0.0.1:$BACK"]}]
		routes: [{upstream: back}]
	END
}
waits() { grep -q 'have not acknowledged' "$PROXYD_LOG"; }

write_config "- {address: \"[::]:$TAKEN\", intercept: {mode: redirect, traffic: local, ports: [1]}}"
start_proxyd -c "$TMP/proxyd.yaml"
write_config ""
"$PROXYD" reload --control "$CONTROL" || fail "the reload without the listener was refused"

# A client that does not read has the port that the listener had.
spawn stalled python3 -c '
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
client = socket.create_connection(listener.getsockname())
server = listener.accept()[0]
server.setblocking(False)
try:
    while True:
        server.send(bytes(100000))
except BlockingIOError:
    server.close()
listener.close()
print("stalled", flush=True)
time.sleep(600)
' "$TAKEN"
wait_until 60 grep -q stalled "$TMP/stalled.log" || fail "nobody stalls: $(cat "$TMP/stalled.log")"
# And one whose PROXY header is awaited belongs to the plan of the reload above.
exec {HELD}<>"/dev/tcp/127.0.0.1/$FRONT"
one_flow() { [[ $(proxyd_status .flows.active) == 1 ]]; }
wait_until 60 one_flow || fail "no flow"

! waits || fail "somebody waits already: $(cat "$PROXYD_LOG")"
"$PROXYD" reload --control "$CONTROL" || fail "the second reload was refused"
waits || fail "the reload has not waited for the client that does not read"
exec {HELD}>&-
stop_proxyd
say "the reload has waited"
