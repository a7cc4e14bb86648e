#!/bin/bash
# rootfs: debug
# with: normal.bash
# long: riscv64 loongarch64
# Calls that strace lets fail, answer something else, wait, or come with a signal.
. "${0%/*}/normal.bash"
echo "== error"
strace -o log -e trace=write -e inject=write:error=ENOSPC:when=1 cat "$debuggees/family.c" 2>&1; echo "status $?"
grep -a -c INJECTED log; tail -n 1 log
strace -o log -e trace=getcwd -e inject=getcwd:error=EACCES /bin/pwd 2>&1; echo "status $?"; addresses < log
echo "== result"
strace -o log -e trace=geteuid -e inject=geteuid:retval=1234 id -u; echo "status $?"; cat log
strace -o log -e trace=chdir -e inject=chdir:retval=0 bash -c 'cd /nowhere && echo went'; echo "status $?"; cat log
echo "== delay"
before=${EPOCHREALTIME/./}
strace -o log -e trace=getcwd -e inject=getcwd:delay_enter=300000:delay_exit=200000 /bin/pwd; echo "status $?"; cat log
after=${EPOCHREALTIME/./}
[ $((after - before)) -ge 500000 ] && echo "late enough"
echo "== signal"
strace -o log -e trace=getcwd -e inject=getcwd:signal=SIGTERM /bin/pwd; echo "status $?"; cat log
strace -o log -e trace=chdir -e inject=chdir:signal=SIGUSR1 bash -c 'trap "echo trapped" USR1; cd /tmp; echo done'; echo "status $?"
grep -v RESTART log | sed -E 's/si_pid=[0-9]+/si_pid=ID/'
echo "== memory at entry and exit"
strace -o log -e trace=getcwd -e inject=getcwd:poke_exit=@arg1=2f6e6f00 /bin/pwd; echo "status $?"; cat log
