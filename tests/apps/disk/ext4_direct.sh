#!/bin/bash
# rootfs: disk
# disk: 64M
# timeout: 300
# Files of ext4 are read and written with O_DIRECT: over data, holes, blocks that are only given, and ends; four programs at a
# time mix that with reads and writes through the page cache. What is there is the same before and after the next mount.
mkdir -p mnt
check() { umount mnt && e2fsck -f -n /dev/vda > log 2>&1 && echo "$1: clean" || cat log; }
sums() { (cd mnt && md5sum -- [!l]*); }
quiet() { dd "$@" status=none conv=notrunc 2>&1 | sed "s/.*: //"; }
seq 1 300000 | head -c 1M > data
# One of four: its own pieces of a file that they share, written this way and read that way.
mixed() {
    local round from out in
    for round in 0 1 2 3; do
        out=$((round & 1)) in=$((round >> 1 & 1))
        from=$((round * 4 + $1))
        dd if=data of=mnt/shared bs=512 skip=$from seek=$from count=1 status=none conv=notrunc ${written[out]}
        dd if=mnt/shared bs=512 skip=$from count=1 status=none ${read[in]} | cmp -s - <(dd if=data bs=512 skip=$from count=1 status=none) ||
            echo "$1: not what was written in round $round"
    done
}
written=("" oflag=direct) read=(iflag=direct "")
while read -r shape; do
    echo "== $shape"
    # shellcheck disable=SC2086
    mke2fs -q -F -t ext4 $shape /dev/vda
    mount -t ext4 /dev/vda mnt || continue
    # New, larger, over what is there, and past what the cache has.
    quiet if=data of=mnt/new bs=64K oflag=direct
    quiet if=data of=mnt/sectors bs=512 count=77 oflag=direct
    quiet if=data of=mnt/new bs=4K seek=300 count=9 oflag=direct
    quiet if=data of=mnt/cached bs=100K
    quiet if=data of=mnt/cached bs=4K skip=7 seek=3 count=20 oflag=direct
    quiet if=data of=mnt/cached bs=512 skip=99 seek=5 count=1 oflag=direct
    dd if=mnt/cached bs=64K iflag=direct status=none | md5sum
    # Holes and given blocks, wholly and in part.
    truncate -s 700001 mnt/holes
    quiet if=data of=mnt/holes bs=4K seek=10 count=5 oflag=direct
    quiet if=data of=mnt/holes bs=512 seek=1001 count=3 oflag=direct
    dd if=mnt/holes bs=32K iflag=direct status=none | md5sum
    if [[ $shape != *^extents* ]]; then
        fallocate -l 1M mnt/given
        quiet if=data of=mnt/given bs=8K seek=17 count=5 oflag=direct
        quiet if=data of=mnt/given bs=512 seek=3 count=6 oflag=direct,sync
        dd if=mnt/given bs=32K iflag=direct status=none | md5sum
    fi
    # Ends that aren't at sectors.
    head -c 12345 data > mnt/odd && sync
    dd if=mnt/odd bs=4K iflag=direct status=none | md5sum
    dd if=mnt/odd bs=16K iflag=direct status=none | wc -c
    quiet if=data of=mnt/odd bs=4K seek=5 count=1 oflag=direct
    quiet if=data of=mnt/appended bs=4K count=2 oflag=direct,append
    quiet if=data of=mnt/appended bs=4K count=2 oflag=direct,append
    # What isn't aligned.
    dd if=data of=mnt/refused bs=1000 count=2 oflag=direct status=none 2>&1 | sed 's/.*: //'
    quiet if=mnt/new of=/dev/null bs=1000 count=2 iflag=direct
    : > mnt/shared
    for number in 0 1 2 3; do mixed $number & done
    wait
    # More than there is room for.
    dd if=/dev/zero of=mnt/large bs=1M oflag=direct status=none 2>&1 | sed 's/.*: //'
    [ "$(stat -c %s mnt/large)" -gt 30000000 ] && cmp -n 30000000 mnt/large /dev/zero && rm mnt/large
    sums
    check written
    mount -t ext4 /dev/vda mnt
    sums
    check kept
done <<'SHAPES'
-b 1024
-b 4096
-b 4096 -O ^extents,^64bit
SHAPES
# The disk itself, copied past the cache.
dd if=/dev/vda of=copy bs=1M count=8 iflag=direct status=none
dd if=copy of=/dev/vda bs=256K seek=64 oflag=direct conv=notrunc status=none
dd if=/dev/vda bs=1M skip=16 count=8 status=none | cmp - copy && echo copied
