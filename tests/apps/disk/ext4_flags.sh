#!/bin/bash
# rootfs: disk
# with: try.bash
# disk: 64M
# Immutable and append-only files and directories (chattr +i, +a) are what they say, to root too.
mkdir -p mnt
mke2fs -q -F -t ext4 /dev/vda
mount -t ext4 /dev/vda mnt
mkdir mnt/fixed-dir mnt/grows-dir mnt/free
for file in fixed grows other fixed-dir/in grows-dir/in free/in; do echo text > "mnt/$file"; done
mkdir mnt/fixed-dir/sub mnt/free/fixed-sub
setfattr -n user.a -v b mnt/fixed && setfattr -n user.a -v b mnt/grows
umount mnt
for name in fixed fixed-dir free/fixed-sub; do echo "set_inode_field $name flags 0x80010"; done > commands
for name in grows grows-dir; do echo "set_inode_field $name flags 0x80020"; done >> commands
debugfs -w -f commands /dev/vda > log 2>&1 || cat log
mount -t ext4 /dev/vda mnt && cd mnt || exit

. "${0%/*}/try.bash"
write() { echo more > "$1"; }
append() { echo more >> "$1"; }
change() { exec 5<> "$1" && exec 5>&-; }
for name in fixed grows; do
    echo "== $name"
    try write $name
    try append $name
    try change $name
    try truncate -s 1 $name
    try fallocate -l 100000 $name
    try chmod 600 $name
    try chown 1:1 $name
    try touch $name
    try touch -d '2001-01-01 UTC' $name
    try setfattr -n user.c -v d $name
    try setfattr -x user.a $name
    try getfattr --only-values -n user.a $name
    try ln $name free/link
    try mv -T $name free/moved
    try mv -T other $name
    try rm -f $name
    try test -w $name
    try cat $name
done
for name in fixed-dir grows-dir; do
    echo "== $name"
    try write $name/new
    try mkdir $name/newdir
    try ln -s x $name/symlink
    try mknod $name/fifo p
    try ln other $name/link
    try append $name/in
    try mv -T other $name/in
    try mv $name/in $name/else
    try mv $name/in free/from
    try rm -f $name/in
    try rmdir $name/sub
    try mv -T $name free/moved
    try rmdir $name
    try chmod 700 $name
    try touch $name
    try ls $name
done
echo '== free'
try rm -f free/in
try rmdir free/fixed-sub
try mv -T free/fixed-sub free/y
try mv -T free/fixed-sub moved-away
mkdir empty && try mv -T empty free/fixed-sub
# Appending through a descriptor, which stays one that appends.
exec 6>> grows && echo through >&6 && dd of=/dev/fd/6 if=/dev/null 2>&1 | grep -o 'Operation not permitted'
exec 6>&-
tail -n 1 grows
cd .. && umount mnt && e2fsck -f -n /dev/vda > log 2>&1 && echo clean
