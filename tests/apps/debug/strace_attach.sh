#!/bin/bash
# rootfs: debug
# with: normal.bash
# long: riscv64 loongarch64
# strace comes to a program that runs already, and leaves it as it was.
. "${0%/*}/normal.bash"
tracers() { cat "/proc/$1"/task/*/status | sed -n 's/^TracerPid:\t//p' | sort -u; }
echo "== four threads"
"$debuggees/threads" waiting &
target=$!
until_asleep $target 4
ids=$(ls /proc/$target/task)
strace -f -o log -p $target 2> told &
tracer=$!
until [ "$(grep -ac '' log)" = 4 ] || ! kill -0 $tracer; do :; done 2> /dev/null
tracers $target | numbers $tracer
kill -INT $tracer
wait $tracer
echo "strace: $?"
until_asleep $target 4
tracers $target
sort told | numbers $ids
# Which of them is the last, and shown as detached, depends on who is looked at first.
sort log | numbers $ids | addresses | sed -E -e 's/^(P[0-9]+) +/\1 /' -e 's/,? *<(unfinished|detached) ...>$/ .../'
kill -TERM $target
wait $target
echo "target: $?"
echo "== a call that has a time-out, and a signal"
sleep 10 &
target=$!
until_asleep $target 1
strace -o log -p $target 2> /dev/null &
tracer=$!
until grep -q -e nanosleep -e restart_syscall log || ! kill -0 $tracer; do :; done 2> /dev/null
kill -WINCH $target
wait $target; echo "target: $?"
wait $tracer; echo "strace: $?"
sed -E -e 's/tv_(n?sec)=[0-9]+/tv_\1=N/g' -e 's/si_pid=[0-9]+/si_pid=ID/' log | addresses | uniq
echo "== strace as a grandchild, and killed"
strace -D -o log -e trace=write bash -c 'echo $PPID > parent; read -r line; echo $line' < <(
    until_asleep_file() { until [ -s parent ]; do :; done; }
    until_asleep_file
    echo word
)
echo "status $?"
[ "$(cat parent)" = $$ ] && echo "the parent is the shell"
until grep -q '^+++' log; do :; done
grep -v '^---' log | tail -n 2 # who said the word may be gone before or behind that
