#!/bin/bash
# Debian's trace-cmd: recording a program's events to a file, and the trace of the kernel's own buffers.
# rootfs: perf
# arch: x86_64 aarch64 riscv64 loongarch64
# long: aarch64 riscv64 loongarch64
# smp: 1
# timeout: 240
# One processor: with more, Linux changes its own code while QEMU executes it, and panics.
cd /tmp
[ -d /sys/kernel/tracing/events ] || busybox mount -t tracefs nodev /sys/kernel/tracing
exit_group=94
[ "$(uname -m)" = x86_64 ] && exit_group=231
plain() { grep -o " true-.*: *sched_process_ex[a-z]*: *[a-z]*=[^ ]*" | tr -s " " | sed 's/[0-9][0-9.]*/N/g'; }
echo "-- record"
trace-cmd record -q -e sched -e raw_syscalls -o all.dat true; echo $?
trace-cmd report -i all.dat 2>/dev/null | plain
trace-cmd report -i all.dat 2>/dev/null | grep " true-" | grep -o ": sys_enter: *NR $exit_group" | tr -s " " | sed "s/$exit_group/EXIT_GROUP/"
echo "-- filter"
trace-cmd record -q -e sched:sched_process_exit -f 'prio < 0' -o none.dat true
trace-cmd report -i none.dat 2>/dev/null | plain
echo "-- start"
trace-cmd start -e sched:sched_process_exec -e sched:sched_process_exit; echo $?
/bin/true
trace-cmd stop; echo $?
trace-cmd show | plain
trace-cmd extract -o own.dat >/dev/null; trace-cmd report -i own.dat 2>/dev/null | plain
trace-cmd reset; echo $?; cat /sys/kernel/tracing/set_event
echo "-- list"
trace-cmd list -e '^signal:' | sort
trace-cmd list -p | grep -ow nop
