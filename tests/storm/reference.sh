#!/bin/bash
# storm through proxies that half the world relies on: where it complains about these, storm is to
# blame, but for what is known of them. Both forward a reset as an end of stream and take urgent bytes out
# of it. HAProxy drops a connection whose client has half-closed before it has said anything and before
# the server is connected.
. "$(dirname "$0")/../lib.sh"
need haproxy nginx
TOOLS=${TOOLS:-$ROOT/build/release/tests/storm}
[[ -x $TOOLS/storm ]] || fail "$TOOLS/storm is not there: build it first"
STREAM=$(find /usr/lib/nginx/modules -name ngx_stream_module.so 2>/dev/null | head -n 1 || true)
[[ -n $STREAM ]] || skip "nginx has no stream module (libnginx-mod-stream)"

DEFAULT=20000
((QUICK == 0)) || DEFAULT=1500
CONNECTIONS=${CONNECTIONS:-$DEFAULT}

free_port FRONT
free_port BACK

start_haproxy() { # ADDRESS
	cat >"$TMP/haproxy.cfg" <<-END
		global
		    maxconn 4000
		defaults
		    mode tcp
		    timeout connect 10s
		    timeout client 60s
		    timeout server 60s
		listen storm
		    bind $1:$FRONT
		    server storm $1:$BACK
	END
	spawn haproxy haproxy -db -f "$TMP/haproxy.cfg"
}

start_nginx() { # ADDRESS
	cat >"$TMP/nginx.conf" <<-END
		load_module $STREAM;
		daemon off;
		pid $TMP/nginx.pid;
		error_log stderr crit;
		events { worker_connections 4000; }
		stream {
		    server {
		        listen $1:$FRONT;
		        proxy_pass $1:$BACK;
		        proxy_half_close on;
		    }
		}
	END
	spawn nginx nginx -e stderr -c "$TMP/nginx.conf"
}

through() { # PROXY ADDRESS STORM-OPTIONS...
	local proxy=$1 address=$2 log=$TMP/storm.log
	shift 2
	"start_$proxy" "$address"
	wait_listening "$FRONT" "$proxy"
	if ! "$TOOLS/storm" --connect "$address:$FRONT" --listen "$address:$BACK" \
		--connections "$CONNECTIONS" --reset-as-eof-ok "$@" >"$log"; then
		cat "$log" >&2
		fail "$proxy, $address: $(tail -n 1 "$log")"
	fi
	say "$proxy, $address: $(tail -n 1 "$log"); $(tail -n 2 "$log" | head -n 1)"
	end "$SPAWNED_PID"
}

for address in 127.0.0.1 '[::1]'; do
	through haproxy "$address" --except urgent --except empty-half-close
	through nginx "$address" --except urgent
done
