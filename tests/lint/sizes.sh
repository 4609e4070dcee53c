#!/bin/bash
# A file of the product is about one noun, a function about one step of it.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/files.sh"

FILE_MAX=500
FUNCTION_MAX=60

need ctags
mapfile -t sources < <(c_files | grep -E "^$ROOT/(proxyd|bpf|include)/")
assert_number ${#sources[@]} -gt 40 "C files"
ctags --version | grep -q Universal || skip "this ctags is not Universal Ctags (tests/install)"

long=0
for source in "${sources[@]}"; do
	lines=$(wc -l <"$source")
	((lines <= FILE_MAX)) && continue
	printf '%s: %d lines, more than %d\n' "${source#"$ROOT"/}" "$lines" "$FILE_MAX" >&2
	long=1
done

functions=0
while read -r first last name source; do
	functions=$((functions + 1))
	((last - first + 1 <= FUNCTION_MAX)) && continue
	printf '%s:%d: %s() has %d lines, more than %d\n' "${source#"$ROOT"/}" "$first" "$name" \
		$((last - first + 1)) "$FUNCTION_MAX" >&2
	long=1
done < <(ctags --languages=C --kinds-C=f --fields=+ne --output-format=json -f - "${sources[@]}" |
	jq -r 'select(.end) | "\(.line) \(.end) \(.name) \(.path)"')
assert_number "$functions" -gt 200 "functions that ctags has found"
((!long)) || fail "split them by what they are about"
say "${#sources[@]} files, $functions functions"
