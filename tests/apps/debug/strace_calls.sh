#!/bin/bash
# rootfs: debug
# with: normal.bash
# arch: x86_64 aarch64 riscv64 loongarch64
# long: aarch64 riscv64 loongarch64
# Every call of small programs as strace decodes it, and only those that are asked for.
. "${0%/*}/normal.bash"
export LC_ALL=C
show() {
    strace -o log "$@"
    echo "status $?"
    # Where the loader looks first depends on the CPU, and what it gives back to align a mapping on where that came to lie.
    # The kernel says how much of what rseq(2) is told it knows.
    addresses < log | sed -E 's/^(rseq\(\{.*\}, )[0-9]+/\1SIZE/' | grep -v -e '^munmap(' -e hwcaps -e '/tls' -e x86_64/x86_64 -e linux-gnu/x86_64
}
echo "== all of true"
show /bin/true
echo "== files"
show -e trace=%file,read,close -y cat "$debuggees/steps.c" > out; sed -n '/^status/,$p' out
echo "== none there"
show -e trace=execve,openat,write,exit_group cat /nowhere 2> /dev/null | grep -v .so
echo "== signals"
show -e trace=rt_sigaction,kill,tgkill -e signal=all "$debuggees/signals" > out
numbers $(sed -nE 's/^tgkill\(([0-9]+).*/\1/p' out | sort -u) < out
echo "== killed"
(show -e trace=none sh -c 'kill -9 $$') 2> /dev/null > out
sed -E 's/si_pid=[0-9]+/si_pid=ID/' out
echo "== a program that is not there"
strace -o log /nowhere 2>&1; echo "status $?"
echo "== counted"
strace -c -e trace=read,close,fadvise64,exit_group,write,kill -U calls,errors,name -S name -o log cat "$debuggees/steps.c" /nowhere > out 2> /dev/null
sed -E 's/ +/ /g' log
