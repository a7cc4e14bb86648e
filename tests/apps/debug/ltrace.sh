#!/bin/bash
# rootfs: debug
# mem: 2G
# with: normal.bash
# arch: x86_64 riscv64 loongarch64
# long: riscv64 loongarch64
# timeout: 180
# Calls of the library's functions.
. "${0%/*}/normal.bash"
ltrace -o log "$debuggees/steps"; echo "status $?"
addresses < log
ltrace -o log -e malloc+free "$debuggees/mistakes"; echo "status $?"
addresses < log
ltrace -S -c -o log "$debuggees/steps"; echo "status $?"
# Where the loader looks first depends on the CPU, and whether it gives back a part of a mapping on where that came to lie.
mawk '$4 ~ /^[0-9]+$/ && $5 !~ /total|SYS_newfstatat|SYS_openat|^munmap/ { print $4, $5 }' log | sort -k 2
# Each process for itself, for their lines come in any order; and without what depends on when a child ends: whether its parent
# waits already, so that the call is shown in two parts around the signal. On LoongArch ltrace itself aborts here.
ltrace -f -o log -e fork+vfork+waitpid+execl "$debuggees/family"; echo "status $?"
ids=$(sed 's/ .*//' log | sort -nu)
for id in $ids; do
    echo "-- process"
    grep "^$id " log | grep -v -e SIGCHLD -e 'resumed> ) *= [1-9]' | sed -E -e 's/(waitpid\([0-9]+),.*/\1/' -e 's/(family->[a-z]*)\((.*)<(unfinished|no return) \.\.\.>$/\1(\2.../' -e 's/v?fork\(.*/fork/' |
        numbers $ids | addresses
done
ltrace -o log -e raise "$debuggees/signals"; echo "status $?"
sed -E -e 's/raise\(([0-9]+).*/raise(\1/' -e 's/0x[0-9a-f]{5,}/ADDRESS/' log
