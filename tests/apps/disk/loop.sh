#!/bin/bash
# rootfs: disk
# disk: 64M
# timeout: 300
# Files as disks: losetup(8), `mount -o loop`, an ext4 inside a file of an ext4, what is durable there, and one on another.
mkdir -p mnt inner
mke2fs -q -F -t ext4 /dev/vda
mount -t ext4 /dev/vda mnt
echo "== losetup"
truncate -s 8M mnt/image
loop=$(losetup -f --show mnt/image)
losetup -l -n -O BACK-FILE,OFFSET,SIZELIMIT,AUTOCLEAR,RO "$loop" | tr -s ' '
lsblk -b -n -d -o TYPE,SIZE,RO "$loop" | tr -s ' '
seq 100000 | dd of="$loop" bs=64K status=none conv=fsync
cmp -n 500000 "$loop" mnt/image && echo same
losetup -d "$loop"
losetup -a
loop=$(losetup -f --show -r -o 4K --sizelimit 1M -b 4096 mnt/image)
blockdev --getsize64 --getss --getro "$loop"
dd if=mnt/image bs=4K skip=1 count=256 status=none | cmp - "$loop" && echo same
losetup -d "$loop"
echo "== a file system within another"
truncate -s 24M mnt/disk.img
mke2fs -q -F -t ext4 mnt/disk.img
mount -o loop mnt/disk.img inner
losetup -n -O BACK-FILE,AUTOCLEAR -j mnt/disk.img | tr -s ' '
seq 200000 > inner/numbers && mkdir inner/folder && cp inner/numbers inner/folder/copy && sync inner/numbers
dd if=/dev/zero of=inner/zeros bs=1M count=12 oflag=direct status=none
rm inner/zeros && fstrim inner 2> /dev/null
# What was stored with fsync is in the file below: a copy of it has it.
cp mnt/disk.img copy.img && e2fsck -f -p copy.img > /dev/null
debugfs -R 'cat numbers' copy.img 2> /dev/null | md5sum
md5sum < inner/numbers
# One more on top of it.
truncate -s 4M inner/deep.img && mke2fs -q -F -t ext4 inner/deep.img && mkdir deep
mount -o loop inner/deep.img deep && echo deep > deep/file && umount inner 2> /dev/null || echo busy
umount deep && umount inner && losetup -a
e2fsck -f -n mnt/disk.img > log 2>&1 && echo clean || cat log
mount -o loop,ro mnt/disk.img inner && cmp inner/numbers inner/folder/copy && cat inner/deep.img | wc -c
touch inner/none 2>&1 | sed 's/.*: //'
umount inner
echo "== partitions"
truncate -s 4M mnt/parts
printf '%b' '\0\0\0\0\x83\0\0\0\x40\0\0\0\0\x08\0\0' | dd of=mnt/parts bs=1 seek=446 conv=notrunc status=none
printf '\x55\xaa' | dd of=mnt/parts bs=1 seek=510 conv=notrunc status=none
loop=$(losetup -f --show -P mnt/parts)
blockdev --getsize64 "${loop}p1"
mke2fs -q -F -t ext2 "${loop}p1" && losetup -d "$loop"
loop=$(losetup -f --show -o 32K mnt/parts)
blkid -c /dev/null -o value -s TYPE "$loop"
losetup -d "$loop"
umount mnt && e2fsck -f -n /dev/vda > log 2>&1 && echo clean || cat log
