#!/bin/bash
# rootfs: debian
# mount(8) makes mounts shared, slaves, private and unbindable, and findmnt(8) says so.
mkdir -p tree; mount -t tmpfs none tree && cd tree || exit 1
mount --make-private .
shown() { findmnt -n -r -o TARGET,PROPAGATION -R "$PWD" | sed "s|$PWD||"; }
mkdir a b c d a.d
mount -t tmpfs a a && mkdir a/x a/y
echo == kinds
mount --make-shared a; mount --bind a b; mount --bind a c; mount --make-slave c
mount --bind c d; mount --make-shared d
shown
echo == what is mounted in one
mount -t tmpfs x b/x; mkdir a/x/deep; mount -t tmpfs deep d/x/deep
shown
echo == unmounted
umount d/x/deep; umount a/x
shown
echo == recursively
mount -t tmpfs y a/y
mount --make-runbindable a; shown
mount --bind a a.d 2>&1 | sed 's/dmesg.*//; s/.*: //' | head -1
mount --make-rshared a; shown
mount --make-rslave d; mount --make-rprivate b; shown
echo == moves
mount --move a/y a.d 2>&1 | sed 's/dmesg.*//; s/.*: //' | head -1
mount --make-private a; mount --move a/y a.d; shown
umount -R c; cd ..; umount -R tree; findmnt -R tree || echo gone
