#!/bin/bash
# A listener that intercepts goes to another address by a reload: its rules and pins have its name and port, as those of
# the address before, whose end must not take them along.
if [[ -z ${NAMESPACE-} ]] && ((EUID == 0)); then
	# shellcheck disable=SC2016 # for the inner shell
	NAMESPACE=ours exec unshare --net --mount bash -c 'mount -t bpf bpf /sys/fs/bpf && exec "$0" "$@"' "$0" "$@"
fi
source "$(dirname "$0")/../lib.sh"
need_root
need ip nft
ip link set lo up
free_port FRONT
free_port TAKEN
free_port BACK
free_port OTHER

# shellcheck disable=SC2016 # in a here-document they do expand
write_config() { # ADDRESS INTERCEPT, or nothing
	cat >"$TMP/proxyd.yaml" <<-END
		lane: relay
		listeners:
		  - 127.0.0.1:$FRONT
		  ${1:+- {name: out, address: '$1:$TAKEN', intercept: {$2, ports: [7777]\}\}}
		upstreams: [{name: back, endpoints: ["127.0.0.1:$BACK"]}]
		routes: [{upstream: back}]
	END
}
reload() { "$PROXYD" reload --control "$CONTROL"; }
takes() { [[ $(nft list table inet "proxyd_${TAKEN}_out" 2>/dev/null) == *"dport 7777"* ]]; }
pinned() { [[ -n $(find /sys/fs/bpf -name "*_proxyd_${TAKEN}_out") ]]; }
# The config as it is written, with a listener that cannot be set up.
refused_with_another() {
	sed -i "3a \\  - {name: other, address: \"[::]:$OTHER\", intercept: {mode: steer, interfaces: [nowhere0]}}" \
		"$TMP/proxyd.yaml"
	! reload 2>"$TMP/refusal.log" || fail "an interface that is not there is taken"
	grep -q 'interfaces. is not there' "$PROXYD_LOG" || fail "refused for something else: $(cat "$PROXYD_LOG")"
}
ends() { # MODE
	stop_proxyd
	"$PROXYD" rules --clear >/dev/null || fail "cannot clear what 'on_exit: closed' left of $1"
}

for exit in open closed; do
	rules="mode: redirect, traffic: local, on_exit: $exit"
	write_config 127.0.0.1 "$rules"
	start_proxyd -c "$TMP/proxyd.yaml"
	takes || fail "nothing is redirected: $(nft list ruleset)"
	write_config 0.0.0.0 "$rules"
	reload || fail "another address was refused: $(cat "$PROXYD_LOG")"
	takes || fail "nothing is redirected to another address, on_exit: $exit: $(nft list ruleset)"
	# What was redirected one way may live on, behind rules that have the name.
	write_config
	reload || fail "a reload without the listener was refused"
	write_config 127.0.0.1 "mode: tproxy, on_exit: $exit"
	! reload 2>"$TMP/refusal.log" || fail "two ways of taking have one name"
	grep -q "out: .*another name" "$PROXYD_LOG" || fail "refused for something else: $(cat "$PROXYD_LOG")"
	write_config 127.0.0.1 "$rules"
	reload || fail "the listener may not come back: $(cat "$PROXYD_LOG")"
	takes || fail "nothing is redirected when it is back, on_exit: $exit: $(nft list ruleset)"
	ends redirect
done

steer="mode: steer, on_exit: closed"
write_config 127.0.0.1 "$steer"
start_proxyd -c "$TMP/proxyd.yaml"
pinned || fail "nothing is pinned: $(ls /sys/fs/bpf)"
write_config 0.0.0.0 "$steer"
reload || fail "another address was refused: $(cat "$PROXYD_LOG")"
pinned || fail "nothing is pinned for another address"
# One that is refused takes its place for a while only.
write_config 127.0.0.1 "$steer"
refused_with_another
pinned || fail "nothing is pinned after a reload that was refused"
write_config
reload || fail "a reload without the listener was refused"
! pinned || fail "the pin outlives its listener"
ends steer

# Routes belong to the port: those of the address before must not take along what has come after them.
routed() { [[ $(ip rule && ip -6 rule) == *"lookup 76"* ]]; }
steer="mode: steer, on_exit: open, interfaces: [lo]"
write_config 0.0.0.0 "$steer"
start_proxyd -c "$TMP/proxyd.yaml"
routed || fail "no routes: $(ip rule)"
write_config '[::]' "$steer"
for try in 1 2 3; do
	reload || fail "another address was refused: $(cat "$PROXYD_LOG")"
	routed || fail "no routes for another address after $try reloads"
done
write_config 0.0.0.0 "$steer"
refused_with_another
routed || fail "no routes after a reload that was refused"
stop_proxyd
! routed || fail "routes outlive proxyd"
say "rules, pins and routes go with a listener to another address"
