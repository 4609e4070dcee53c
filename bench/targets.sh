# shellcheck shell=bash
# What can stand between client and server: how each is started, with its own configuration in a
# directory of our own, in the foreground, and stopped by its pid. Sourced by run, which sets:
#   tmp         directory of this run             listen_port   where the proxy accepts
#   pin         command prefix (taskset) or ()    server_port   where the server listens
#   setting     pinned | unpinned                 proxyd        path of the binary
#   inside      command prefix, bpf_fs, cgroup: see direct.sh
# One proxy is alive at a time: a program on a cgroup would touch its neighbours' sockets too.
# shellcheck disable=SC2154

proxy_pid=
nginx_stream_module=/usr/lib/nginx/modules/ngx_stream_module.so

nginx_has_streams()
{
	command -v nginx >/dev/null || return 1
	[[ -e $nginx_stream_module ]] || nginx -V 2>&1 | grep -qw -- '--with-stream'
}

is_proxyd()
{
	[[ $1 =~ ^(relay|kernel|auto|direct-lane|accelerate)$ ]]
}

# Prints why a target cannot be measured; says nothing when it can.
target_missing()
{
	case $1 in
	direct | unix) ;;
	haproxy | haproxy-splice) command -v haproxy >/dev/null || echo "haproxy is not installed" ;;
	nginx) nginx_has_streams || echo "no nginx with its stream module is installed" ;;
	relay | kernel | auto | direct-lane) [[ -x $proxyd ]] || echo "no proxyd at $proxyd" ;;
	accelerate) if [[ -x $proxyd ]]; then direct_missing; else echo "no proxyd at $proxyd"; fi ;;
	*) return 2 ;;
	esac
}

target_version()
{
	case $1 in
	haproxy) haproxy -v | sed -n '1s/^HAProxy version \([^ ]*\).*/\1/p' ;;
	nginx) nginx -v 2>&1 | sed 's/^nginx version: //' ;;
	proxyd) "$proxyd" --version 2>/dev/null || echo unknown ;;
	esac
}

# In a session of its own, so that whatever it forks can be ended with it.
spawn()
{
	setsid "${pin[@]}" "$@" >"$tmp/proxy.log" 2>&1 </dev/null &
	proxy_pid=$!
}

start_direct()
{
	:
}

start_unix()
{
	:
}

# Room for the idle flows; everything else but splicing is HAProxy's default. splice-auto leaves it
# to HAProxy whether to splice, and it may well decide to copy: hence the second target.
start_haproxy()
{
	start_haproxy_with 'option splice-auto'
}

start_haproxy-splice()
{
	start_haproxy_with $'option splice-request\n\toption splice-response'
}

start_haproxy_with()
{
	local threads=''
	[[ $setting == unpinned ]] || threads='nbthread 1'
	cat >"$tmp/haproxy.cfg" <<-EOF
		global
			maxconn 4000
			$threads
		defaults
			mode tcp
			$1
			timeout connect 5s
			timeout client 1m
			timeout server 1m
		listen bench
			bind 127.0.0.1:$listen_port
			server echo 127.0.0.1:$server_port
	EOF
	spawn haproxy -db -f "$tmp/haproxy.cfg"
}

# Without proxy_half_close nginx drops the server's answer to a client that has ended its stream.
start_nginx()
{
	local workers=1 module=''
	[[ $setting == pinned ]] || workers=auto
	[[ ! -e $nginx_stream_module ]] || module="load_module $nginx_stream_module;"
	cat >"$tmp/nginx.conf" <<-EOF
		$module
		daemon off;
		user root;
		pid $tmp/nginx.pid;
		worker_processes $workers;
		events {
			worker_connections 8192;
		}
		stream {
			server {
				listen 127.0.0.1:$listen_port;
				proxy_pass 127.0.0.1:$server_port;
				proxy_half_close on;
			}
		}
	EOF
	spawn nginx -p "$tmp" -e stderr -c "$tmp/nginx.conf"
}

