#!/bin/bash
# rootfs: debug
# mem: 2G
# with: normal.bash
# arch: x86_64 aarch64
# timeout: 240
# gdb records what a program does and goes back in it.
. "${0%/*}/normal.bash"
debugger $debuggees/steps -ex 'break add' -ex run -ex 'record full' -ex 'break twice' -ex continue -ex 'print total' -ex 'reverse-continue' -ex 'print total' \
    -ex 'break square if number == 2' -ex continue -ex 'reverse-finish' -ex 'reverse-next' -ex 'print sum' -ex 'watch total' -ex 'reverse-continue' \
    -ex 'info record' -ex 'record stop' -ex 'delete' -ex continue
