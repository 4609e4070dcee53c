#!/bin/bash
# proxyd check: what it says, prints and returns; that the examples, the reference in docs/ and the JSON
# schema agree with what it takes. UPDATE=1 writes the reference anew.
. "$(dirname "$0")/../lib.sh"
need jq python3

DOCS=$ROOT/docs
BAD=$TMP/bad.yaml
GOOD=$TMP/good.yaml

# Runs `proxyd check ARGS`, which must end with STATUS.
checked() { # STATUS ARGS...
	local expected=$1 status=0
	shift
	timeout 60 "$PROXYD" check "$@" >"$TMP/out" 2>"$TMP/error" || status=$?
	assert_equal "$expected" "$status" "exit status of: proxyd check $* ($(head -n 3 "$TMP/error"))"
	assert_no_sanitizer_report "$TMP/error"
}

test_verdicts() {
	printf 'listeners: 127.0.0.1:1\nupstreams: {name: web, endpoints: "no.such.name.invalid:2"}\n%s\n' \
		'routes: {upstream: web}' >"$GOOD"
	checked 0 -c "$GOOD"
	assert_equal "$GOOD is fine: 1 listener, 1 route, 1 upstream" "$(cat "$TMP/out")" "verdict"
	[[ ! -s $TMP/error ]] || fail "a file that is fine has messages: $(cat "$TMP/error")"

	printf 'lane: kernal\nlisteners:\n- adress: 127.0.0.1:1\nroutes: {upstream: web}\n' >"$BAD"
	checked 2 --config "$BAD"
	[[ ! -s $TMP/out ]] || fail "output on standard output of a bad file"
	diff - "$TMP/error" <<-END || fail "the messages are others"
		$BAD:1:7: lane: there is no 'kernal'; did you mean 'kernel'?
		$BAD:3:3: listeners[0].adress: there is no such key; did you mean 'address'?
		$BAD:4:20: routes[0].upstream: no upstream is called 'web'
	END

	# A warning is none of what makes a file bad.
	printf 'listeners: 127.0.0.1:1\nroutes: [{reject: close}, {reject: reset}]\n' >"$GOOD"
	checked 0 -c "$GOOD"
	grep -q "^$GOOD:2:27: warning: routes\[1\]: it is never reached" "$TMP/error" || fail "no warning"
}

test_json() {
	checked 2 --json -c "$BAD"
	jq -e '.valid == false and (.messages | length) == 3 and .messages[1] ==
		{level: "error", line: 3, column: 3,
		message: "listeners[0].adress: there is no such key; did you mean '\''address'\''?"}' \
		"$TMP/out" >/dev/null || fail "JSON of a bad file: $(cat "$TMP/out")"
	checked 0 --json -c "$GOOD"
	jq -e '.valid and .messages[0].level == "warning" and (has("config") | not)' "$TMP/out" >/dev/null ||
		fail "JSON of a good file: $(cat "$TMP/out")"
	checked 0 --json --print -c "$GOOD"
	jq -e '.config.window == "4MiB"' "$TMP/out" >/dev/null || fail "JSON has no config"
}

test_usage() {
	checked 2
	grep -q -- '--config is missing' "$TMP/error" || fail "$(cat "$TMP/error")"
	checked 2 -c
	checked 2 --frobnicate
	checked 2 -c "$GOOD" surplus
	checked 2 -c "$TMP/nothing"
	assert_equal "$TMP/nothing: cannot read it: No such file or directory" "$(cat "$TMP/error")" "message"
	checked 2 -c "$TMP"
	checked 0 --help
	checked 0 -c /dev/stdin <"$GOOD"
}

# With every variable of the examples unset, and with all of them set.
test_examples() {
	local example
	for example in "$DOCS"/examples/*.yaml; do
		checked 0 -c "$example"
		[[ ! -s $TMP/error ]] || fail "messages about $example: $(cat "$TMP/error")"
		checked 0 --print -c "$example"
		cp "$TMP/out" "$TMP/printed.yaml"
		checked 0 --print -c "$TMP/printed.yaml"
		assert_same_file "$TMP/printed.yaml" "$TMP/out" "$example printed, and that printed again"
	done
	PORT=x checked 2 -c "$DOCS/examples/sidecar.yaml"
	for example in port-forward sidecar gateway load-balancer sni-router bastion mesh-sidecar; do
		[[ -e $DOCS/examples/$example.yaml ]] || fail "there is no example of a $example"
		grep -qF "examples/$example.yaml" "$DOCS/configuration.md" || fail "docs name no $example"
	done
}

# What stands behind the mark in docs/configuration.md is what `proxyd check --markdown` prints.
test_reference() {
	local page=$DOCS/configuration.md mark='^<!-- The rest is written by'
	grep -q "$mark" "$page" || fail "$page has no mark"
	checked 0 --markdown
	{
		sed "/$mark/q" "$page"
		cat "$TMP/out"
	} >"$TMP/page"
	[[ ${UPDATE-} != 1 ]] || cp "$TMP/page" "$page"
	diff -u "$page" "$TMP/page" >&2 || fail "$page is not what the table says: UPDATE=1 $0"
}

# By another's reading of YAML and JSON schemas.
test_schema() {
	python3 -c 'import jsonschema, yaml' 2>/dev/null || skip "no jsonschema (tests/install)"
	checked 0 --schema
	cp "$TMP/out" "$TMP/schema.json"
	python3 "$ROOT/tests/cli/schema.py" "$PROXYD" "$TMP/schema.json" "$DOCS"/examples/*.yaml \
		"$ROOT"/tests/fuzz/corpus/config/* >"$TMP/schema.log" || fail "the JSON schema is another"
	tail -n 1 "$TMP/schema.log"
}

# `run` takes and refuses the same files.
test_run() {
	local status=0
	timeout 60 "$PROXYD" run -c "$BAD" >"$TMP/out" 2>"$TMP/error" || status=$?
	assert_equal 2 "$status" "exit status of proxyd run with a bad file"
	grep -qF "proxyd: error: $BAD:1:7: lane: there is no 'kernal'" "$TMP/error" || fail "$(cat "$TMP/error")"
	status=0
	timeout 60 "$PROXYD" run -c "$GOOD" --listen 127.0.0.1:1 >"$TMP/out" 2>"$TMP/error" || status=$?
	assert_equal 2 "$status" "exit status of proxyd run with a file and --listen"
}

test_verdicts
test_json
test_usage
test_examples
test_reference
test_schema
test_run
