#!/bin/bash
# rootfs: debug
# mem: 2G
# with: normal.bash
# arch: x86_64 aarch64 riscv64 loongarch64
# long: aarch64 riscv64 loongarch64
# timeout: 240
# What gdb can catch: calls, children, programs, signals; and which of a family it follows.
. "${0%/*}/normal.bash"
family=$debuggees/family
signals=$debuggees/signals
# Symbols are read in the middle of other lines.
quiet=(-ex 'set print symbol-loading off')
without_symbols() { sed -E 's/Reading symbols from [^ ]*\.\.\.$//' | grep -v -e '^$' -e '^ADDRESS) at '; }
echo "== calls"
debugger_apart $signals -ex 'catch syscall mprotect' -ex run -ex continue -ex delete -ex 'handle all nostop noprint' -ex continue |
    grep -v -e '^#' -e ' in '
echo "== fork, vfork, exec"
debugger_apart $family -ex 'catch fork' -ex 'catch vfork' -ex 'catch exec' -ex run -ex 'info breakpoints' -ex continue -ex continue \
    -ex continue
echo "== the child"
debugger_apart $family -ex 'set follow-fork-mode child' -ex 'break work_of_child' -ex run -ex bt -ex finish -ex continue
echo "== both"
debugger_apart $family "${quiet[@]}" -ex 'set detach-on-fork off' -ex 'catch fork' -ex run -ex next -ex 'info inferiors' -ex 'inferior 2' \
    -ex 'break work_of_child' -ex continue -ex 'print number' -ex continue -ex 'inferior 1' -ex delete -ex 'set detach-on-fork on' \
    -ex continue | without_symbols
echo "== an executed program"
debugger_apart $family -ex 'set follow-exec-mode new' -ex 'catch exec' -ex run -ex 'info inferiors' -ex continue
echo "== signals"
debugger_apart $signals -ex run -ex bt -ex continue -ex 'print count' -ex continue -ex 'print $_siginfo.si_signo' \
    -ex 'print $_siginfo._sifields._sigfault.si_addr == page' -ex continue -ex 'signal 0' -ex continue
debugger_apart $signals -ex 'handle SIGUSR1 nostop print nopass' -ex 'handle SIGSEGV nostop noprint pass' \
    -ex 'handle SIGTERM stop print nopass' -ex run -ex 'print count' -ex continue
debugger_apart $signals -ex 'break on_usr1' -ex 'handle SIGUSR1 nostop' -ex 'handle SIGUSR2 nostop' -ex 'handle SIGSEGV nostop' -ex run \
    -ex bt -ex delete -ex kill
debugger_apart $signals -ex 'catch signal SIGUSR2' -ex 'handle SIGUSR1 nostop noprint' -ex run -ex 'queue-signal SIGUSR1' \
    -ex 'handle SIGSEGV nostop noprint' -ex delete -ex continue
