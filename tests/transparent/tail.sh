#!/bin/bash
# Rules of a listener that a reload has taken away stay until clients have acknowledged the end of what they were
# sent. Nobody waits for them, neither a reload nor a worker with its flows: a later reload takes the rules away.
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
gives_up() { grep -q 'have not acknowledged' "$PROXYD_LOG"; }
reload() { "$PROXYD" reload --control "$CONTROL" || fail "a reload was refused"; }
has_rules() { [[ $(nft list tables) == *"proxyd_$TAKEN"* ]]; }
reload_gives_up() { reload && gives_up; }
reload_clears() { reload && ! has_rules; }

LISTENER="- {address: \"[::]:$TAKEN\", intercept: {mode: redirect, traffic: local, ports: [1]}}"
write_config "$LISTENER"
start_proxyd -c "$TMP/proxyd.yaml"
write_config ""
reload
has_rules || fail "the rules went with the listener"

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
STALLED=$SPAWNED_PID
wait_until 60 grep -q stalled "$TMP/stalled.log" || fail "nobody stalls: $(cat "$TMP/stalled.log")"
# And one whose PROXY header is awaited belongs to the plan of the reload above.
exec {HELD}<>"/dev/tcp/127.0.0.1/$FRONT"
one_flow() { [[ $(proxyd_status .flows.active) == 1 ]]; }
wait_until 60 one_flow || fail "no flow"

reload
has_rules || fail "the rules are gone, and a client has not acknowledged all"
! gives_up || fail "it has not been given time"
wait_until 60 reload_gives_up || fail "no reload gives up"
! has_rules || fail "the rules are there after the warning"
exec {HELD}>&-
end "$STALLED"

# Where nobody is left nothing stays.
write_config "$LISTENER"
reload
has_rules || fail "no rules when the listener is back"
write_config ""
reload
wait_until 60 reload_clears || fail "the rules stay for nobody"
assert_equal 1 "$(grep -c 'have not acknowledged' "$PROXYD_LOG")" "warnings, of the client that did not read alone"
stop_proxyd
say "rules stay for the client that does not read, and nobody waits"
