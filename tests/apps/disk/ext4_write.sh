#!/bin/bash
# rootfs: disk
# disk: 64M
# timeout: 300
# File systems of many shapes are written to: names of all kinds come and go, files grow and shrink, and space runs out.
# Everything is there after the next mount, and e2fsck has nothing to say.
mkdir -p mnt
check() { umount mnt && e2fsck -f -n /dev/vda > log 2>&1 && echo "$1: clean" || cat log; }
names() {
    mkdir -p mnt/d/e/f mnt/many
    echo one > mnt/d/one
    ln mnt/d/one mnt/two
    ln -s d/one mnt/short
    ln -s "$(printf 'x%.0s' {1..200})" mnt/long
    mkfifo mnt/d/fifo
    mknod mnt/null c 1 3
    mknod mnt/far b 300 70000
    for i in {1..400}; do echo "$i" > "mnt/many/a file with the number $i"; done
    rm mnt/many/*7
    mv mnt/many/*9 mnt/d/e
    mv mnt/d/e mnt/e && mv mnt/e/f mnt/d
    echo new > mnt/new && mv mnt/new mnt/two && cat mnt/two mnt/d/one
    mkdir mnt/empty mnt/full && touch mnt/full/x
    rmdir mnt/full 2>&1 | sed 's/.*: //'
    mv -T mnt/empty mnt/full 2>&1 | sed 's/.*: //'
    mv -T mnt/empty mnt/e/empty && rmdir mnt/e/empty && echo gone
    chmod 4750 mnt/d/one && chown 70000:80000 mnt/d/one
    touch -d '2001-01-01 00:00:01.123456789 UTC' mnt/d/one
    setfattr -n user.colour -v blue mnt/d/one && setfattr -n user.colour -v red mnt/d/one
    setfattr -n user.long -v "$(printf 'y%.0s' {1..600})" mnt/many && setfattr -n user.gone -v x mnt/many
    setfattr -x user.gone mnt/many
    chmod 1777 mnt/d && touch -d '1950-01-01 00:00:01 UTC' mnt/e
}
look() { (cd mnt && find . -path ./lost+found -prune -o -type d -printf '%p %y %m %U %G %n\n' -o -printf '%p %y %m %U %G %n %s %l\n') | sort; }
while read -r shape; do
    echo "== $shape"
    # shellcheck disable=SC2086
    mke2fs -q -F -t ext4 $shape /dev/vda
    mount -t ext4 /dev/vda mnt || continue
    names
    look > before
    check names
    mount -t ext4 /dev/vda mnt
    look | diff before - && wc -l < before
    stat -c '%n %Y.%y' mnt/d/one mnt/e | sed 's/ .* / /'
    cat mnt/e/* | md5sum
    stat -c '%t %T' mnt/null mnt/far
    (cd mnt && getfattr -d d/one many | cut -c1-40)
    echo -- data
    seq 100000 > mnt/numbers
    seq 100000 >> mnt/numbers
    echo middle | dd of=mnt/numbers conv=notrunc bs=1 seek=300001 status=none
    sync mnt/numbers
    printf end | dd of=mnt/holes bs=1 seek=5M status=none
    printf middle | dd of=mnt/holes bs=1 seek=100k conv=notrunc status=none
    cp mnt/numbers mnt/cut && truncate -s 12345 mnt/cut && truncate -s 20000 mnt/cut && echo more >> mnt/cut
    exec 5<> mnt/nameless; rm mnt/nameless; seq 10000 >&5
    stat -c '%n %s' mnt/numbers mnt/holes mnt/cut
    md5sum mnt/numbers mnt/holes mnt/cut
    [ "$(stat -c %b mnt/holes)" -lt 100 ] && echo has holes
    mount -o remount,ro mnt 2> /dev/null || echo busy
    exec 5>&-
    mount -o remount,ro mnt && touch mnt/x 2>&1 | sed 's/.*: //'
    e2fsck -f -n /dev/vda > log 2>&1 && echo "read-only: clean"
    mount -o remount,rw mnt && touch mnt/x && rm mnt/x && echo writable
    check data
    mount -t ext4 /dev/vda mnt
    md5sum mnt/numbers mnt/holes mnt/cut
    echo -- space
    before=$(stat -f -c %f mnt)
    cat /dev/zero > mnt/full-disk 2> error
    sed 's/.*: //' error
    [ "$(stat -c %s mnt/full-disk)" -gt 20000000 ] && echo much has room
    sync
    check full
    mount -t ext4 /dev/vda mnt
    cmp -n "$(stat -c %s mnt/full-disk)" mnt/full-disk /dev/zero && echo zeros
    rm mnt/full-disk
    sync
    after=$(stat -f -c %f mnt)
    [ $((before - after)) -lt 10 ] && echo free again
    rm -r mnt/d mnt/e mnt/many mnt/numbers mnt/cut mnt/holes
    check empty
done <<'SHAPES'
-b 1024
-b 2048 -O ^metadata_csum
-b 4096
-b 1024 -O ^extents,^64bit,^metadata_csum,^flex_bg
-b 1024 -O meta_bg,^resize_inode
-b 4096 -O ^dir_index,^huge_file
SHAPES
