#!/bin/bash
# rootfs: debian
# with: handles.pl small-ext4.base64
# timeout: 120
# disk: 64M
# File handles on ext4: they lead to files and directories after the file system was mounted anew, when no name is in
# memory, and to nothing once the inode is another file's. (This Debian, which has Perl, has no mke2fs: the empty file
# system was made by mke2fs -t ext4 -b 1024 -J size=1 -N 512.)
mkdir -p mnt
handle() { perl "${0%/*}/handles.pl" "$@"; }

base64 -d "${0%/*}/small-ext4.base64" | gunzip > /dev/vda
mount -t ext4 /dev/vda mnt || exit

mkdir -p mnt/a/b/c
echo one > mnt/a/b/c/file
echo two > mnt/top
mkdir mnt/many
for i in {1..200}; do : > mnt/many/a-name-that-fills-blocks-$i; done
mkdir mnt/many/sub
{ read -r file; read -r top; read -r deep; read -r sub; read -r root; } < <(
    handle make mnt/a/b/c/file mnt/top mnt/a/b/c mnt/many/sub mnt)
echo "bytes and type: ${file:0:16}"

echo == mounted anew
umount mnt && mount -t ext4 /dev/vda mnt
handle open mnt "$deep" "$sub" "$root"
handle write mnt "$top"
cat mnt/top
mv mnt/a/b mnt/moved
umount mnt && mount -t ext4 -o ro /dev/vda mnt
handle open mnt "$deep" "$file"
handle write mnt "$file"
umount mnt && mount -t ext4 /dev/vda mnt

echo == of files that are gone
rm -r mnt/moved/c mnt/top
handle open mnt "$file" "$deep" "$top"
for i in {1..50}; do echo new > mnt/new-$i; done
mkdir mnt/new-dir
handle open mnt "$file" "$deep" "$top"
umount mnt && mount -t ext4 /dev/vda mnt
handle open mnt "$file" "$deep" "$top"
exec 5<> mnt/new-1
kept=$(handle make mnt/new-1)
rm mnt/new-1
handle open mnt "$kept" | grep reads
exec 5>&-
handle open mnt "$kept"

echo == forged
handle forge mnt 3000
umount mnt
