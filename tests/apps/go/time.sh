#!/bin/bash
# rootfs: go
# with: library.bash
# long
# mem: 3G
# timeout: 1800
# Go's own tests of package time.
. /.linnet/t/library.bash
library time
