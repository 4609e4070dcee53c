#!/bin/bash
# Who waits for a place is let in when one becomes free, or turned away when his time is over, and
# counted once, however often he has asked.
source "$(dirname "$0")/../lib.sh"
need jq python3

free_port FRONT
free_port BACK
cat >"$TMP/proxyd.yaml" <<END
lane: relay
workers: 2
listeners:
  - name: main
    address: 127.0.0.1:$FRONT
    deny: 127.0.0.9
    limits: {max_flows: 2, action: queue, queue_timeout: 8s}
routes:
  - {name: all, upstream: pool}
upstreams:
  - {name: pool, endpoints: [{address: 127.0.0.1:$BACK}]}
END
start_proxyd -c "$TMP/proxyd.yaml"
spawn greeter python3 "$ROOT/tests/peer.py" greet "$BACK"
wait_listening "$BACK" greeter

python3 - "$FRONT" <<'END' || fail "see above"
import socket, sys, time

port = int(sys.argv[1])


def connect(source="127.0.0.1"):
    flow = socket.create_connection(("127.0.0.1", port), source_address=(source, 0))
    flow.settimeout(60)
    return flow


def ends(flow):
    try:
        return flow.recv(1) == b""
    except ConnectionError:
        return True


inside = [connect(), connect()]
assert all(flow.recv(1) == b"x" for flow in inside)
began = time.monotonic()
waiting = [connect() for _ in range(8)]
for flow in inside:
    flow.close()
# Two get the places, six do not.
greeted = [flow for flow in waiting if not ends(flow)]
waited = time.monotonic() - began
print(f"{len(greeted)} of 8 were let in, the others turned away after {waited:.2f} s")
assert len(greeted) == 2, "two places were free"
assert waited >= 7.9, "queue_timeout is 8 s"
assert ends(connect("127.0.0.9")), "the denied one is in"
END
assert_equal 6 "$(proxyd_status .listeners.main.turned_away.flows)" "turned away for max_flows"
assert_equal 1 "$(proxyd_status .listeners.main.turned_away.denied)" "turned away by deny"
assert_no_active_flows
stop_proxyd
