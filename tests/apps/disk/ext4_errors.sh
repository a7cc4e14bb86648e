#!/bin/bash
# rootfs: disk
# with: try.bash
# disk: 64M
# What happens when a mounted file system turns out to be damaged: errors=continue and errors=remount-ro, asked for at the
# mount or in the superblock; what is noted there, and what /proc/mounts says.
mkdir -p mnt
# A folder's only block loses its checksum's sense.
damaged() {
    mke2fs -q -F -t ext4 "$@" /dev/vda
    mount -t ext4 /dev/vda mnt
    mkdir mnt/bad && echo text > mnt/bad/file && echo text > mnt/good
    number=$(stat -c %i mnt/bad)
    umount mnt
    block=$(debugfs -R 'blocks bad' /dev/vda 2> /dev/null)
    printf 'X' | dd of=/dev/vda bs=1 seek=$((block * 1024 + 40)) conv=notrunc status=none
}
noted() {
    dumpe2fs -h /dev/vda 2> /dev/null | sed -n -E "s/inode #: *$number\$/inode #: the folder/
        s/^(Filesystem state|Errors behavior|FS Error count|(First|Last) error (inode|err)).*: +/\\1: /p"
}
. "${0%/*}/try.bash"
# Where nothing can be written any more Linux's versions differ: read-only, shut down, or read-only in an emergency.
options() { grep -o 'mnt ext4 [^ ]*' /proc/mounts | sed 's/.* r[ow]//; s/,emergency_ro//'; }
change() { touch mnt/new 2> /dev/null && echo changed || echo "can't be changed"; }
for how in '' errors=continue errors=remount-ro; do
    echo "== ${how:-nothing asked for}"
    damaged -b 1024
    mount -t ext4 ${how:+-o $how} /dev/vda mnt
    options
    try cat mnt/bad/file
    [ "$how" = errors=remount-ro ] || try cat mnt/bad/other
    change
    options
    umount mnt
    noted
    mount -t ext4 -o ro /dev/vda mnt && ls mnt && umount mnt # the journal is replayed, and the note stays
    noted | head -n 2
    e2fsck -f -y /dev/vda > log 2>&1
    noted
done
echo '== asked for in the superblock'
damaged -b 1024 -e remount-ro
mount -t ext4 /dev/vda mnt && options
mount -o remount,errors=continue mnt && options
mount -o remount,errors=remount-ro mnt && options
mount -o remount,errors=panic mnt && options
mount -o remount,errors=never mnt 2>&1 | grep -c .
mount -o remount,errors=remount-ro mnt
try cat mnt/bad/file
change
umount mnt
noted
