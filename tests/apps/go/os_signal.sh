#!/bin/bash
# rootfs: go
# with: library.bash
# long
# mem: 3G
# timeout: 1800
# Go's own tests of package os/signal.
. /.linnet/t/library.bash
library os/signal
