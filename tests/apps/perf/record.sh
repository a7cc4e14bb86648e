#!/bin/bash
# Debian's perf: what it counts, samples and reads from its own files, with names and shares left out.
# rootfs: perf
# arch: x86_64 aarch64 riscv64 loongarch64
# smp: 4
# timeout: 240
cd /tmp
echo "-- stat"
perf stat -x, -e task-clock,page-faults,context-switches true 2>&1 | cut -d, -f3
echo "-- record"
perf record -q -e cpu-clock -c 1000000 -g -o clock.data -- sh -c 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; cat /dev/zero | head -c 30000000 >/dev/null' 2>&1 | grep -v bpf
# A sample may come between the moment that execve(2) switches the event on and the new name.
perf script -i clock.data -F comm,event 2>/dev/null | tr -s " " | grep -v perf-exec | sort -u
perf script -i clock.data -F ip,sym 2>/dev/null | grep -cE "^[[:space:]]*[89a-f][0-9a-f]{15} " | sed 's/[1-9][0-9]*/many/' 
perf report -i clock.data --stdio --no-children -g none --sort comm 2>/dev/null | grep -v "^#\|perf-ex" | grep -o "[a-z]*[[:space:]]*$" | sort | uniq
echo "-- faults"
perf record -q -e page-faults -c 1 -d -o faults.data -- true 2>&1 | grep -v bpf
perf script -i faults.data -F comm,event 2>/dev/null | tr -s " " | grep -v perf-exec | sort | uniq -c | sed 's/[0-9][0-9]*/some/'
perf script -i faults.data --show-task-events --show-mmap-events -F comm,event 2>/dev/null | grep -o "PERF_RECORD_[A-Z0-9]*" | sort -u
echo "-- switches"
perf record -q -e dummy --switch-events -o switches.data -- sh -c 'sleep 0.1; sleep 0.1' 2>&1 | grep -v bpf
perf script -i switches.data --show-switch-events 2>/dev/null | grep -o "PERF_RECORD_SWITCH *[A-Z]*" | tr -s " " | sort -u
echo "-- all CPUs"
perf record -q -a -e context-switches -c 1 -o all.data -- sleep 0.5 2>&1 | grep -v bpf
perf script -i all.data -F comm 2>/dev/null | grep -c sleep | sed 's/[1-9][0-9]*/some/'
echo "-- registers and stacks"
perf record -q -e page-faults -c 1 --call-graph dwarf,4096 -o dwarf.data -- true 2>&1 | grep -v bpf
perf report -i dwarf.data -D 2>/dev/null | grep -o "user regs: mask\|ustack: size" | sort -u
