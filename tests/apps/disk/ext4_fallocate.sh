#!/bin/bash
# rootfs: disk
# disk: 64M
# timeout: 300
# Blocks are given to files before they are written, and taken out of their midst; the contents are as they should be
# before and after the next mount, and e2fsck has nothing to say.
mkdir -p mnt
check() { umount mnt && e2fsck -f -n /dev/vda > log 2>&1 && echo "$1: clean" || cat log; }
# A file's size, and how many KiB it has, up to this unit.
look() { stat -c '%n %s %b' "$1" | { read -r name size blocks; echo "$name: $size bytes, $((blocks / 2 / $2 * $2)) KiB"; }; }
sums() { md5sum mnt/[!l]*; }
while read -r shape; do
    echo "== $shape"
    # shellcheck disable=SC2086
    mke2fs -q -F -t ext4 $shape /dev/vda
    mount -t ext4 /dev/vda mnt || continue
    if [[ $shape == *^extents* ]]; then
        fallocate -l 1M mnt/none 2>&1 | sed 's/.*: //'
    else
        fallocate -l 3M mnt/before && look mnt/before 1024
        printf middle | dd of=mnt/before bs=1 seek=1000000 conv=notrunc status=none
        printf end | dd of=mnt/before bs=1 seek=3M conv=notrunc status=none
        sync && look mnt/before 1024
        seq 1000 > mnt/keep && fallocate -n -l 2M mnt/keep && look mnt/keep 1024
        seq 1000 >> mnt/keep
        seq 100000 > mnt/zeroed && fallocate -z -o 70001 -l 100003 mnt/zeroed
        fallocate -z -o 500K -l 2M mnt/zeroed && look mnt/zeroed 1024
        fallocate -z -n -o 2M -l 2M mnt/zeroed && look mnt/zeroed 1024
        fallocate -l 10G mnt/huge 2>&1 | sed 's/.*: //'
        rm mnt/huge
    fi
    if [ -e mnt/keep ]; then
        seq 1000 > mnt/behind && fallocate -n -l 3M mnt/behind && sync && look mnt/behind 1024
        truncate -s "$(stat -c %s mnt/behind)" mnt/behind && sync && look mnt/behind 1024 # no longer, but cut off behind
        : > mnt/none && fallocate -n -l 3M mnt/none && : > mnt/none && look mnt/none 1024
        fallocate -n -l 3M mnt/none && truncate -s 4K mnt/none && look mnt/none 1024
        rm mnt/behind mnt/none
    fi
    seq 200000 > mnt/data && sync && look mnt/data 100
    fallocate -p -o 100000 -l 700000 mnt/data && look mnt/data 100
    fallocate -p -o 3 -l 5 mnt/data && head -c 20 mnt/data | od -c | head -1
    fallocate -p -o 1000003 -l 5000 mnt/data && fallocate -p -o 1200K -l 10M mnt/data && look mnt/data 100
    seq 30000 > mnt/unstored && fallocate -p -o 5000 -l 100000 mnt/unstored
    seq 5 | dd of=mnt/data bs=1 seek=300000 conv=notrunc status=none
    sums
    check filled
    mount -t ext4 /dev/vda mnt
    sums
    truncate -s 5000 mnt/data && truncate -s 2M mnt/data
    [ -e mnt/keep ] && truncate -s 100 mnt/keep && look mnt/keep 100
    sums
    rm mnt/[!l]*
    check empty
done <<'SHAPES'
-b 1024
-b 4096
-b 1024 -O ^extents,^64bit
SHAPES
