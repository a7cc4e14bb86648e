#!/bin/sh
# mem: 192M
# disk: 256M
# timeout: 200
# More is written to a disk than memory takes: pages are stored to make room, and nobody dies of it.
yes "written to a disk" | dd of=/dev/vda bs=1M count=230 iflag=fullblock 2>&1 | grep records
md5sum /dev/vda | cut -c1-32
