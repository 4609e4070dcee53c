#!/bin/bash
# Without a descriptor left proxyd waits for one: no client who was let in is lost, and neither the
# log nor the processor is filled by trying again.
source "$(dirname "$0")/../lib.sh"
need jq python3 prlimit

free_port FRONT
free_port BACK
cat >"$TMP/proxyd.yaml" <<END
lane: relay
workers: 1
listeners:
  - {name: main, address: 127.0.0.1:$FRONT}
routes:
  - {name: all, upstream: pool}
upstreams:
  - {name: pool, endpoints: [{address: 127.0.0.1:$BACK}]}
END

PROXYD_PREFIX=(prlimit --nofile=64)
start_proxyd -c "$TMP/proxyd.yaml"
spawn greeter python3 "$ROOT/tests/peer.py" greet "$BACK"
wait_listening "$BACK" greeter

# Silent clients of the control socket take all that flows leave; when they go, all goes on.
BEFORE=$(stat -c %s "$PROXYD_LOG")
python3 - "$CONTROL" "$FRONT" "/proc/$PROXYD_PID" <<'END' || fail "see above"
import os, socket, sys, time

control, port, process = sys.argv[1], int(sys.argv[2]), sys.argv[3]


def ticks():
    return sum(int(field) for field in open(process + "/stat").read().rsplit(") ", 1)[1].split()[11:13])


def connect():
    flow = socket.create_connection(("127.0.0.1", port))
    flow.settimeout(60)
    return flow


def count():
    return len(os.listdir(process + "/fd"))


silent = []
while (used := count()) < 62:
    silent.append(socket.socket(socket.AF_UNIX))
    silent[-1].connect(control)
    while count() == used:
        time.sleep(0.01)
# What is left does for a downstream, not for its upstream.
flows = [connect() for _ in range(4)]
for _ in range(8):
    extra = socket.socket(socket.AF_UNIX)
    extra.connect(control)
    silent.append(extra)
before = ticks()
time.sleep(1.5)
spent = (ticks() - before) * 1000 // os.sysconf("SC_CLK_TCK")
print(f"{len(silent)} silent clients, {spent} ms of 1500 ms spent without a descriptor")
for one in silent:
    one.close()
assert all(flow.recv(1) == b"x" for flow in flows), "a flow was closed for want of a descriptor"
assert spent < 300, "proxyd spins"
END
AFTER=$(stat -c %s "$PROXYD_LOG")
assert_number $((AFTER - BEFORE)) -le 4000 "bytes of log for want of descriptors"
stop_proxyd
