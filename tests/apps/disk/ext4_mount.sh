#!/bin/bash
# rootfs: disk
# disk: 64M
# What mount and umount say of ext4: devices that are busy, shared, no file systems, or none at all.
mkdir -p one two
mke2fs -q -F -t ext4 /dev/vda
echo == shared
mount -t ext4 -o ro /dev/vda one
mount -t ext4 -o ro /dev/vda two && echo mounted twice
[ "$(stat -c %d one)" = "$(stat -c %d two)" ] && echo one device
grep -c '^/dev/vda .* ext4 ro,relatime' /proc/mounts
umount one && ls two
echo == busy
(cd two && umount /dev/vda 2>&1 | sed 's/.*: //')
mke2fs -t ext4 /dev/vda < /dev/null 2>&1 | grep -o 'is mounted'
mount -o remount,ro two && echo still read-only
umount two && echo free
echo == no file system
dd if=/dev/zero of=/dev/vda bs=1k count=8 status=none
mount -t ext4 -o ro /dev/vda one 2>&1 | sed 's/,.*//'
mke2fs -q -F -t ext4 /dev/vda
echo == damaged
printf XXXX | dd of=/dev/vda bs=1 seek=$((1024 + 0x78)) conv=notrunc status=none
mount -t ext4 -o ro /dev/vda one || echo refused
mke2fs -q -F -t ext4 /dev/vda
echo == other words
mount -t ext4 -o ro,nonsense /dev/vda one || echo refused
mount -t ext4 -o ro /dev/null one 2>&1 | sed 's/.*: //'
mount -t ext4 -o ro one two 2>&1 | sed 's/.*: //'
mount -t ext4 -o ro /dev/vdz one 2>&1 | sed 's/.*: //'
mount -o ro /dev/vda one && stat -f -c %t one && umount one # the type by its looks
grep -w ext4 /proc/filesystems
