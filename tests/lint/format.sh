#!/bin/bash
# Every C file is as clang-format leaves it.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/files.sh"

need clang-format
mapfile -t sources < <(c_files)
assert_number ${#sources[@]} -gt 50 "C files"
clang-format --dry-run -Werror "${sources[@]}" || fail "format them with clang-format -i"
say "${#sources[@]} files"
