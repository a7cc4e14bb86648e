#!/bin/bash
# Debian's perf probe: probes of the kernel and of a library are added, listed, recorded and taken away.
# rootfs: perf
# arch: x86_64 aarch64 loongarch64
# long: aarch64 loongarch64
# smp: 1
# timeout: 240
# One processor: with more, Linux changes its own code while QEMU executes it, and panics.
cd /tmp
[ -d /sys/kernel/tracing/events ] || busybox mount -t tracefs nodev /sys/kernel/tracing
# A function of each kernel that its programs come to, and whose name perf can take.
function=vfs_read
grep -qw $function /proc/kallsyms || function=tracing_mark_write
plain() { sed -E "s#/[a-z0-9_]+-linux-gnu/libc#/libc#; s/\\b$function\\b/FUNCTION/g; s/_*(getpid in)/\\1/"; }
numbers() { sed -E 's/\(?[0-9a-f]{12,16}\)?/ADDRESS/g'; }
hits() { perf script -i "$1" -F comm,event,trace 2>/dev/null | tr -s " " | numbers; }
mark() { while read -r line; do echo $line; done < /proc/self/status > /sys/kernel/tracing/trace_marker; }
export -f mark
echo "-- functions of the kernel"
perf probe -F | grep -xc "$function"
perf probe -q -a "there=$function"; echo $?
perf probe -q -a "back=$function%return result=\$retval:s32"; echo $?
perf probe -l 2>&1 | plain
perf probe -a "there=$function" 2>&1 | head -1
perf probe -a no_such_function_at_all 2>&1 | tail -1
perf record -q -e 'probe:*' -o kernel.data bash -c mark 2>&1 | grep -v bpf
hits kernel.data | grep -v perf-exec | sed -E 's/result=-?[0-9]+/result=NUMBER/' | sort -u
echo "-- away"
perf probe -d 'probe:back*' 2>&1; echo $?
perf probe -d 'probe:back*' 2>&1; echo $?
perf probe -d 'probe:*' 2>&1; perf probe -l
echo "-- an address"
address=$(grep -E -m1 -w "linnet::syscalls::sys_setsid|__(x64|arm64)_sys_setsid|sys_setsid" /proc/kallsyms | cut -d' ' -f1)
perf probe -q -a "session=0x$address"; echo $?
perf stat -x, -e probe:session busybox setsid true 2>&1 | cut -d, -f1,3
perf record -q -e probe:session -o address.data busybox setsid true 2>&1 | grep -v bpf
hits address.data | grep -o "probe:.*" | uniq -c
perf probe -q -d probe:session
echo "-- a library"
libc=$(echo /lib/*-linux-gnu/libc.so.6)
# The register of the first argument, as the kernel calls it.
case $(uname -m) in
x86_64) first=%di ;;
aarch64) first=%x0 ;;
loongarch64) first=%r4 ;;
esac
perf probe -q -x $libc getpid; echo $?
perf probe -q -x $libc 'left=getppid%return'; echo $?
perf probe -q -x $libc 'ended=_exit status='$first:s32; echo $?
perf probe -l 2>&1 | plain
perf record -q -e probe_libc:getpid,probe_libc:ended -o user.data sh -c 'exit 3' 2>&1 | grep -v bpf
hits user.data
perf stat -x, -e probe_libc:left__return sh -c 'exit 3' 2>&1 | sed 's/^[1-9][0-9]*/some/' | cut -d, -f1,3
perf probe -x $libc -F | grep -x 'malloc\|getpid'
perf probe -d '*' 2>&1 | sort; perf probe -l
