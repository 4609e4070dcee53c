# shellcheck shell=bash
# What the tests of the direct lane through the proxy share. Source it instead of lib.sh.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
CONTROL=$TMP/control.sock

# shellcheck disable=SC2034 # used by the tests
begin_through() {
	begin_direct
	free_port FRONT
	free_port BACKEND
}

# With the tests' clients as programs that may be paired, but for what is given.
start_through() { # HOST OPTIONS...
	local address=$1
	shift
	[[ $address != *:* ]] || address="[$address]"
	cat >"$TMP/through.yaml" <<-END
		direct_lane: true
		direct_programs: [$PYTHON, memcslap]
		${ACCESS_LOG:+access_log: $ACCESS_LOG}
		pin: $PIN
		listeners:
		  - address: "$address:$FRONT"
		    ${FROM:+proxy_protocol: $FROM}
		upstreams:
		  - name: backend
		    endpoints: ["$address:$BACKEND"]
		    timeouts: {idle: ${IDLE_TIMEOUT:-1h}}
		    proxy_protocol: ${PROXY_PROTOCOL:-none}
		routes: [{upstream: backend}]
	END
	start_proxyd -c "$TMP/through.yaml" "$@"
	[[ $(proxyd_status '.direct_lane.available | tostring') == true ]] ||
		fail "no direct lane: $(cat "$PROXYD_LOG")"
}

stop_through() {
	stop_proxyd
	assert_nothing_pinned
}

in_lane() { [[ $(proxyd_status .direct_lane.sockets.in_lane) == "$1" ]]; } # SOCKETS

# Until every socket is in the lane, they talk.
talk_through() { # SOCKETS
	local end=$((SECONDS + 60))
	while ((SECONDS < end)); do
		ends talk 30 1
		! in_lane "$1" || return 0
	done
	fail "not $1 sockets in the lane: $(proxyd_status .direct_lane)"
}
