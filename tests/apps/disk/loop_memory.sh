#!/bin/bash
# rootfs: disk
# mem: 208M
# disk: 300M
# timeout: 200
# More is written to loop devices than memory takes, one of them on another: pages are stored to make room, through files whose pages
# need memory in turn, and nobody waits for ever.
mkdir -p mnt
mke2fs -q -F -t ext4 /dev/vda
mount -t ext4 /dev/vda mnt
truncate -s 250M mnt/image
lower=$(losetup -f --show mnt/image)
upper=$(losetup -f --show -o 1M "$lower")
yes "written to a disk on a disk" | dd of="$upper" bs=1M count=230 iflag=fullblock 2>&1 | grep records
sync
head -c 230M "$upper" | md5sum
dd if=mnt/image bs=1M skip=1 count=230 status=none | md5sum
losetup -d "$upper" && losetup -d "$lower" && losetup -a
umount mnt && e2fsck -f -n /dev/vda > log 2>&1 && echo clean || cat log
