#!/bin/bash
# Debian's perf over the processor's counters: what it counts of a program and of all CPUs, and samples by cycles where
# counters interrupt.
# rootfs: perf
# arch: aarch64
# smp: 4
# timeout: 240
cd /tmp
loop='i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'
kinds() { grep , | cut -d, -f1,3 | sed 's/^[1-9][0-9]*,/some,/; s/^0,/none,/'; }
echo "-- stat"
perf stat -x, -e cycles,instructions,branches sh -c "$loop" 2>&1 | kinds
echo "-- group"
perf stat -x, -e '{task-clock,cycles}' sh -c "$loop" 2>&1 | cut -d, -f3,5
echo "-- all CPUs"
perf stat -a -x, -e cycles sleep 0.2 2>&1 | kinds
echo "-- names"
perf list hw 2>/dev/null | grep -o "^ *cpu-cycles OR cycles" | tr -s " "
echo "-- record"
perf record -q -e cycles -c 200000 -o cycles.data -- sh -c "$loop" >record.txt 2>&1; echo $?
grep -o "PMU Hardware doesn't support sampling/overflow-interrupts" record.txt
[ -s cycles.data ] && perf script -i cycles.data -F comm,event 2>/dev/null | tr -s " " | grep -v perf-exec | sort -u
true
