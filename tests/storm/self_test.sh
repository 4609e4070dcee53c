#!/bin/bash
# Shows that storm's verdict can be trusted: it passes without a proxy and with one that is right, and
# it finds each fault of one that is not, with a complaint that names it.
. "$(dirname "$0")/../lib.sh"
TOOLS=${TOOLS:-$ROOT/build/release/tests/storm}
for tool in storm bad_proxy; do
	[[ -x $TOOLS/$tool ]] || fail "$TOOLS/$tool is not there: build it first"
done

CONNECTIONS=1000
((QUICK == 0)) || CONNECTIONS=300
EVERY=10 # that many connections have one in which the proxy is at fault

free_port FRONT
free_port BACK

storm() { # NAME ADDRESS CONNECT-PORT OPTIONS...
	local name=$1 address=$2 connect=$3
	shift 3
	"$TOOLS/storm" --connect "$address:$connect" --listen "$address:$BACK" --timeout 30 "$@" \
		>"$TMP/storm.$name"
}

through() { # ADDRESS FAULT EVERY STORM-OPTIONS...
	local address=$1 fault=$2 every=$3 status=0
	shift 3
	spawn bad_proxy "$TOOLS/bad_proxy" "$address:$FRONT" "$address:$BACK" "$fault" "$every"
	wait_listening "$FRONT" bad_proxy
	storm "$fault" "$address" "$FRONT" "$@" || status=$?
	end "$SPAWNED_PID"
	return "$status"
}

explain() { # NAME WHAT
	cat "$TMP/storm.$1" >&2
	fail "$2"
}

passes() { # NAME
	grep -q "^$CONNECTIONS passed, 0 failed$" "$TMP/storm.$1" || explain "$1" "$1: not all passed"
	say "$1: $(tail -n 1 "$TMP/storm.$1")"
}

# Returns whether a flow had that complaint.
complains() { # FAULT COMPLAINT STORM-OPTIONS...
	local fault=$1 complaint=$2 status=0 failed
	shift 2
	through 127.0.0.1 "$fault" "$EVERY" --connections 300 --timeout 3 "$@" || status=$?
	((status <= 1)) || explain "$fault" "$fault: storm exits with $status, not with 0 or 1"
	failed=$(tail -n 1 "$TMP/storm.$fault" | sed -n 's/.* passed, \([0-9]*\) failed$/\1/p')
	# A fault may bring down a neighbour or two, not everyone.
	assert_number "${failed:-101}" -le 100 "$fault: flows that failed"
	grep -Eq "^BAD flow .*$complaint" "$TMP/storm.$fault" || return
	say "$fault: found, $failed failed"
}

# By chance one storm may have no flow in which the fault shows so, but not three.
finds() { # FAULT COMPLAINT STORM-OPTIONS...
	complains "$@" || complains "$@" || complains "$@" ||
		explain "$1" "$1: no flow with the complaint '$2'"
}

# A flow that failed fails again when it is replayed alone, and passes where there is no fault.
replays() { # FAULT COMPLAINT STORM-OPTIONS...
	local fault=$1 complaint=$2 index seed
	shift 2
	read -r index seed < <(sed -n 's/^BAD flow \([0-9]*\) seed \([0-9]*\) .*/\1 \2/p' \
		"$TMP/storm.$fault" | head -n 1) || explain "$fault" "no flow to replay"
	if through 127.0.0.1 "$fault" 1 --seed "$seed" --replay "$index" "$@"; then
		explain "$fault" "$fault: flow $index passes when it is replayed"
	fi
	grep -Eq "^BAD flow $index seed $seed .*$complaint" "$TMP/storm.$fault" ||
		explain "$fault" "$fault: flow $index fails in another way when it is replayed"
	through 127.0.0.1 none 1 --seed "$seed" --replay "$index" "$@" ||
		explain none "flow $index fails without a fault"
	say "$fault: flow $index fails alone too"
}

refuses() { # OPTIONS...
	local status=0
	"$TOOLS/storm" "$@" >"$TMP/storm.refused" 2>&1 || status=$?
	((status == 2)) || explain refused "storm $*: exits with $status, not with 2"
}

for address in 127.0.0.1 '[::1]'; do
	storm "direct-$address" "$address" "$BACK" --connections "$CONNECTIONS" ||
		explain "direct-$address" "fails without a proxy over $address"
	passes "direct-$address"
	through "$address" none 1 --connections "$CONNECTIONS" ||
		explain none "fails with a proxy that is right over $address"
	passes none
done

finds corrupt 'wrong byte at .* corrupted'
finds corrupt 'wrong byte at .* corrupted' --only bulk-down
replays corrupt 'wrong byte at .* corrupted' --only bulk-down
finds cross 'wrong byte at .*; these are bytes of flow'
finds double 'wrong byte at .*; these are the bytes of offset [0-9]+ again'
finds drop 'wrong byte at .*: 1 bytes were lost or overtaken'
finds early-fin 'end of stream at .* of .*, but the (client|server) has not half-closed'
finds fin-as-reset 'recv: Connection reset by peer'
finds lose-tail 'end of stream at .*: the last [0-9]+ are lost'
finds lose-urgent 'wrong byte at .*: 1 bytes were lost' --only urgent
finds no-half-close 'end of stream at .* but the (client|server) has not half-closed'
for kind in client-reset server-reset; do
	finds reset-as-fin 'clean end of stream at .* has reset the connection' --only "$kind"
done
through 127.0.0.1 reset-as-fin 1 --connections "$CONNECTIONS" --reset-as-eof-ok ||
	explain reset-as-fin "--reset-as-eof-ok does not accept a reset as an end of stream"
passes reset-as-fin
finds stall 'hung for 3 s'
finds swallow-fin 'hung for 3 s; .* and FIN.* has not seen the end'
finds swap 'wrong byte at .*: [0-9]+ bytes were lost or overtaken'

refuses --connect 127.0.0.1:1
refuses --connect 127.0.0.1 --listen 127.0.0.1:1
refuses --connect 127.0.0.1:1 --listen 127.0.0.1:1 --only nothing
refuses --connect 127.0.0.1:1 --listen 127.0.0.1:1 --connections 0
say "passed"
