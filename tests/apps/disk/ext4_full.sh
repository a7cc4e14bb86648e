#!/bin/bash
# rootfs: disk
# disk: 64M
# timeout: 120
# On a disk that is almost full a file is removed and another written at once: its blocks are those of the first, which
# are free only when that has been committed.
mkdir -p mnt
mke2fs -q -F -t ext4 -J size=4 /dev/vda
mount -t ext4 /dev/vda mnt || exit
head -c 40M /dev/zero | tr '\0' x > mnt/data
sync
for round in 1 2 3 4 5 6; do
    rm mnt/data
    head -c 40M /dev/zero | tr '\0' "$round" > mnt/data && sync mnt/data && echo "round $round"
    head -c 8 mnt/data && echo
done
umount mnt && e2fsck -f -n /dev/vda > log 2>&1 && echo e2fsck is content || cat log
