#!/bin/bash
# proxyd is free of what clang-tidy knows; .clang-tidy says which checks are off and why.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/files.sh"

need clang-tidy
[[ -e $BUILD/compile_commands.json ]] || fail "$BUILD/compile_commands.json is not there: build first"
mapfile -t sources < <(c_files | grep -E "^$ROOT/proxyd/.*\.c$")
assert_number ${#sources[@]} -gt 15 "C files"
grep -qF "$ROOT/proxyd/flow/flow.c" "$BUILD/compile_commands.json" ||
	fail "$BUILD/compile_commands.json is that of another tree"

# A finding in generated code is none of ours: it shows by its path, not by the exit status.
printf '%s\0' "${sources[@]}" |
	xargs -0 -n 6 -P "$(nproc)" clang-tidy -p "$BUILD" --quiet \
		--header-filter="^$ROOT/(proxyd|include)/" >"$TMP/findings" 2>"$TMP/clang-tidy.log" || true
! grep -q 'Error while processing\|error: .*\[clang-diagnostic' "$TMP/findings" "$TMP/clang-tidy.log" ||
	fail "clang-tidy could not read the sources: $(cat "$TMP/findings")"
! grep -E -A 8 "^$ROOT/(proxyd|include)/.*(warning|error):" "$TMP/findings" ||
	fail "mend it, or say in .clang-tidy why the check does not apply"
say "${#sources[@]} files"
