# shellcheck shell=bash
# A network of three hosts, for tests that source this instead of ../lib.sh: a client, a host where
# proxyd runs, a backend. The test itself, and what it starts, is on the backend.
#
#   client 10.9.1.2 -- 10.9.1.1 proxy 10.9.2.1 -- 10.9.2.2, 10.9.2.3 backend
#   fd09:1::2 -- fd09:1::1 proxy fd09:2::1 -- fd09:2::2
if [[ -z ${SIDELANE_BACKEND-} ]] && ((EUID == 0)); then
	# shellcheck disable=SC2016 # for the inner shell
	SIDELANE_BACKEND=here exec unshare --net --mount bash -c '
		mount -t bpf bpf /sys/fs/bpf && ip link set lo up && exec "$0" "$@"' "$0" "$@"
fi
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"
need_root
need bpftool curl ip jq nft nsenter python3

# shellcheck disable=SC2034 # used by the tests
HERE=$(dirname "${BASH_SOURCE[0]}")
HOSTS=()
CGROUPS_MADE=()
CLIENT=sidelane-$$-client
PROXY=sidelane-$$-proxy

end_network() {
	local status=$? i
	trap '' HUP INT TERM
	set +e # the status must reach cleanup()
	for i in "${!SPAWNED[@]}"; do
		end "${SPAWNED[i]%% *}"
	done
	for i in "${HOSTS[@]}"; do
		ip netns delete "$i"
	done
	for i in "${CGROUPS_MADE[@]}"; do
		wait_until 5 rmdir "$i"
	done
	(exit "$status")
	cleanup
}
trap end_network EXIT

# Without the mounts of `ip netns exec`, which would hide the cgroups.
on() { nsenter --net="/run/netns/$1" "${@:2}"; } # HOST COMMAND...

add_host() { # NAME
	ip netns add "$1" || skip "no network namespace can be made"
	HOSTS+=("$1")
	ip -n "$1" link set lo up
}

# Addresses are there at once: nodad.
add_address() { # HOST INTERFACE NETWORK NUMBER
	ip -n "$1" address add "10.9.$3.$4/24" dev "$2"
	ip -n "$1" address add "fd09:$3::$4/64" dev "$2" nodad
	ip -n "$1" link set "$2" up
}

make_network() { # CLIENT PROXY BACKEND
	ip -n "$2" link add clients type veth peer name eth0 netns "$1"
	ip -n "$2" link add backends type veth peer name eth0 netns "$3"
	on "$2" sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	add_address "$1" eth0 1 2
	add_address "$2" clients 1 1
	add_address "$2" backends 2 1
	add_address "$3" eth0 2 2
	ip -n "$3" address add 10.9.2.3/24 dev eth0
	ip -n "$1" route add default via 10.9.1.1
	ip -n "$1" route add default via fd09:1::1
	ip -n "$3" route add default via 10.9.2.1
	ip -n "$3" route add default via fd09:2::1
}

# The test's own namespace gets a name too.
begin_network() {
	BACK=sidelane-$$-backend
	ip netns attach "$BACK" "$$"
	HOSTS+=("$BACK")
	add_host "$CLIENT"
	add_host "$PROXY"
	make_network "$CLIENT" "$PROXY" "$BACK"
	PROXYD_PREFIX=(nsenter --net="/run/netns/$PROXY")
}
