# shellcheck shell=bash
# What a reader must know of the machine to make sense of the figures. Sourced by run, whose options
# it tells too.
# shellcheck disable=SC2154

sysctls=(
	net.core.bpf_jit_enable
	net.core.netdev_max_backlog
	net.core.rmem_max
	net.core.somaxconn
	net.core.wmem_max
	net.ipv4.ip_local_port_range
	net.ipv4.tcp_congestion_control
	net.ipv4.tcp_mem
	net.ipv4.tcp_rmem
	net.ipv4.tcp_timestamps
	net.ipv4.tcp_tw_reuse
	net.ipv4.tcp_wmem
	kernel.bpf_stats_enabled
)

sysctl_facts()
{
	local name path

	for name in "${sysctls[@]}"; do
		path=/proc/sys/${name//.//}
		[[ ! -r $path ]] || printf '%s\t%s\n' "$name" "$(tr '\t' ' ' <"$path")"
	done | jq -Rn '[inputs / "\t" | {(.[0]): .[1]}] | add'
}

version_facts()
{
	local name

	for name in haproxy nginx; do
		[[ -n $(target_missing "$name") ]] || printf '%s\t%s\n' "$name" "$(target_version "$name")"
	done
	[[ -n $(target_missing auto) ]] || printf 'proxyd\t%s\n' "$(target_version proxyd)"
	printf 'commit\t%s\n' "$(git -C "$top" describe --always --dirty 2>/dev/null || echo unknown)"
}

cpu_model()
{
	sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1
}

memory_gib()
{
	awk '/^MemTotal/ {printf "%.1f", $2 / 1048576}' /proc/meminfo
}

machine_facts()
{
	jq -n \
		--arg date "$(date -u +%Y-%m-%dT%H:%MZ)" \
		--arg kernel "$(uname -r)" \
		--arg cpu "$(cpu_model)" \
		--argjson cores "$(nproc --all)" \
		--arg memory_gib "$(memory_gib)" \
		--argjson virtual "$(grep -qw hypervisor /proc/cpuinfo && echo true || echo false)" \
		--arg clocksource "$(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)" \
		--arg load "$(cut -d' ' -f1-3 /proc/loadavg)" \
		--argjson versions "$(version_facts | jq -Rn '[inputs / "\t" | {(.[0]): .[1]}] | add')" \
		--argjson sysctls "$(sysctl_facts)" \
		--argjson rounds "$rounds" --argjson seconds "$seconds" --argjson warm_up "$warm_up" \
		--arg congestion "$congestion" \
		'$ARGS.named'
}
