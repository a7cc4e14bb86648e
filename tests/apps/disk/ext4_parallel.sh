#!/bin/bash
# rootfs: disk
# disk: 64M
# smp: 4
# timeout: 300
# Many write one file system at a time, in folders of their own and in a common one, while others sync.
mkdir -p mnt
mke2fs -q -F -t ext4 -b 1024 /dev/vda
mount -t ext4 /dev/vda mnt
mkdir mnt/common
work() {
    mkdir "mnt/$1"
    for ((round = 0; round < 25; round++)); do
        seq $((round * 200)) > "mnt/$1/$round"
        mv "mnt/$1/$round" "mnt/common/$1.$round"
        ln "mnt/common/$1.$round" "mnt/$1/link.$round"
        ((round % 3)) || rm "mnt/$1/link.$round" "mnt/common/$1.$round"
        ((round % 5)) || sync "mnt/$1"
        truncate -s $((round * 100)) "mnt/common/$1.cut"
    done
}
for worker in 1 2 3 4 5 6; do work $worker & done
for i in {1..10}; do
    head -c 3M /dev/zero | tr '\0' "$i" > "mnt/big$i"
    ((i > 2)) && cat "mnt/big$((i - 2))" > mnt/again && rm "mnt/big$((i - 2))"
    sync
done
wait
ls mnt/common | wc -l
cat mnt/common/* | md5sum
cat mnt/?/* | md5sum
ls mnt
umount mnt
e2fsck -f -n /dev/vda > log 2>&1 && echo clean || cat log
mount -t ext4 -o ro /dev/vda mnt
cat mnt/common/* | md5sum
umount mnt
