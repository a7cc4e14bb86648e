#!/bin/bash
# rootfs: disk
# disk: 64M
# timeout: 300
# Ranges are taken out of files and put into them: what lies behind moves, stored or not, mapped or not. The contents are as they
# should be before and after the next mount, and e2fsck has nothing to say.
mkdir -p mnt
check() { umount mnt && e2fsck -f -n /dev/vda > log 2>&1 && echo "$1: clean" || cat log; }
look() { stat -c '%n %s %b' "$1" | { read -r name size blocks; echo "$name: $size bytes, $((blocks / 2 / $2 * $2)) KiB"; }; }
say() { "$@" 2>&1 | sed 's/.*: //'; }
# The same by copying: $1 without $3 bytes at $2, or with as many zeros there.
collapsed() { head -c "$2" "$1"; tail -c "+$(($2 + $3 + 1))" "$1"; }
inserted() { head -c "$2" "$1"; head -c "$3" /dev/zero; tail -c "+$(($2 + 1))" "$1"; }
collapse() { collapsed "$1" "$2" "$3" > copy; fallocate -c -o "$2" -l "$3" "$1"; cmp copy "$1" && echo "collapsed $2 $3"; }
insert() { inserted "$1" "$2" "$3" > copy; fallocate -i -o "$2" -l "$3" "$1"; cmp copy "$1" && echo "inserted $2 $3"; }
while read -r block shape; do
    echo "== $block $shape"
    # shellcheck disable=SC2086
    mke2fs -q -F -t ext4 -b $block $shape /dev/vda
    mount -t ext4 /dev/vda mnt || continue
    seq 50000 > mnt/a
    if [[ $shape == *^extents* ]]; then
        say fallocate -c -o 0 -l "$block" mnt/a
        say fallocate -i -o 0 -l "$block" mnt/a
        check lists
        continue
    fi
    collapse mnt/a 0 "$block"
    collapse mnt/a $((7 * block)) $((12 * block))
    insert mnt/a $((3 * block)) $((5 * block))
    insert mnt/a 0 $((64 * block))
    sync
    seq 7 >> mnt/a
    collapse mnt/a $((2 * block)) $((30 * block))
    insert mnt/a $((9 * block)) "$block"
    look mnt/a 100
    # Many extents, so that the tree has leaves.
    seq 200000 > mnt/b && sync
    for ((i = 1; i < 100; i++)); do fallocate -p -o $((i * 4 * block)) -l $((block * (i % 3 + 1))) mnt/b; done
    collapse mnt/b $((5 * block)) $((3 * block))
    insert mnt/b $((4 * block)) $((1000 * block))
    insert mnt/b $((1200 * block)) $((2 * block))
    collapse mnt/b $((1 * block)) $((1100 * block))
    # What was never written moves, too, and what lies behind the end.
    seq 10 > mnt/c && fallocate -n -l $((40 * block)) mnt/c && truncate -s $((20 * block)) mnt/c
    fallocate -n -o $((30 * block)) -l $((10 * block)) mnt/c
    insert mnt/c "$block" "$block" && collapse mnt/c $((3 * block)) $((3 * block)) && look mnt/c 1
    # Where it can't be.
    say fallocate -c -o 1 -l "$block" mnt/c
    say fallocate -i -o "$block" -l 10 mnt/c
    say fallocate -c -o "$block" -l $((100 * block)) mnt/c
    say fallocate -c -o "$((10 * block))" -l $((8 * block)) mnt/c
    say fallocate -i -o $((18 * block)) -l "$block" mnt/c
    say fallocate -i -o 0 -l $((block << 32)) mnt/c
    say fallocate -i -o 0 -l $((0x7fffffffffffffff / block * block)) mnt/c
    look mnt/c 1
    md5sum mnt/[abc]
    check moved
    mount -t ext4 /dev/vda mnt
    md5sum mnt/[abc]
    rm mnt/[abc]
    check empty
done <<'SHAPES'
1024
4096
1024 -O ^extents,^64bit
SHAPES
