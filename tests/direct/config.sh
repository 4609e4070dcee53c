#!/bin/bash
# `acceleration` in a configuration: by `proxyd run`, and by `proxyd accelerate -c` with options on top.
. "$(dirname "$0")/lib.sh"

need setpriv
begin_direct
free_port BACKEND
free_port LISTEN
mkdir "$CGROUP/left"

write_config() { # LINES: of the section, besides cgroup and pin
	cat >"$TMP/config.yaml" <<-END
		listeners: ["127.0.0.1:$LISTEN"]
		upstreams: [{name: ends, endpoints: ["127.0.0.1:$BACKEND"]}]
		routes: [{upstream: ends}]
		acceleration:
		  cgroup: "$CGROUP"
		  pin: "$PIN"
		  interval: 20ms
		$1
	END
}

by_config() { "$PROXYD" accelerate -c "$TMP/config.yaml" "$@"; }

nothing_pinned() { [[ -z $(find "$PIN" -mindepth 1 -name 'sidelane*') ]]; }

# ---- proxyd run ----
write_config "  programs: [$PYTHON]"
start_proxyd -c "$TMP/config.yaml" --lane relay
wait_until 60 grep -q 'ready: accelerating' "$PROXYD_LOG" || fail "proxyd run does not accelerate"
start_ends 127.0.0.1 "$BACKEND" 2
talk_into_lane 4
ends talk 100
stop_proxyd
assert_nothing_pinned
ends talk 100
say "proxyd run accelerates, and takes all out when it ends"

start_proxyd -c "$TMP/config.yaml" --lane relay
ends talk 60
kill -KILL "$PROXYD_PID"
wait "$PROXYD_PID" 2>/dev/null || true
forget "$PROXYD_PID"
wait_until 60 nothing_pinned || fail "left after kill -9: $(ls -R "$PIN")"
ends talk 100
end "$ENDS_PID"
say "and when it is killed"

# What cannot be accelerated does not keep it from proxying.
sed -i "s,cgroup: .*,cgroup: $TMP/nowhere," "$TMP/config.yaml"
start_proxyd -c "$TMP/config.yaml" --lane relay
wait_until 60 grep -q 'acceleration: it has ended' "$PROXYD_LOG" || fail "no word of what does not work"
assert_equal 0 "$(proxyd_status .flows.active)" "active flows"
stop_proxyd

# ---- proxyd accelerate -c ----
write_config "  exclude_ports: [1-9, $BACKEND]"
start_ends 127.0.0.1 "$BACKEND" 1
ends talk 60
by_config --dry-run --existing --duration 1s --json >"$TMP/dry.json"
assert_equal 2 "$(jq .sockets.filtered "$TMP/dry.json")" "sockets that would be left out by port"
write_config ''
by_config --dry-run --existing --duration 1s --json --connections --exclude-uid 0-10 >"$TMP/dry.json"
assert_equal filtered "$(jq -r '[.connections[].reason] | unique | join(" ")' "$TMP/dry.json")" \
	"reasons, with --exclude-uid on top"
end "$ENDS_PID"

INSIDE[3]=$CGROUP/left
start_ends 127.0.0.1 "$BACKEND" 1
ends talk 60
by_config --dry-run --existing --duration 1s --json >"$TMP/dry.json"
assert_equal 0 "$(jq .sockets.filtered "$TMP/dry.json")" "filtered sockets"
by_config --dry-run --existing --duration 1s --json --exclude-cgroup "$CGROUP/left" >"$TMP/dry.json"
assert_equal 2 "$(jq .sockets.filtered "$TMP/dry.json")" "sockets of a cgroup that is left out"
end "$ENDS_PID"
rmdir "$CGROUP/left"
say "filters from the config and from options"

# ---- what is wrong is said with its place ----
write_config "  ports: [$(seq -s, 100 116)]"
! "$PROXYD" check -c "$TMP/config.yaml" >"$TMP/check.txt" 2>&1 || fail "17 ports are taken"
grep -q 'yaml:8:.*acceleration.ports: it has more than 16 members' "$TMP/check.txt" ||
	fail "check says: $(cat "$TMP/check.txt")"
write_config "  port: 80"
! by_config --dry-run 2>"$TMP/check.txt" || fail "a key that does not exist is taken"
grep -q "did you mean 'ports'" "$TMP/check.txt" || fail "it says: $(cat "$TMP/check.txt")"
sed -i '/^acceleration/,$d' "$TMP/config.yaml"
! by_config --dry-run 2>"$TMP/check.txt" || fail "a file without acceleration is taken"
grep -q 'it has no .acceleration' "$TMP/check.txt" || fail "it says: $(cat "$TMP/check.txt")"

status=0
setpriv --bounding-set=-all --inh-caps=-all "$PROXYD" accelerate --cgroup "$CGROUP" --dry-run 2>"$TMP/check.txt" || status=$?
assert_equal 1 "$status" "exit status without capabilities"
assert_equal 1 "$(wc -l <"$TMP/check.txt")" "lines without capabilities: $(cat "$TMP/check.txt")"
grep -q 'missing CAP_BPF' "$TMP/check.txt" || fail "it says: $(cat "$TMP/check.txt")"
say "what is wrong is said with its place, and what is missing in one line"
