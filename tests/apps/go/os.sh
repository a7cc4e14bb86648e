#!/bin/bash
# rootfs: go
# with: library.bash
# long
# mem: 3G
# timeout: 1800
# Go's own tests of package os. Left out: what needs sockets.
. /.linnet/t/library.bash
library os '^(TestLargeCopyViaNetwork|TestSpliceFile|TestGetPollFDAndNetwork|TestSendFile)$'
