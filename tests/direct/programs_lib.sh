# shellcheck shell=bash
# Unmodified programs for the tests of the direct lane, which set before:
#   PLACE             prefix of the commands of servers and clients, or ()
#   direct_so_far()   prints how much went direct until now: messages or bytes
# Source it behind lib.sh or through_lib.sh.
# shellcheck disable=SC2154
. "$ROOT/tests/nginx.sh"

need redis-server redis-benchmark redis-cli nginx curl wrk setpriv memcached memcslap
PG_BIN=$(find /usr/lib/postgresql/*/bin -name initdb -printf '%h\n' 2>/dev/null | sort -V | tail -n 1)
[[ -n $PG_BIN ]] || skip "PostgreSQL is not installed (tests/install)"
export PGHOST=127.0.0.1 PGUSER=postgres PGDATABASE=postgres

# Runs a command again until at least MIN went direct: the look at the sockets may come late on a busy
# machine. Sets RUNS.
goes_direct() { # WHAT MIN COMMAND...
	local what=$1 min=$2 before direct=-1 until=$((SECONDS + 150))
	shift 2
	before=$(direct_so_far)
	for ((RUNS = 0; direct < min; RUNS++)); do
		((SECONDS < until)) || fail "$what: $direct of $min went direct in $RUNS runs"
		"${PLACE[@]}" "$@" >"$TMP/$what.log" 2>&1 || fail "$what"
		direct=$(($(direct_so_far) - before))
	done
	say "$what: $direct went direct, $RUNS runs"
}

start_redis() { # PORT
	spawn redis "${PLACE[@]}" redis-server --bind 127.0.0.1 --port "$1" --dir "$TMP" --save '' --appendonly no
	wait_listening "$1" redis-server
}

start_memcached() { # PORT
	local user=()
	((EUID)) || user=(-u nobody)
	spawn memcached "${PLACE[@]}" memcached "${user[@]}" -l 127.0.0.1 -p "$1" -U 0 -m 64
	wait_listening "$1" memcached
}

# A client that compares what it sets and gets, and one that makes many requests.
memcached_goes_direct() { # PORT MIN
	goes_direct memcached-values "$2" "$HERE/memcached.py" "$1" 5000
	goes_direct memcached "$2" memcslap --servers "127.0.0.1:$1" --concurrency 4 --execute-number 20000 \
		--test get
}

# Serves $TMP/www, and takes what is put to /upload.
start_nginx() { # PORT
	write_nginx_config <<-END
		sendfile on;
		keepalive_requests 1000000;
		server {
		    listen 127.0.0.1:$1;
		    root $TMP/www;
		    location /upload { dav_methods PUT; }
		}
	END
	spawn nginx "${PLACE[@]}" nginx -e stderr -c "$TMP/nginx.conf" -g 'daemon off;'
	wait_listening "$1" nginx
}

# ---- PostgreSQL ----

accepts_connections() { "$PG_BIN/pg_isready" -q -p "$1"; }

# With the tables of pgbench.
start_postgres() { # PORT
	install -d -o nobody -g nogroup -m 700 "$TMP/postgresql"
	as_nobody env -C "$TMP/postgresql" "$PG_BIN/initdb" -D "$TMP/postgresql/db" -U postgres --auth=trust \
		--no-sync --locale=C >"$TMP/initdb.log" 2>&1
	spawn postgres "${PLACE[@]}" setpriv --reuid=nobody --regid=nogroup --clear-groups \
		env -C "$TMP/postgresql" "$PG_BIN/postgres" -D "$TMP/postgresql/db" -p "$1" -c listen_addresses=127.0.0.1 \
		-c unix_socket_directories= -c fsync=off -c ssl=off
	wait_listening "$1" postgres
	wait_until 60 accepts_connections "$1" || fail "postgres accepts no connections"
	"$PG_BIN/pgbench" -p "$1" -q -i -s 1 >"$TMP/pgbench-init.log" 2>&1
}

query() { # PORT SQL
	"$PG_BIN/psql" -p "$1" -X -q -A -t -v ON_ERROR_STOP=1 -c "$2"
}

# Transactions that read, and such that write, by PORT; what they leave behind is asked for at SERVER.
pgbench_goes_direct() { # PORT SERVER SECONDS MIN
	goes_direct pgbench-read "$4" "$PG_BIN/pgbench" -p "$1" --no-vacuum -c 4 -T "$3" -S
	goes_direct pgbench-write "$4" "$PG_BIN/pgbench" -p "$1" --no-vacuum -c 4 -T "$3"
	grep -q 'failed transactions: 0 ' "$TMP/pgbench-write.log" || fail "failed transactions"
	# Every transaction adds one delta to an account, a teller, a branch and the history.
	assert_equal 1 "$(query "$2" 'SELECT count(DISTINCT total) FROM (
		SELECT sum(abalance) AS total FROM pgbench_accounts
		UNION ALL SELECT sum(tbalance) FROM pgbench_tellers
		UNION ALL SELECT sum(bbalance) FROM pgbench_branches
		UNION ALL SELECT sum(delta) FROM pgbench_history) AS totals')" "distinct sums of the deltas"
}
