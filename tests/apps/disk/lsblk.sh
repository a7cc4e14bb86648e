#!/bin/bash
# rootfs: disk
# disk: 64M
# What util-linux finds in /sys: lsblk, and file systems by LABEL= and UUID= (findfs, blkid, mount, fstab).
u32() { printf "\\x$(printf %02x $(($1 & 255)))\\x$(printf %02x $(($1 >> 8 & 255)))\\x$(printf %02x $(($1 >> 16 & 255)))\\x$(printf %02x $(($1 >> 24)))"; }
entry() { # number, first sector, sectors
    { printf '\0\0\0\0\x83\0\0\0'; u32 $2; u32 $3; } | dd of=/dev/vda bs=1 seek=$((446 + 16 * ($1 - 1))) conv=notrunc status=none
}
echo == whole
lsblk -o NAME,MAJ:MIN,SIZE,RO,RM,TYPE | sed "s, *$,,"
printf '\x78\x56\x34\x12' | dd of=/dev/vda bs=1 seek=440 conv=notrunc status=none
entry 1 2048 40960; entry 2 43008 65536
printf '\x55\xaa' | dd of=/dev/vda bs=1 seek=510 conv=notrunc status=none
sync; blockdev --rereadpt /dev/vda
echo == partitions
lsblk -o NAME,MAJ:MIN,SIZE,RO,RM,TYPE | sed "s, *$,,"
lsblk -r -n -o NAME,KNAME,PKNAME,LOG-SEC,PHY-SEC,MIN-IO,OPT-IO,ROTA,DISC-GRAN,DISC-MAX,START
lsblk -r -n -o NAME,SUBSYSTEMS
lsblk -b -n -o NAME,SIZE /dev/vda2
lsblk -d -n -o NAME,SIZE
lsblk -p -r -n -o NAME,TYPE
echo == file systems
mke2fs -q -F -t ext4 -L first -U 12345678-1234-1234-1234-123456789abc /dev/vda1
mke2fs -q -F -t ext4 -L second -U 87654321-4321-4321-4321-cba987654321 /dev/vda2
blkid | sort
blkid -o value -s LABEL /dev/vda2
lsblk -r -n -o NAME,SIZE
for tag in LABEL=first LABEL=second UUID=87654321-4321-4321-4321-cba987654321 PARTUUID=12345678-01 LABEL=none; do
    findfs $tag 2>&1
done
echo == mount
mkdir -p one two
mount LABEL=first one && findmnt -n -o SOURCE,TARGET,FSTYPE -T one/. | sed "s|$PWD||"
mount UUID=87654321-4321-4321-4321-cba987654321 two && touch two/file
lsblk -r -n -o NAME,MOUNTPOINT | sed "s|$PWD||"
umount one two
echo "LABEL=second $PWD/two ext4 defaults 0 0" > /etc/fstab
mount two && ls two/file
umount LABEL=second && ls two
mount LABEL=none one 2>&1 | sed 's/.*: //'
echo == a link in the class of devices
cat "$(readlink -f /sys/class/block/vda1)/partition" "/sys/dev/block/$(cat /sys/block/vda/vda1/dev)/start"
