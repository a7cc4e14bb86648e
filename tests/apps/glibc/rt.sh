#!/bin/bash
# rootfs: glibc
# with: verdicts.bash ../judging.bash
# arch: x86_64 aarch64
# long
# timeout: 7200
# glibc's own tests of timers, shared memory, message queues and asynchronous I/O, from Debian's sources: a verdict for each.
. /.linnet/t/verdicts.bash
verdicts rt/
