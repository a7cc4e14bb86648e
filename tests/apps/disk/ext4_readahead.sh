#!/bin/bash
# rootfs: disk
# disk: 64M
# timeout: 300
# Files of ext4 are read one page after the other, and more comes into memory than was asked for: on several shapes, with holes and
# ends within a page, while others cut the file off and punch holes into it. What is read is always what is there.
mkdir -p mnt
# cachestat(2) of the whole file; fincore(1) isn't in every Debian's util-linux.
cached() {
    perl -e 'open(my $file, "<", $ARGV[0]) or die; my ($range, $counts) = (pack("QQ", 0, 0), "\0" x 40);
        syscall(451, fileno($file), $range, $counts, 0) == 0 or die; print unpack("Q", $counts)' "$1"
}
page=$(getconf PAGESIZE)
between() { (($2 <= $4 && $4 <= $3)) && echo "$1" || echo "$1: $4 is not from $2 to $3"; }
cold() { umount mnt && mount -t ext4 /dev/vda mnt; }
seq 1 1000000 | head -c 3000001 > data
head -c 2500000 /dev/zero | tr "\\0" x > old
head -c 2500000 /dev/zero | tr "\\0" y > new
while read -r shape; do
    echo "== $shape"
    # shellcheck disable=SC2086
    mke2fs -q -F -t ext4 $shape /dev/vda
    mount -t ext4 /dev/vda mnt || continue
    cp data mnt/data
    # Every third piece of 12 KiB is there.
    truncate -s 3000001 mnt/sparse
    for ((at = 0; at < 240; at += 3)); do
        dd if=data of=mnt/sparse bs=12K skip=$at seek=$at count=1 conv=notrunc status=none
    done
    cp mnt/sparse sparse
    cold
    dd if=mnt/data of=/dev/null bs=$page count=64 status=none
    between "a window more" 65 $((64 + 262144 / page)) "$(cached mnt/data)"
    dd if=mnt/data bs=$page status=none | cmp - data && echo "the same, page by page"
    between "no more than there is" $((3000001 / page + 1)) $((3000001 / page + 1)) "$(cached mnt/data)"
    dd if=mnt/sparse bs=1000 status=none | cmp - sparse && echo "with holes, too"
    cold
    cmp mnt/data data && cmp mnt/sparse sparse && echo "in larger pieces"
    cold
    dd if=mnt/data of=/dev/null bs=1 skip=2000000 count=1 status=none
    between "no more for a single byte" 1 1 "$(cached mnt/data)"
    dd if=mnt/data iflag=nocache count=0 status=none
    between "forgotten" 0 0 "$(cached mnt/data)"
    # Others change it meanwhile: what is read is what was there, or zeros, but never what the blocks have got since.
    cold
    for round in 1 2; do
        cp old mnt/changing
        sync mnt/changing
        dd if=mnt/changing iflag=nocache count=0 status=none
        for reader in 1 2 3 4; do
            dd if=mnt/changing bs=$page status=none | tr -d 'x\0' > "read$reader" &
        done
        fallocate -p -o $((round * 200000 / page * page)) -l 1048576 mnt/changing
        truncate -s $((2500000 - round * 300000)) mnt/changing
        truncate -s 2500000 mnt/changing
        cp new mnt/other
        wait
        cat read[1-4] | wc -c
        cmp mnt/other new
    done
    umount mnt
    e2fsck -f -n /dev/vda > log 2>&1 && echo clean || cat log
done << 'SHAPES'
-b 4096
-b 1024 -O ^extents,^64bit
-b 2048 -O inline_data
SHAPES
blockdev --getra /dev/vda
blockdev --setra 64 /dev/vda && cat /sys/block/vda/queue/read_ahead_kb
