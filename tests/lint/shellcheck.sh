#!/bin/bash
# Every shell script is free of what ShellCheck knows.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/files.sh"

need shellcheck
mapfile -t scripts < <(shell_scripts | sort -u)
assert_number ${#scripts[@]} -gt 15 "shell scripts"
cd "$ROOT" # .shellcheckrc
shellcheck "${scripts[@]}" || fail "see above"
for script in "${scripts[@]}"; do
	# A library takes what the script has set that reads it.
	[[ ! -x $script ]] || grep -q '^set -euo pipefail\|lib\.sh"' "$script" ||
		fail "$script: no set -euo pipefail"
done
say "${#scripts[@]} scripts"
