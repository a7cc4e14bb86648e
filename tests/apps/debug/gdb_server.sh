#!/bin/bash
# rootfs: debug
# mem: 2G
# with: normal.bash
# timeout: 240
# arch: x86_64 aarch64 riscv64
# long: aarch64 riscv64
# gdb and a gdbserver that it talks to by a pair of sockets.
. "${0%/*}/normal.bash"
# What gdbserver and its program said, behind what gdb said.
said() { echo "-- there:"; sed -E -e 's/(pid = |process )[0-9]+/\1N/' said; rm said; }
ours() { grep -v -e 'Reading ' -e ' in ?? ' -e 'from target' -e '^warning: File transfers'; }
echo "== one thread"
debugger $debuggees/steps -ex 'set sysroot /' -ex "target remote | exec gdbserver - $debuggees/steps 2> said" -ex 'break square' \
    -ex continue -ex bt -ex 'print number' -ex continue -ex 'print number' -ex 'watch total' -ex continue -ex delete -ex finish -ex continue | ours
said
echo "== files by the server"
debugger $debuggees/steps -ex "target remote | exec gdbserver - $debuggees/steps 2> said" -ex 'remote get /proc/self/comm who' \
    -ex "remote put $debuggees/steps.c there.c" -ex 'remote get there.c back.c' -ex 'remote delete there.c' -ex kill | ours
rm said
cat who; [ "$(cat back.c)" = "$(cat $debuggees/steps.c)" ] && echo same; ls there.c 2> /dev/null
echo "== a family"
debugger $debuggees/family -ex 'set sysroot /' -ex 'target extended-remote | exec gdbserver --once --multi - 2> said' \
    -ex "set remote exec-file $debuggees/family" -ex 'catch fork' -ex 'catch exec' -ex run -ex continue -ex 'info inferiors' -ex kill | ours
said
echo "== signals"
debugger $debuggees/signals -ex 'set sysroot /' -ex "target remote | exec gdbserver - $debuggees/signals 2> said" -ex 'handle SIGUSR2 nostop noprint' \
    -ex continue -ex 'print count' -ex continue -ex 'print $_siginfo._sifields._sigfault.si_addr == page' -ex 'handle SIGUSR1 nostop nopass' \
    -ex continue -ex continue | ours
said
echo "== attached"
$debuggees/threads waiting > word &
target=$!
until_asleep $target 4
debugger $debuggees/threads -ex 'set sysroot /' -ex 'target extended-remote | exec gdbserver --once --multi - 2> said' -ex "attach $target" \
    -ex 'thread apply all -ascending print $_thread' -ex detach | grep -e '^\$' -e detached
until_asleep $target 4
kill $target; wait $target; echo "status $?"
