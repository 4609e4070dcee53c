# shellcheck shell=bash
# What the direct lane wants of a benchmark: a BPF file system and a cgroup of its own. Sourced by
# scripts that have made themselves namespaces of network and mounts.
# shellcheck disable=SC2154

# Prints why not, or nothing.
direct_missing()
{
	[[ -n $(findmnt -n -t cgroup2 -o TARGET) ]] || echo "no cgroup v2 is mounted"
}

# Makes DIR and the cgroup. Sets:
#   bpf_fs   where to pin
#   cgroup   what `proxyd accelerate` takes
#   inside   prefix of a command that is to run in it, which stays the process that was started
# shellcheck disable=SC2016,SC2034 # expanded by the shell that it starts; used by the scripts
direct_begin() # DIR
{
	bpf_fs=$1 cgroup=$(findmnt -n -t cgroup2 -o TARGET | head -n 1)/sidelane-bench-$$
	inside=(bash -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$cgroup")
	mkdir "$bpf_fs" "$cgroup" && mount -t bpf bpf "$bpf_fs"
}

# When the processes in there have been ended.
direct_end()
{
	local i
	[[ -n ${bpf_fs-} ]] || return 0
	umount "$bpf_fs" || true
	for ((i = 0; i < 50; i++)); do
		rmdir "$cgroup" 2>/dev/null && break
		sleep 0.1
	done
	bpf_fs=
}
