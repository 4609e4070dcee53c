# shellcheck shell=bash
# The loopback interface of a network namespace that a benchmark has made for itself.

# Brings it up, with the congestion control CC. Linux's own default is cubic; a machine set to bbr
# paces even loopback, and a new namespace takes that over.
loopback_up() # CC
{
	local route=(dev lo table local proto kernel scope host src 127.0.0.1) address

	ip link set lo up
	for address in 127.0.0.0/8 127.0.0.1; do
		ip route change local "$address" "${route[@]}" congctl "$1" || return
	done
}
