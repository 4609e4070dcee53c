#!/bin/bash
# Connections with the same addresses and ports in two network namespaces: each is accelerated, and
# nothing crosses.
. "$(dirname "$0")/lib.sh"

begin_direct
add_twins
start_twin 0 7000
start_twin 1 7000
start_accelerate --interval 20ms --any-program --existing
wait_sockets in_lane 16
say "$(direct_status '[.connections[] | .local] | unique | length') addresses in the lane, each twice"
end_twins
assert_number "$(direct_status .bytes.direct)" -ge $((2 * TWIN_DIRECT)) "bytes that went direct"
stop_accelerate
