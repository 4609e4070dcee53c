#!/bin/bash
# Feeds a parser with what libFuzzer makes of the corpus, for a while: FUZZ_SECONDS (120 at most, for the
# test's time limit), or 10 s.
. "$(dirname "$0")/../lib.sh"

name=${1:?"usage: parser.sh NAME"}
[[ $name != none ]] || skip "clang has no libFuzzer here (tests/install)"
program=$BUILD/tests/fuzz/fuzz_$name
corpus=$(dirname "$0")/corpus/$name
options=()
[[ -x $program ]] || fail "$program is not there: build it first"

# Words that are hard to come by at random.
dictionary=$(dirname "$0")/$name.dict
[[ ! -e $dictionary ]] || options=(-dict="$dictionary")

# What it finds goes to the first folder; an input that breaks the parser stays when the test ends.
mkdir "$TMP/found"
"$program" "${options[@]}" -max_total_time="${FUZZ_SECONDS:-10}" -timeout=60 -print_final_stats=1 \
	-artifact_prefix="$BUILD/tests/fuzz/$name-" "$TMP/found" "$corpus" >"$TMP/fuzz.log" 2>&1 ||
	fail "see the log; the input is beside $program"
runs=$(sed -n 's/^stat::number_of_executed_units: //p' "$TMP/fuzz.log")
assert_number "$runs" -gt 1000 "inputs tried"
say "$runs inputs"
