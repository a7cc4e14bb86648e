#!/bin/bash
# rootfs: debug
# mem: 2G
# with: normal.bash
# arch: x86_64 aarch64 riscv64 loongarch64
# long: riscv64 loongarch64
# timeout: 180
# Breakpoints, steps and variables of a program that gdb runs.
. "${0%/*}/normal.bash"
program=$debuggees/steps
echo "== breakpoints and stacks"
debugger $program -ex 'break square' -ex run -ex bt -ex 'info locals' -ex 'print number' -ex continue -ex 'print number' \
    -ex up -ex 'print sum' -ex delete -ex continue
echo "== a condition, a number of times to ignore, a breakpoint for once"
debugger $program -ex 'break square if number == 2' -ex 'tbreak twice' -ex run -ex 'print number' -ex 'info breakpoints' -ex continue \
    -ex 'print number' -ex continue
debugger $program -ex 'break square' -ex 'ignore 1 3' -ex run -ex 'print number' -ex kill
echo "== steps"
debugger $program -ex 'break add' -ex run -ex next -ex next -ex next -ex step -ex 'info frame' -ex finish -ex 'until 27' -ex 'advance twice' \
    -ex stepi -ex 'nexti 2' -ex 'print number' -ex 'finish' | grep -v -e rip -e ' at ADDRESS' -e 'called by' -e 'Arglist' -e Locals -e 'caller of' \
    -e Saved -e 'Previous frame' -e '^ '
echo "== variables and registers"
debugger $program -ex 'break twice' -ex run -ex 'print kept' -ex 'set var kept.second = 1000' -ex 'set var number = 50' -ex 'print $pc == (long)$pc' \
    -ex 'print sizeof(kept)' -ex 'x/2dw &kept' -ex continue
echo "== functions called by hand"
debugger $program -ex 'break twice' -ex run -ex 'print square(9)' -ex 'call (int)getpid() > 1' -ex 'print add(1, 2)' -ex bt \
    -ex 'return (int)4' -ex bt -ex continue
echo "== a watchpoint by single steps"
debugger $program -ex 'set can-use-hw-watchpoints 0' -ex 'break add' -ex run -ex 'watch total' -ex continue -ex continue -ex 'delete 2' \
    -ex continue
