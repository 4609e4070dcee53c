#!/bin/bash
# Nothing is left in the tree that somebody meant to come back to.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/files.sh"

words='TO''DO|FIX''ME|XX''X|HA''CK' # this file is searched too
mapfile -t all < <(files -name '*')
assert_number ${#all[@]} -gt 100 "files"
! grep -InwE "$words" "${all[@]}" || fail "do it, or write down as a fact what is missing"
# What a merge or an editor leaves behind.
! grep -InE '^(<<<<<<<|>>>>>>>) ' "${all[@]}" || fail "a conflict that nobody resolved"
! files -name '*~' -o -name '*.orig' -o -name '*.rej' -o -name '*.swp' | grep . ||
	fail "an editor's or a merge's file"
say "${#all[@]} files"
