#!/bin/bash
# Debian's perf probe of a function that a program has in two places: both are one event's.
# rootfs: perf
# smp: 1
# timeout: 240
cd /tmp
[ -d /sys/kernel/tracing/events ] || busybox mount -t tracefs nodev /sys/kernel/tracing
program=/usr/local/lib/debuggees/twice
events=/sys/kernel/tracing/uprobe_events
# perf 6.12 does not know where RISC-V keeps variables.
[ "$(uname -m)" = riscv64 ] || value=value
perf probe -q -x $program "twice $value"; echo $?
echo "-- $(busybox wc -l < $events) probes of"
cut -d' ' -f1 $events | sort -u
perf probe -l 2>/dev/null | sed -E 's/(\+[0-9]+|:[0-9]+@[^ ]*) in/+NUMBER in/'
echo "-- hits"
perf stat -x, -e 'probe_twice:*' $program 2>&1 | cut -d, -f1,3
perf record -q -e 'probe_twice:*' -o twice.data $program 2>&1 | grep -v bpf
perf script -i twice.data -F comm,event,trace 2>/dev/null | tr -s " " | sed -E 's/\([0-9a-f]*\)/ADDRESS/'
echo "-- away"
perf probe -d 'probe_twice:*'; echo $?
cat $events
