#!/bin/bash
# Searches every state of one model: explore.sh FOLDER MACRO... Leaves in FOLDER what spin and
# the compiler made, the search's report in `report`, and a counter-example, if there is one, in
# `lanes.pml.trail`.
set -euo pipefail

model=$(dirname "$(readlink -f "$0")")
folder=$1
macros=("${@:2}")

mkdir -p "$folder"
cp "$model"/*.pml "$folder"
cd "$folder"
spin -a "${macros[@]}" -DLIVENESS lanes.pml >spin.log
# MEMLIM: megabytes. A search that meets it says so and proves nothing.
gcc -w "${OPTIMIZE:--O0}" -DMEMLIM="${MEMLIM:-4096}" -o pan pan.c
./pan -a -m1000000 >report 2>&1
