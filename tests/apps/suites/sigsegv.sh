#!/bin/bash
# rootfs: suites
# long
# mem: 1G
# arch: x86_64 aarch64
# timeout: 300
# libsigsegv's own tests: handlers of faults and of stacks that overflow.
cd /libsigsegv/build/tests || exit 1
for program in test-catch-segv1 test-catch-segv2 test-segv-dispatcher1 test-catch-stackoverflow1 test-catch-stackoverflow2; do
    ./$program > out 2>&1
    echo "$program: $?"
    tail -n 1 out
done
