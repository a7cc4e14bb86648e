#!/bin/sh
# rootfs: busybox
# mem: 256M
# timeout: 180
# Out of memory kills the offender, not the kernel and not the shell that waits for it.
yes 1234567890123456789012345678901234567890 | sort > /dev/null
echo "status $?"
echo "still here"
