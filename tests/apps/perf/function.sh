#!/bin/bash
# The function tracer by Debian's trace-cmd and perf: recorded to a file, in the kernel's own buffers, and live.
# rootfs: perf
# arch: x86_64 aarch64 riscv64
# long: aarch64 riscv64
# smp: 1
# timeout: 300
# One processor: with more, Linux changes its own code while QEMU executes it, and panics.
cd /tmp
[ -d /sys/kernel/tracing/events ] || busybox mount -t tracefs nodev /sys/kernel/tracing
tracing=/sys/kernel/tracing
# What nice(1) calls once, and another that it doesn't call. The compiler may have put a call into what decodes its arguments.
find_function() {
    grep -E "^(linnet::syscalls::|__x64_|__arm64_|__riscv_|__se_)?sys_$1\$|thunk<&linnet::syscalls::sys_$1\(" \
        $tracing/available_filter_functions | head -1
}
function=$(find_function setpriority) other=$(find_function getsid)
[ -n "$function" ] && [ -n "$other" ] || { echo "no function to trace"; exit 1; }
pattern="*${function#????}"
plain() { sed "s/$function/FUNCTION/; s/$other/OTHER/; s/<-.*/<-CALLER/" | grep -o ' nice-.*' | tr -s " " | sed 's/[0-9][0-9.]*/N/g; s/\] [^ ]* *N/] N/'; }
state() { (cd $tracing; cat current_tracer set_ftrace_filter set_ftrace_notrace set_ftrace_pid tracing_on) | sed "s/$function/FUNCTION/; s/$other/OTHER/"; }
echo "-- record"
trace-cmd record -q -p function -l $function -l $other -o all.dat nice -n 1 true; echo $?
trace-cmd report -i all.dat 2>/dev/null | plain
state
echo "-- record one command's"
trace-cmd record -q -p function -F -l "$pattern" -n $other -o own.dat nice -n 1 true; echo $?
trace-cmd report -i own.dat 2>/dev/null | plain
echo "-- start"
trace-cmd start -p function -l $function >/dev/null; echo $?
state
nice -n 1 true
trace-cmd stop; echo $?
nice -n 1 true
trace-cmd show | head -1
trace-cmd show | plain
trace-cmd reset; echo $?
state
trace-cmd show | head -1
echo "-- list"
trace-cmd list -p | grep -owE "function|nop"
trace-cmd list -f "^$function\$" | plain
trace-cmd list -f "^$function\$" | wc -l
echo "-- perf"
perf ftrace trace -t function -T "$function" -- nice -n 1 true 2>/dev/null | plain
state
echo 1 >$tracing/tracing_on
perf ftrace trace -a -T "$pattern" -N $other -- nice -n 1 true 2>/dev/null | plain
state
# As it was: perf leaves tracing off, and the flags of records out of their text.
echo 1 >$tracing/tracing_on
echo 1 >$tracing/options/irq-info
