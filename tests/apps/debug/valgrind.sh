#!/bin/bash
# rootfs: debug
# with: normal.bash
# arch: x86_64 aarch64
# long: aarch64
# timeout: 300
# memcheck over a program of Debian and one that has what it looks for.
. "${0%/*}/normal.bash"
said() { sed -E -e 's/^==[0-9]+==/==/' -e 's/0x[0-9A-Fa-f]{5,}/ADDRESS/g' -e '/^== (Memcheck|Copyright|Using|Parent)/d'; }
echo "== ls"
mkdir listed && touch listed/{one,two,three}
valgrind --tool=memcheck --log-file=log ls listed; echo "status $?"
said < log
echo "== mistakes"
valgrind --tool=memcheck --leak-check=full --error-exitcode=9 --log-file=log "$debuggees/mistakes"; echo "status $?"
said < log
echo "== threads and signals"
valgrind --tool=memcheck --log-file=log "$debuggees/threads"; echo "status $?"
said < log | grep -e SUMMARY -e 'at exit'
valgrind --tool=memcheck --log-file=log "$debuggees/signals"; echo "status $?"
said < log | grep -e SUMMARY -e terminating
