#!/bin/bash
# rootfs: debug
# mem: 2G
# with: normal.bash
# arch: x86_64 aarch64 riscv64 loongarch64
# long: riscv64 loongarch64
# timeout: 240
# A process with threads: begun by gdb, and attached to while it runs; its core file.
. "${0%/*}/normal.bash"
program=$debuggees/threads
only_ours() {
    grep -v -e ' in ?? ' -e 'from /' -e clone -e sysdeps -e nptl -e '^warning: target file' | grep -v '^\[New'
}
begin() {
    $program waiting > word &
    target=$!
    until_asleep $target 4
}
end() { kill $target; wait $target; echo "status $?"; }
echo "== begun here"
debugger_apart $program -ex 'break let_go' -ex run -ex 'print $_thread' -ex 'info threads' -ex delete -ex continue |
    grep -e '^\$' -e '^[* ] [1-9] ' -e finished | sed -E 's/(LWP N\)).*/\1/'
debugger_apart $program -ex 'break descend if depth == 0' -ex run -ex 'print number == $_thread - 1' -ex continue -ex 'print depth' \
    -ex continue -ex 'print depth' -ex continue | grep -e '^\$' -e finished -e exited\ normally
echo "== attached"
begin
debugger -p $target -ex 'info threads' -ex 'thread apply all -ascending bt' -ex 'thread 3' -ex 'frame function wait_here' \
    -ex 'print number' -ex 'generate-core-file core' -ex detach | only_ours
until_asleep $target 4
sed -n 's/^TracerPid:\t//p' /proc/$target/task/*/status | sort | uniq -c
echo "== its core"
debugger $program core -ex 'info threads' -ex 'thread apply all -ascending bt' -ex 'print finished' | only_ours
echo "== a core of it by gcore"
gcore -o by_gcore $target 2>&1 | debugger_output | only_ours | sed "s/$target/TARGET/g"
debugger $program by_gcore.$target -ex 'thread apply all -ascending bt' | only_ours
end
echo "== let go"
begin
debugger -p $target -ex 'thread 1' -ex 'print (void)let_go()' -ex detach | grep '^\$'
until_asleep $target 1
end
echo "== stopped already"
begin
kill -STOP $target
until grep -q 'T (stopped)' /proc/$target/status; do :; done
debugger -p $target -ex 'print finished' -ex detach | grep '^\$'
grep State /proc/$target/status
kill -CONT $target
end
echo "== killed below gdb"
begin
debugger -p $target -ex "shell kill -9 $target" -ex continue > /dev/null
wait $target; echo "status $?"
