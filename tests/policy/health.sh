#!/bin/bash
# Servers are killed, hang and come back under a steady load: each is taken out and back in time, and
# clients see no more of it than they must. Names are followed when their records change.
. "$(dirname "$0")/../lib.sh"
need jq nginx python3 redis-cli redis-server

INTERVAL=100 TIMEOUT=3000 RISE=2 FALL=2 # of the checks, ms; no server that is well takes so long
TTL=1                                   # s
RATE=50                                 # requests a second, of each load
PATIENCE=10                             # s, of a client
GET='GET / HTTP/1.0\r\n\r\n'

free_port WEB
free_port PLAIN
free_port CACHE
free_port APP
free_port HOST # of two addresses, one after the other
for name in a b c; do
	free_port "WEB_${name^^}"
	free_port "CACHE_${name^^}"
done

now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

# ---- servers ----

declare -A PIDS

nginx_config() { # NAME ADDRESS...
	local name=$1 address
	shift
	mkdir -p "$TMP/$name"
	cat <<-END
		pid $TMP/$name/pid;
		error_log stderr warn;
		events { worker_connections 512; }
		http {
		    access_log off;
		    client_body_temp_path $TMP/$name/body;
		    proxy_temp_path $TMP/$name/proxy;
		    fastcgi_temp_path $TMP/$name/fastcgi;
		    uwsgi_temp_path $TMP/$name/uwsgi;
		    scgi_temp_path $TMP/$name/scgi;
	END
	for address; do
		printf '    server { listen %s; return 200 "who=%s\\n"; }\n' "${address%=*}" "${address#*=}"
	done
	echo "}"
}

start_nginx() { # NAME
	spawn "nginx-$1" nginx -e stderr -c "$TMP/$1.conf" -g 'daemon off; master_process off;'
	PIDS[nginx-$1]=$SPAWNED_PID
}

start_redis() { # NAME
	local port=CACHE_${1^^}
	spawn "redis-$1" redis-server --port "${!port}" --bind 127.0.0.1 --save '' --dir "$TMP"
	PIDS[redis-$1]=$SPAWNED_PID
	wait_listening "${!port}" "redis $1"
	redis-cli -p "${!port}" set who "who=$1" >/dev/null
}

murder() { # NAME
	local pid=${PIDS[$1]}
	send KILL "$pid"
	wait "$pid" 2>/dev/null || true
	forget "$pid"
}

start_servers() {
	local name port
	for name in a b c; do
		port=WEB_${name^^}
		nginx_config "$name" "127.0.0.1:${!port}=$name" >"$TMP/$name.conf"
		start_nginx "$name"
		wait_listening "${!port}" "nginx $name"
		start_redis "$name"
	done
	nginx_config both "127.0.0.1:$HOST=one" "127.0.0.2:$HOST=two" >"$TMP/both.conf"
	start_nginx both
	wait_listening "$HOST" "nginx of two addresses"
}

start_name_server() {
	coproc NAMES { exec python3 "$ROOT/tests/unit/name_server.py" 2>"$TMP/names.log"; }
	SPAWNED+=("$NAMES_PID names")
	local word
	read -r word DNS_PORT <&"${NAMES[0]}"
	assert_equal ready "$word" "the name server's first word"
	tell "set app.test A $TTL 127.0.0.1"
	tell "nothing app.test AAAA $TTL"
}

tell() { # LINE
	local answer
	echo "$1" >&"${NAMES[1]}"
	read -r answer <&"${NAMES[0]}"
	assert_equal ok "$answer" "the name server's answer to '$1'"
}

# ---- proxyd ----

write_config() {
	cat >"$TMP/proxyd.yaml" <<-END
		dns_servers: 127.0.0.1:$DNS_PORT
		listeners:
		  - {name: web, address: 127.0.0.1:$WEB}
		  - {name: plain, address: 127.0.0.1:$PLAIN}
		  - {name: cache, address: 127.0.0.1:$CACHE}
		  - {name: app, address: 127.0.0.1:$APP}
		routes:
		  - {match: {listener: web}, upstream: web}
		  - {match: {listener: plain}, upstream: plain}
		  - {match: {listener: cache}, upstream: cache}
		  - {match: {listener: app}, upstream: app}
		upstreams:
		  - name: web
		    endpoints: [127.0.0.1:$WEB_A, 127.0.0.1:$WEB_B, 127.0.0.1:$WEB_C]
		    health: {type: http, $(check)}
		    retries: {attempts: 3, budget_min: 1000} # a panic takes more than a fifth
		    ejection: {failures: 0, panic: 50%}
		  - name: plain # flows alone tell
		    endpoints: [127.0.0.1:$WEB_A, 127.0.0.1:$WEB_B, 127.0.0.1:$WEB_C]
		    retries: {attempts: 3, budget_min: 1000}
		    ejection: {failures: 3, time: 1s, panic: 0%}
		  - name: cache
		    endpoints: [127.0.0.1:$CACHE_A, 127.0.0.1:$CACHE_B, 127.0.0.1:$CACHE_C]
		    health: {type: expect, send: "PING\\r\\n", expect: "+PONG", $(check)}
		    retries: {attempts: 3, budget_min: 1000}
		    ejection: {failures: 0}
		  - {name: app, endpoints: "app.test:$HOST"}
	END
}

check() { echo "interval: ${INTERVAL}ms, timeout: ${TIMEOUT}ms, rise: $RISE, fall: $FALL"; }

state() { # UPSTREAM PORT
	proxyd_status ".upstreams.$1.endpoints[] | select(.address | endswith(\":$2\")).state"
}
is_state() { [[ $(state "$1" "$2") == "$3" ]]; }
picks() { proxyd_status ".upstreams.$1.endpoints[] | select(.address | endswith(\":$2\")).picks"; }
picked_since() { (($(picks web "$WEB_A") > $1)); } # PICKS
is_serving() { [[ $(proxyd_status ".upstreams.$1.serving") == "$2" ]]; }

# Waits; SEEN is when. How long it took depends on the machine, too: it is printed.
await_state() { # UPSTREAM PORT STATE SINCE-MS
	wait_until 60 is_state "$1" "$2" "$3" || fail "$1: endpoint is '$(state "$1" "$2")', not '$3', after a minute"
	SEEN=$(now_ms)
	say "$1: $3 after $((SEEN - $4)) ms"
}

# ---- load ----

start_load() { # NAME PORT WORDS
	spawn "load-$1" python3 "$ROOT/tests/policy/steady.py" --connect "127.0.0.1:$2" --say "$3" \
		--rate "$RATE" --patience "$PATIENCE"
	PIDS[load-$1]=$SPAWNED_PID
}

# Requests that began in a stretch of time and ended as the pattern says.
count() { # LOAD FROM-MS TO-MS PATTERN
	awk -v from="$2" -v to="$3" -v pattern="$4" \
		'$1 >= from && $1 < to && $3 ~ pattern { n++ } END { print n + 0 }' "$TMP/load-$1.log"
}
answers() { (($(count "$1" "$2" 9e15 "^$3\$") > 0)); } # LOAD SINCE-MS NAME

assert_no_errors() { # LOAD FROM-MS TO-MS WHAT
	local requests
	requests=$(count "$1" "$2" "$3" .)
	assert_number "$requests" -gt 0 "$1: requests $4"
	assert_equal 0 "$(count "$1" "$2" "$3" '^!')" "$1: failed requests of $requests $4"
}

# ---- what happens ----

# Requests that are under way when `b` ends may fail. All that begin later are retried.
test_kill() {
	local dead load of_web of_cache
	murder nginx-b
	murder redis-b
	dead=$(now_ms)
	await_state plain "$WEB_B" ejected "$dead"
	await_state web "$WEB_B" down "$dead"
	await_state cache "$CACHE_B" down "$dead"
	of_web=$(picks web "$WEB_B") of_cache=$(picks cache "$CACHE_B")
	sleep 0.5
	assert_equal "$of_web" "$(picks web "$WEB_B")" "web: flows to an endpoint that is down"
	assert_equal "$of_cache" "$(picks cache "$CACHE_B")" "cache: flows to an endpoint that is down"
	for load in web plain cache; do
		assert_no_errors "$load" "$dead" "$(now_ms)" "after the kill"
	done
}

test_revival() {
	local began load
	start_nginx b
	start_redis b
	began=$(now_ms)
	await_state web "$WEB_B" up "$began"
	await_state cache "$CACHE_B" up "$began"
	# Each ejection is twice as long as the one before: 1 s, 2 s, and perhaps 4 s.
	await_state plain "$WEB_B" up "$began"
	for load in web plain cache; do
		wait_until 60 answers "$load" "$began" b || fail "$load: no answers from the endpoint that is back"
		assert_no_errors "$load" "$began" "$(now_ms)" "during the revival"
	done
}

# The kernel still accepts for a process that is stopped, so a connect says nothing: checks must.
test_hang() {
	local began out load
	began=$(now_ms)
	send STOP "${PIDS[nginx-b]}"
	send STOP "${PIDS[redis-b]}"
	await_state web "$WEB_B" down "$began"
	await_state cache "$CACHE_B" down "$began"
	out=$SEEN
	sleep $((PATIENCE + 1))
	for load in web cache; do
		assert_number "$(count "$load" "$began" "$out" '^!')" -gt 0 "$load: requests that hung"
		assert_no_errors "$load" "$out" "$(now_ms)" "after the endpoint was out"
	done
	proxyd_status '.upstreams.web.endpoints[] | select(.state == "down").reason' | grep -q timeout ||
		fail "the reason is not said to be a time-out"
	began=$(now_ms)
	send CONT "${PIDS[nginx-b]}"
	send CONT "${PIDS[redis-b]}"
	for load in web cache; do
		wait_until 60 answers "$load" "$began" b || fail "$load: no answers after the hang"
	done
	say "answers again after $(($(now_ms) - began)) ms"
	assert_no_errors web "$began" "$(now_ms)" "after the hang"
}

# Two of three are gone. All are tried then, and the retries find the one that is left.
test_panic() {
	local dead start
	murder nginx-a
	murder nginx-b
	dead=$(now_ms)
	wait_until 60 is_serving web panic || fail "no panic with one of three left"
	start=$(picks web "$WEB_A")
	wait_until 60 picked_since "$start" || fail "no picks of a dead endpoint in a panic"
	assert_no_errors web "$dead" "$(now_ms)" "in a panic"
	start_nginx a
	start_nginx b
	wait_until 60 is_serving web primaries || fail "the panic does not end"
	dead=$(now_ms)
	sleep 0.5
	assert_no_errors web "$dead" "$(now_ms)" "after the panic"
}

test_names() {
	local changed first
	first=$(count app 0 9e15 '^one$')
	assert_number "$first" -gt 0 "answers from the first address"
	assert_equal 0 "$(count app 0 9e15 '^two$')" "answers from the second address"
	tell "set app.test A $TTL 127.0.0.2"
	changed=$(now_ms)
	wait_until 60 answers app "$changed" two || fail "the second address is not used"
	say "followed after $(($(now_ms) - changed)) ms, of a TTL of $TTL s"
	# A server that says nothing changes nothing.
	tell "mute app.test"
	sleep 0.3
	changed=$(now_ms)
	sleep $((TTL + 1))
	assert_equal 0 "$(count app "$changed" 9e15 '^one$')" "answers from the address that is gone"
	assert_no_errors app 0 "$(now_ms)" "while the name changed"
}

# So that none is up for want of knowledge, and every server has answered.
test_start() {
	local load name
	for name in a b c; do
		for load in web plain cache; do
			wait_until 60 answers "$load" 0 "$name" || fail "$load: no answers from '$name'"
		done
	done
	for load in web plain cache app; do
		assert_no_errors "$load" 0 "$(now_ms)" "before anything happens"
	done
}

start_servers
start_name_server
write_config
start_proxyd -c "$TMP/proxyd.yaml"
start_load web "$WEB" "$GET"
start_load plain "$PLAIN" "$GET"
start_load cache "$CACHE" 'GET who\r\n'
start_load app "$APP" "$GET"
test_start
test_kill
test_revival
test_hang
test_panic
test_names
for load in web plain cache app; do
	end "${PIDS[load-$load]}"
	say "$load: $(count "$load" 0 9e15 .) requests, $(count "$load" 0 9e15 '^!') failed"
done
assert_no_active_flows
stop_proxyd
