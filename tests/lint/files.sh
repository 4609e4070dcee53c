# shellcheck shell=bash
# What the lint tests look at: the tree without what was built or measured.

files() { # FIND-EXPRESSION...
	find "$ROOT" \( -path "$ROOT/build" -o -path "$ROOT/.git" -o -path "$ROOT/bench/results" \) \
		-prune -o -type f \( "$@" \) -print | LC_ALL=C sort
}

c_files() { files -name '*.[ch]'; }

shell_scripts() {
	files -name '*.sh'
	files ! -name '*.*' | while read -r file; do
		[[ $(head -c 64 "$file" | head -n 1 | tr -d '\0') != '#!'*sh ]] || printf '%s\n' "$file"
	done
}
