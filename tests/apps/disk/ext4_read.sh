#!/bin/bash
# rootfs: disk
# disk: 64M
# timeout: 300
# mke2fs fills file systems of many shapes from a tree, and each is mounted and compared with the tree.
mkdir -p tree/few tree/many mnt
seq 30 > tree/inside-and-behind
seq 100000 > tree/numbers
: > tree/empty
truncate -s 5G tree/holes
printf data | dd of=tree/holes bs=1 seek=4G conv=notrunc status=none
printf end >> tree/holes
ln -s ../numbers tree/few/link
ln -s "$(printf 'x%.0s' {1..200})" tree/few/long-link
mkfifo tree/few/fifo
mknod tree/few/null c 1 3
mknod tree/few/far b 300 70000
ln tree/numbers tree/few/hard
chown 70000:80000 tree/empty
chmod 4751 tree/empty
touch -d '2001-01-01 00:00:01 UTC' tree/empty
touch -d '1950-01-01 00:00:01 UTC' tree/few/hard
for i in {1..500}; do echo "$i" > "tree/many/a file with number $i"; done
setfattr -n user.colour -v blue tree/numbers
setfattr -n user.long -v "$(printf 'y%.0s' {1..600})" tree/numbers

look() { # all about each file but what the file system chooses: numbers of inodes, sizes of folders, parts of seconds
    (cd "$1" && find . -mindepth 1 -path ./lost+found -prune -o -type d -printf '%p %y %m %U %G %n %T@\n' \
        -o -printf '%p %y %m %U %G %n %s %T@ %l\n') | sed 's/\.[0-9]\{10\}//' | sort
}
look tree | grep -v '^./empty' > want

while read -r shape; do
    echo "== $shape"
    # shellcheck disable=SC2086
    mke2fs -q -F -t ext4 -d tree $shape /dev/vda || continue
    e2fsck -f -y -D /dev/vda > /dev/null 2>&1 # gives large folders their index
    debugfs -w -R 'set_inode_field /empty mtime_extra 493827157' /dev/vda 2> /dev/null
    mount -t ext4 -o ro /dev/vda mnt || continue
    look mnt | grep -v '^./empty' | diff - want && echo attributes are the same
    for file in inside-and-behind numbers empty; do cmp "tree/$file" "mnt/$file" && echo "$file is the same"; done
    diff -r tree/many mnt/many && echo many are the same
    tail -c +4294967290 mnt/holes | head -c 12 | od -An -c
    cmp <(tail -c 5 mnt/holes) <(tail -c 5 tree/holes) && echo holes end the same
    find mnt/empty -printf '%T@\n' # debugfs has set it: far in the future, and with nanoseconds
    stat -c '%t %T' mnt/few/null mnt/few/far
    (cd mnt && getfattr -d numbers | cut -c1-40)
    stat -f -c 'type %t, blocks of %s, names up to %l, files %c' mnt
    [ "$(stat -c %i mnt/numbers)" = "$(stat -c %i mnt/few/hard)" ] && echo one inode
    touch mnt/new; rm mnt/numbers; echo >> mnt/numbers
    umount mnt
done <<'SHAPES'
-b 1024
-b 2048 -O ^metadata_csum
-b 4096
-b 4096 -I 256 -O inline_data
-b 1024 -O ^extents,^64bit,^metadata_csum,^flex_bg
-b 1024 -O meta_bg,^resize_inode
-b 1024 -O bigalloc -C 4096
-b 4096 -O ^has_journal,sparse_super2
SHAPES
