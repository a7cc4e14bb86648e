#!/bin/bash
# rootfs: disk
# with: try.bash
# disk: 64M
# lsattr and chattr: which marks files and directories of ext4 can have, what they do to open files and mappings, who
# inherits them, and that they are on the disk.
mkdir -p mnt
mke2fs -q -F -t ext4 /dev/vda
mount -t ext4 /dev/vda mnt && cd mnt || exit
. "${0%/*}/try.bash"
echo text > file
echo text > fixed
mkdir dir
for mark in s u c i a d A t; do
    try chattr +$mark file
    lsattr file
    try chattr -$mark file
done
for mark in s u c i a d A t T; do
    try chattr +$mark dir
    lsattr -d dir
    try chattr -$mark dir
done
for mark in D T F; do try chattr +$mark file; done
try chattr +S file
echo 'written at once' >> file
try chattr =e file
lsattr file
lsattr -d dir

echo == open files
exec 5<> file 6>> file
chattr +i file
echo more >&6 || echo refused
echo more >&5 || echo refused
fallocate -l 10000 /dev/fd/5 2>&1 | grep -o 'Operation not permitted'
chattr -i file
echo more >&6 && cat file
exec 5>&- 6>&-

echo == inherited
chattr +dA dir
mkdir dir/sub
echo text > dir/new
ln -s new dir/link
lsattr -d dir/sub dir/new
chattr -V +a dir/new | grep -v version
chattr -R -f -dA dir
lsattr -d dir dir/sub dir/new

echo == on the disk
chattr +a file
chattr +i fixed
lsattr -v file | grep -c '^[0-9]'
cd .. && umount mnt && mount -t ext4 /dev/vda mnt
lsattr mnt/file mnt/fixed
try rm -f mnt/fixed
chattr -i mnt/fixed && try rm -f mnt/fixed
mount -o remount,ro mnt
try chattr -a mnt/file
umount mnt && e2fsck -f -n /dev/vda > log 2>&1 && echo clean
