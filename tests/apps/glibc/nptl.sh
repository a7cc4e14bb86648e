#!/bin/bash
# rootfs: glibc
# with: verdicts.bash ../judging.bash
# arch: x86_64 aarch64
# long
# timeout: 7200
# glibc's own tests of threads, built from Debian's sources of it: a verdict for each.
. /.linnet/t/verdicts.bash
verdicts nptl/
