#!/bin/bash
# rootfs: go
# with: library.bash
# long
# mem: 3G
# timeout: 1800
# Go's own tests of package os/exec. Left out: what listens on a socket.
. /.linnet/t/library.bash
library os/exec '^TestExtraFilesRace$'
