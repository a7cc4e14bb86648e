#!/bin/bash
# rootfs: disk
# disk: 64M
# timeout: 200
# What was synced is there when the machine stops, as a copy of the disk shows that is taken while files are open, new and
# removed: the journal is replayed and orphans are freed, by the next mount as by e2fsck.
mkdir -p tree mnt
seq 20000 > tree/numbers
setfattr -n user.long -v "$(printf 'y%.0s' {1..600})" tree/numbers
for shape in "-b 4096" "-b 1024 -O ^metadata_csum,^64bit"; do
    echo "== $shape"
    # shellcheck disable=SC2086
    mke2fs -q -F -t ext4 $shape -d tree /dev/vda
    mount -t ext4 /dev/vda mnt
    mkdir mnt/new && seq 50000 > mnt/new/numbers
    for i in {1..300}; do echo "$i" > "mnt/new/$i"; done
    rm mnt/new/*9
    mv mnt/new mnt/renamed
    exec 5<> mnt/nameless 6<> mnt/other
    rm mnt/nameless mnt/other mnt/numbers && seq 50000 >&5 && echo other >&6
    sync
    blockdev --flushbufs /dev/vda
    dd if=/dev/vda of=copy bs=1M status=none
    exec 5>&- 6>&-
    umount mnt
    e2fsck -f -n /dev/vda > log 2>&1 && echo clean at the end || cat log
    dumpe2fs -h copy 2> /dev/null | grep -o needs_recovery
    cp copy mended && e2fsck -f -y mended > log 2>&1
    [ $? -le 1 ] && grep -c '^Clearing orphaned inode' log
    e2fsck -f -n mended > log 2>&1 && echo clean when mended || cat log
    dd if=copy of=/dev/vda bs=1M conv=fsync status=none
    mount -t ext4 /dev/vda mnt
    ls mnt mnt/renamed | wc -l
    md5sum mnt/renamed/numbers
    umount mnt
    e2fsck -f -n /dev/vda > log 2>&1 && echo clean after the mount || cat log
done
