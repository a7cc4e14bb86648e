#!/bin/bash
# rootfs: disk
# disk: 64M
# timeout: 120
# debugfs leaves transactions in the journal as a crash would; mounting, even read-only, puts them where they belong.
mkdir -p tree mnt
head -c 4096 /dev/zero | tr '\0' a > tree/file
head -c 4096 /dev/zero | tr '\0' b > tree/other
letters() { head -c 4096 /dev/zero | tr '\0' "$1" > "$1"; }
letters c; letters d; letters e
for shape in "-b 4096" "-b 4096 -O ^metadata_csum,^64bit"; do
    echo "== $shape"
    # shellcheck disable=SC2086
    mke2fs -q -F -t ext4 $shape -d tree /dev/vda
    file=$(debugfs -R 'blocks /file' /dev/vda 2> /dev/null | tr -d ' ')
    other=$(debugfs -R 'blocks /other' /dev/vda 2> /dev/null | tr -d ' ')
    printf 'jo\njw -b %s c\njw -b %s d\njw -r %s\njw -b %s e\njc\n' "$file" "$other" "$other" "$file" > commands
    debugfs -w -f commands /dev/vda > /dev/null 2>&1
    sync
    dumpe2fs -h /dev/vda 2> /dev/null | grep -o needs_recovery
    mount -t ext4 -o ro,noload /dev/vda mnt && cut -c1-8 mnt/file mnt/other && umount mnt
    dumpe2fs -h /dev/vda 2> /dev/null | grep -o needs_recovery
    mount -t ext4 -o ro /dev/vda mnt && cut -c1-8 mnt/file mnt/other && umount mnt
    dumpe2fs -h /dev/vda 2> /dev/null | grep -c needs_recovery
    e2fsck -f -n /dev/vda > log 2>&1 && echo e2fsck is content || cat log
done
blockdev --setro /dev/vda
mount -t ext4 -o ro /dev/vda mnt && echo mounted from a read-only disk && umount mnt
blockdev --setrw /dev/vda
debugfs -w -f commands /dev/vda > /dev/null 2>&1
sync
blockdev --setro /dev/vda
mount -t ext4 -o ro /dev/vda mnt 2> /dev/null || echo no recovery on a read-only disk
mount -t ext4 -o ro,noload /dev/vda mnt && cut -c1-8 mnt/file && umount mnt
blockdev --setrw /dev/vda
# A machine that stops amid unmounting leaves a log in a file system that isn't marked: it can be written all the same.
debugfs -w -f commands /dev/vda > /dev/null 2>&1
debugfs -w -R 'feature -needs_recovery' /dev/vda > /dev/null 2>&1
sync
mount -t ext4 /dev/vda mnt && echo text > mnt/new && umount mnt
mount -t ext4 -o ro /dev/vda mnt && cat mnt/new && umount mnt
e2fsck -f -n /dev/vda > log 2>&1 && echo e2fsck is content || cat log