start_proxyd()
{
	local workers=()
	[[ $setting == unpinned ]] || workers=(--workers 1)
	spawn "$proxyd" run --control "$tmp/control" "${workers[@]}" "$@"
}

start_lane()
{
	start_proxyd --listen "127.0.0.1:$listen_port" --upstream "127.0.0.1:$server_port" --lane "$1"
}

start_relay()
{
	start_lane relay
}

start_kernel()
{
	start_lane kernel
}

start_auto()
{
	start_lane auto
}

start_direct-lane()
{
	cat >"$tmp/proxyd.yaml" <<-EOF
		direct_lane: true
		direct_programs: [echo_pair]
		pin: $bpf_fs
		listeners: ["127.0.0.1:$listen_port"]
		upstreams: [{name: echo, endpoints: ["127.0.0.1:$server_port"]}]
		routes: [{upstream: echo}]
	EOF
	start_proxyd -c "$tmp/proxyd.yaml"
}

# No proxy: the programs connect to each other.
start_accelerate()
{
	spawn "$proxyd" accelerate --cgroup "$cgroup" --pin "$bpf_fs" --program echo_pair
}

# Where a client finds the target, and how, as echo_pair's options. Connections enter the direct lane
# after some looks at all sockets, half a second apart: that takes two seconds, and more on a busy machine.
target_options()
{
	case $1 in
	direct) ;;
	unix) echo --unix ;;
	accelerate) printf '%s\n' --warm-up 3 ;;
	direct-lane) printf '%s\n' --target "$listen_port" --warm-up 3 ;;
	*) printf '%s\n' --target "$listen_port" ;;
	esac
}

# What echo_pair is started by.
target_prefix()
{
	[[ $1 != accelerate ]] || printf '%s\n' "${inside[@]}"
}

# Listening is looked up, not tried: a connection would be a flow with no server behind it.
target_ready()
{
	! is_proxyd "$1" || grep -q ready "$tmp/proxy.log" || return 1
	[[ $1 == accelerate || -n $(ss -Hltn "sport = :$listen_port") ]]
}

target_start()
{
	local attempt

	"start_$1"
	[[ -n $proxy_pid ]] || return 0
	for ((attempt = 0; attempt < 200; attempt++)); do
		kill -0 "$proxy_pid" 2>/dev/null || return 1
		target_ready "$1" && return 0
		sleep 0.05
	done
	echo "not ready after 10 s" >>"$tmp/proxy.log"
	return 1
}

# Which share of the bytes which of proxyd's lanes took, as JSON; {} for the others. Of an accelerated
# connection: of the bytes that were sent while it was in the lane.
target_counters()
{
	local status=()

	is_proxyd "$1" || { echo '{}' && return; }
	status=(status --json --control "$tmp/control")
	[[ $1 != accelerate ]] || status=(accelerate --cgroup "$cgroup" --pin "$bpf_fs" --status --json)
	"$proxyd" "${status[@]}" 2>/dev/null | jq -c --arg target "$1" '
		.bytes | [.kernel, .relay, .direct, .tcp] as $lanes | ($lanes | add) as $all |
		if $all == 0 then {}
		elif $target == "accelerate" or $target == "direct-lane"
		then {direct_lane_percent: (.direct / $all * 100)}
		else {kernel_lane_percent: (.kernel / $all * 100)}
		end
	' 2>/dev/null || echo '{}'
}

target_stop()
{
	local pid=$proxy_pid attempt

	[[ -n $pid ]] || return 0
	proxy_pid=
	kill -TERM "$pid" 2>/dev/null || true
	for ((attempt = 0; attempt < 100; attempt++)); do
		kill -0 "$pid" 2>/dev/null || break
		sleep 0.02
	done
	! kill -0 "$pid" 2>/dev/null || echo "note: $(ps -o comm= "$pid") ignored SIGTERM for 2 s" >&2
	kill -KILL -- "-$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
}
