#!/bin/bash
# rootfs: debug
# with: normal.bash
# long: riscv64 loongarch64
# A pipeline and a family of processes, each of which has a log of its own.
. "${0%/*}/normal.bash"
each_log() {
    local ids id
    ids=$(ls log.* | sed 's/log\.//' | sort -n)
    for id in $ids; do
        echo "-- log"
        grep -v SIGCHLD "log.$id" | addresses
    done | numbers $ids
    rm -f log.*
}
echo "== pipeline"
strace -ff -o log -e trace=execve,clone,?fork,?vfork,clone3,?pipe,pipe2,?dup2,dup3,read,write,close,exit_group \
    sh -c 'echo one | cat | tr a-z A-Z'
echo "status $?"
each_log
echo "== fork, vfork and execve"
strace -ff -o log -e trace=execve,clone,?fork,?vfork,clone3,wait4,write,exit,exit_group "$debuggees/family"
echo "status $?"
each_log
echo "== one log of all, in order"
strace -f -o log -e trace=none sh -c '(exit 3); echo $?; sh -c "kill -9 \$\$"; echo $?' 2> /dev/null
numbers $(sed 's/ .*//' log | sort -nu) < log | sed -E 's/^(P[0-9]+) +/\1 /' | grep -v SIGCHLD
echo "== threads"
strace -ff -o log -e trace=pipe2,clone,clone3,exit,exit_group "$debuggees/threads"
echo "status $?"
each_log | sed -E 's/(parent_tid|child_tid)=\[[0-9P]+\]/\1=[ID]/g'
