#!/bin/bash
# A reload that is refused because something cannot be intercepted changes nothing else either.
if [[ -z ${NAMESPACE-} ]] && ((EUID == 0)); then
	NAMESPACE=ours exec unshare --net "$0" "$@"
fi
source "$(dirname "$0")/../lib.sh"
need_root
need jq
ip link set lo up
free_port FRONT
free_port TAKEN
free_port ONE
free_port OTHER

write_config() { # ENDPOINT [LISTENER]
	cat >"$TMP/proxyd.yaml" <<-END
		lane: relay
		listeners:
		  - 127.0.0.1:$FRONT
		  ${2-}
		upstreams: [{name: back, endpoints: ["127.0.0.1:$1"]}]
		routes: [{upstream: back}]
	END
}
endpoints() { proxyd_status '[.upstreams.back.endpoints[].address] | join(" ")'; }

write_config "$ONE"
start_proxyd -c "$TMP/proxyd.yaml"
assert_equal "127.0.0.1:$ONE" "$(endpoints)" "endpoints"
write_config "$OTHER" "- {address: \"[::]:$TAKEN\", intercept: {mode: steer, interfaces: [nowhere0]}}"
! "$PROXYD" reload --control "$CONTROL" 2>"$TMP/refused.log" || fail "an interface that is not there is taken"
grep -q 'interfaces. is not there' "$PROXYD_LOG" || fail "refused for something else: $(cat "$PROXYD_LOG")"
assert_equal "127.0.0.1:$ONE" "$(endpoints)" "endpoints after a reload that was refused"
write_config "$OTHER"
"$PROXYD" reload --control "$CONTROL" || fail "the reload without the interface was refused"
assert_equal "127.0.0.1:$OTHER" "$(endpoints)" "endpoints after a reload"
stop_proxyd
say "a reload is taken on whole, or not at all"
