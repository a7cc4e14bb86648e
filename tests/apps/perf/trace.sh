#!/bin/bash
# Debian's perf trace: the calls of a program, and how many there were of each.
# rootfs: perf
# arch: x86_64 aarch64 riscv64 loongarch64
# smp: 1
# timeout: 240
# One processor: with more, Linux changes its own code while QEMU executes it, and panics.
cd /tmp
# Times, ids and addresses are left out; so are names that one version of perf says and another doesn't.
plain() { sed -E 's/^ *[0-9.]+ \([^)]*\): *//; s#^([a-z]+)/[0-9]+#\1#; s/buf: [^,]*/buf: P/; s/ +/ /g'; }
echo "-- calls"
perf trace -o calls.out -e write,exit_group busybox echo hi; plain < calls.out
perf trace -o failed.out -e openat,mkdirat busybox mkdir /nowhere/folder 2>&1; grep -o "ENOENT.*" failed.out | sort -u
echo "-- numbers"
perf trace -s -o sums.out busybox echo hi
# Whether the clock needs a call, and random numbers are there yet, depends on the machine.
grep -oE "^   [a-z_0-9]+ +[0-9]+ +[0-9]+" sums.out | tr -s ' ' | grep -v "clock_gettime\|getrandom" | sort
