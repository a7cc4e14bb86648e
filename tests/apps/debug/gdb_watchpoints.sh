#!/bin/bash
# rootfs: debug
# mem: 2G
# with: normal.bash
# arch: x86_64 aarch64
# timeout: 180
# Watchpoints and breakpoints by the processor's own registers.
. "${0%/*}/normal.bash"
program=$debuggees/steps
echo "== written, read, either"
debugger $program -ex 'break main' -ex run -ex 'watch total' -ex 'rwatch kept.second' -ex 'awatch kept.first' -ex continue -ex continue -ex continue \
    -ex continue -ex continue -ex 'info watchpoints' -ex 'delete' -ex continue
echo "== a local variable, until its block ends"
debugger $program -ex 'break square if number == 3' -ex run -ex next -ex 'watch result' -ex continue -ex continue -ex 'info breakpoints' -ex kill
echo "== a condition"
debugger $program -ex 'watch total if total > 5' -ex run -ex 'print total' -ex continue
echo "== instructions"
debugger $program -ex 'hbreak twice' -ex run -ex bt -ex continue
