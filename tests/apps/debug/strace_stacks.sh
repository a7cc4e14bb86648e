#!/bin/bash
# rootfs: debug
# with: normal.bash
# arch: x86_64
# Where calls were made: strace walks the stack of its tracee.
. "${0%/*}/normal.bash"
strace -k -tt -o log -e trace=write,exit_group "$debuggees/steps"
echo "status $?"
sed -E 's/^[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}/TIME/' log | addresses
