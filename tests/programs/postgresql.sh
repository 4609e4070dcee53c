#!/bin/bash
# PostgreSQL behind proxyd: pgbench reading and writing, and a large COPY in and out.
. "$(dirname "$0")/../lib.sh"
take_lane "$@"
need_root # to become the user nobody: the server refuses to be root
BIN=$(find /usr/lib/postgresql/*/bin -name initdb -printf '%h\n' 2>/dev/null | sort -V | tail -n 1)
[[ -n $BIN ]] || skip "PostgreSQL is not installed (tests/install)"

free_port BACKEND
free_port FRONT
export PGHOST=127.0.0.1 PGPORT=$FRONT PGUSER=postgres PGDATABASE=postgres
DATA=$TMP/postgresql
ROWS=400000
((QUICK == 0)) || ROWS=100000

start_server() {
	install -d -o nobody -g nogroup -m 700 "$DATA"
	cd "$DATA"
	as_nobody "$BIN/initdb" -D "$DATA/db" -U postgres --auth=trust --no-sync --locale=C \
		>"$TMP/initdb.log" 2>&1
	spawn postgres setpriv --reuid=nobody --regid=nogroup --clear-groups \
		"$BIN/postgres" -D "$DATA/db" -p "$BACKEND" -c listen_addresses=127.0.0.1 \
		-c unix_socket_directories= -c fsync=off -c ssl=off
	wait_listening "$BACKEND" postgres
	wait_until 60 accepts_connections || fail "postgres accepts no connections"
}

accepts_connections() { "$BIN/pg_isready" -q -p "$BACKEND"; }

query() { "$BIN/psql" -X -q -A -t -v ON_ERROR_STOP=1 -c "$1"; }

test_copy() {
	seq "$ROWS" | awk '{ printf "%d\tline %d %s\n", $1, $1 * 7, rand() }' >"$TMP/rows"
	query 'CREATE TABLE rows (id bigint, text text)'
	"$BIN/psql" -X -q -c '\copy rows from stdin' <"$TMP/rows"
	assert_equal "$ROWS" "$(query 'SELECT count(*) FROM rows')" "rows"
	"$BIN/psql" -X -q -c '\copy (SELECT * FROM rows ORDER BY id) to stdout' >"$TMP/rows.back"
	assert_same_file "$TMP/rows" "$TMP/rows.back" "COPY in and out"
}

pgbench() { # NAME OPTIONS...
	local name=$1
	shift
	"$BIN/pgbench" --no-vacuum -c 8 -j 2 -T 3 "$@" >"$TMP/pgbench-$name.log" 2>&1
	say "$name: $(sed -n 's/^tps = \([0-9.]*\).*/\1/p' "$TMP/pgbench-$name.log") transactions/s"
	grep -q 'failed transactions: 0 ' "$TMP/pgbench-$name.log" || fail "pgbench $name: failed transactions"
}

test_transactions() {
	"$BIN/pgbench" -q -i -s 2 >"$TMP/pgbench-init.log" 2>&1
	pgbench read-only -S
	pgbench read-write
	pgbench prepared -S -M prepared
	# Every transaction adds one delta to an account, a teller, a branch and the history.
	assert_equal 1 "$(query 'SELECT count(DISTINCT total) FROM (
		SELECT sum(abalance) AS total FROM pgbench_accounts
		UNION ALL SELECT sum(tbalance) FROM pgbench_tellers
		UNION ALL SELECT sum(bbalance) FROM pgbench_branches
		UNION ALL SELECT sum(delta) FROM pgbench_history) AS totals')" "distinct sums of the deltas"
	assert_equal "$(sed -nE 's/^number of transactions actually processed: ([0-9]+).*/\1/p' \
		"$TMP/pgbench-read-write.log")" "$(query 'SELECT count(*) FROM pgbench_history')" \
		"transactions in the history"
}

start_server
start_proxyd --listen "127.0.0.1:$FRONT" --upstream "127.0.0.1:$BACKEND" --lane "$LANE"
test_copy
test_transactions
assert_carried $((2 * $(stat -c %s "$TMP/rows")))
assert_no_active_flows
stop_proxyd
