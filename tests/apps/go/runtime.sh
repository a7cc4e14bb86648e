#!/bin/bash
# rootfs: go
# with: library.bash
# long
# mem: 3G
# timeout: 1800
# Go's own tests of its runtime. Left out: what reads its sources where they were when it was compiled.
. /.linnet/t/library.bash
library runtime '^TestTracebackSystem$'
