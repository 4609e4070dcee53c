#!/bin/bash
# What cannot be understood: exit status 2, and one line that names the culprit and what to do.
. "$(dirname "$0")/../lib.sh"

FAULTS=0
refused() { # "WORD / WORD...", all of which the line must contain; ARGS...
	(check_refused "$@") || FAULTS=$((FAULTS + 1))
}

check_refused() {
	local words=$1 status=0 word
	shift
	trap - EXIT # of this subshell
	timeout 60 "$PROXYD" "$@" >"$TMP/out" 2>"$TMP/error" || status=$?
	assert_equal 2 "$status" "exit status of: proxyd $*"
	[[ ! -s $TMP/out ]] || fail "output on standard output of: proxyd $*"
	while read -r word; do
		grep -qF -e "$word" "$TMP/error" || fail "not a word of '$word' about: proxyd $*: $(cat "$TMP/error")"
	done <<<"${words// \/ /$'\n'}"
	assert_equal 1 "$(wc -l <"$TMP/error")" "lines on standard error of: proxyd $*"
}

LISTEN=(--listen 127.0.0.1:1)
UPSTREAM=(--upstream 127.0.0.1:1)
BOTH=("${LISTEN[@]}" "${UPSTREAM[@]}")

# Addresses that are none, for either side.
for option in --listen --upstream; do
	other=("${UPSTREAM[@]}")
	[[ $option == --listen ]] || other=("${LISTEN[@]}")
	while IFS='|' read -r address words; do
		refused "$option / $address / $words" run "$option" "$address" "${other[@]}"
	done <<-END
		127.0.0.1|port
		127.0.0.1:|port
		127.0.0.1:http|port
		127.0.0.1:0|port / 65535
		127.0.0.1:-1|port
		127.0.0.1:65536|port / 65535
		127.0.0.1:99999999999999999999|port
		127.0.0.1:80x|port
		127.0.0.1:+80|port
		127.0.0.1: 80|port
		:80|address
		[::1|bracket
		[::1]|port
		[::1]80|port
		[::1]:|port
		[::1]:65536|65535
		[]:80|IPv6
		[127.0.0.1]:80|IPv6
		[::g]:80|address
		::1:80|bracket
		localhost:80|names are not resolved
		256.0.0.1:80|address
		127.1:80|address
		0177.0.0.1:80|address
		1.2.3.4.5:80|address
	END
	refused "$option" run "$option" '' "${other[@]}"
	refused "$option" run "$option" "127.0.0.1:$(printf '1%.0s' {1..5000})" "${other[@]}"
done

# Something is missing or too much.
refused "proxyd help" # no subcommand
refused "frobnicate / proxyd help" frobnicate
refused "--config / --listen / --upstream / proxyd run --help" run
refused "--listen / missing" run "${UPSTREAM[@]}"
refused "--upstream / missing" run "${LISTEN[@]}"
refused "--listen" run "${UPSTREAM[@]}" --listen
refused "surplus" run "${BOTH[@]}" surplus
refused "--frobnicate / --help" run "${BOTH[@]}" --frobnicate
refused "--config / missing / proxyd exec --help" exec -- true
refused "--frobnicate / proxyd exec --help" exec --frobnicate -- true
refused "true / proxyd exec --help" exec -c "$TMP/none.yaml" true
refused "-xyz / no such option" run "${BOTH[@]}" -xyz
refused "-xj / no such option" status --control "$TMP/none" -xj
refused "-jx / no such option" status -jx
refused "--json=1 / takes no value" status --json=1
refused "--verbose=1 / takes no value" run --verbose=1 "${BOTH[@]}"
refused "--frobnicate=1 / no such option" run --frobnicate=1 "${BOTH[@]}"
refused "--frobnicate / --help" status --frobnicate
refused "--frobnicate / --help" connections --frobnicate
refused "--upstream" connections --upstream
refused "--frobnicate / --help" doctor --frobnicate
refused "surplus" doctor surplus

refused "--listen / 127.0.0.1:1 / twice" run "${BOTH[@]}" "${LISTEN[@]}"

# Values out of range.
refused "--lane / quick / auto, kernel and relay" run "${BOTH[@]}" --lane quick
refused "--lane" run "${BOTH[@]}" --lane ''
refused "--workers / 0" run "${BOTH[@]}" --workers 0
refused "--workers / -1" run "${BOTH[@]}" --workers -1
refused "--workers / 1000000" run "${BOTH[@]}" --workers 1000000
refused "--workers / two" run "${BOTH[@]}" --workers two
refused "--window / 0" run "${BOTH[@]}" --window 0
refused "--window / -4MiB" run "${BOTH[@]}" --window -4MiB
refused "--window / 4parsecs" run "${BOTH[@]}" --window 4parsecs
refused "--window / 99999999999GiB" run "${BOTH[@]}" --window 99999999999GiB
refused "--connect-timeout / soon" run "${BOTH[@]}" --connect-timeout soon
refused "--idle-timeout / -1s" run "${BOTH[@]}" --idle-timeout -1s
refused "--drain-timeout / 10 parsecs" run "${BOTH[@]}" --drain-timeout '10 parsecs'
refused "--debug-switch-lanes / seed" run "${BOTH[@]}" --debug-switch-lanes seed
refused "--control" run "${BOTH[@]}" --control ''
refused "--print or --clear is missing" rules
refused "--config is missing" rules --print
refused "--clear / --config" rules --clear -c "$TMP/none.yaml"
refused "--clear / --print" rules --clear --print
refused "--control / --status" accelerate --control "$TMP"
refused "--control / --cgroup" accelerate --control "$TMP" --cgroup "$TMP" --status
refused "--duration 0 / 1ms" accelerate --cgroup "$TMP" --dry-run --duration 0

# Help is no error.
for command in "" run check status connections rules doctor; do
	# shellcheck disable=SC2086 # no word for the empty one
	"$PROXYD" $command --help >"$TMP/out" 2>"$TMP/error" || fail "proxyd $command --help exits with $?"
	grep -q '^usage: proxyd' "$TMP/out" || fail "proxyd $command --help does not say its usage"
	[[ ! -s $TMP/error ]] || fail "proxyd $command --help writes to standard error"
done

# Output that nobody gets is one.
cannot_print() { # COMMAND...
	local status=0
	"$PROXYD" "$@" >/dev/full 2>"$TMP/error" || status=$?
	assert_equal 7 "$status" "exit status of: proxyd $* >/dev/full"
	assert_equal 1 "$(wc -l <"$TMP/error")" "lines on standard error of: proxyd $* >/dev/full"
	grep -q 'standard output' "$TMP/error" || fail "it does not say what is full: $(cat "$TMP/error")"
}

cannot_print help
cannot_print version
cannot_print run --help
cannot_print doctor
cannot_print doctor --json
free_port FRONT
start_proxyd "${UPSTREAM[@]}" --listen "127.0.0.1:$FRONT" --lane relay
cannot_print status --control "$CONTROL"
cannot_print status --json --control "$CONTROL"
cannot_print connections --control "$CONTROL"
cannot_print connections --json --control "$CONTROL"
stop_proxyd

((FAULTS == 0)) || fail "$FAULTS faults, see above"
