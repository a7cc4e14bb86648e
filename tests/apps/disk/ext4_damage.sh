#!/bin/bash
# rootfs: disk
# disk: 64M
# timeout: 600
# long
# File systems with damaged bytes are mounted, listed and read. What comes of it is open, but for one thing: the machine
# goes on, and a good file system can be mounted afterwards.
mkdir -p tree/few tree/many mnt
seq 20000 > tree/numbers
seq 30 > tree/short
ln -s "$(printf 'x%.0s' {1..200})" tree/few/link
for i in {1..200}; do echo "$i" > "tree/many/a file with number $i"; done
setfattr -n user.colour -v blue tree/numbers
RANDOM=4711
rounds=${LINNET_ROUNDS:-20}
shapes=("-b 1024 -O ^metadata_csum" "-b 4096 -I 256 -O inline_data,^metadata_csum" "-b 1024 -O ^extents,^64bit,^metadata_csum" "-b 1024")
for shape in "${shapes[@]}"; do
    # shellcheck disable=SC2086
    mke2fs -q -F -t ext4 -N 512 -d tree $shape good 4M > /dev/null
    [ "$shape" = "-b 1024" ] || e2fsck -f -y -D good > /dev/null 2>&1
    for ((round = 0; round < rounds; round++)); do
        cat good > /dev/vda
        for ((change = RANDOM % 8; change >= 0; change--)); do
            place=$(((RANDOM * 32768 + RANDOM) % 524288 + 1024))
            printf "\\x$(printf %02x $((RANDOM % 256)))" | dd of=/dev/vda bs=1 seek=$place conv=notrunc status=none
        done
        mount -t ext4 -o ro,noload /dev/vda mnt 2> /dev/null || continue
        timeout 20 find mnt -ls > /dev/null 2>&1
        timeout 20 cat mnt/numbers mnt/short mnt/many/* > /dev/null 2>&1
        getfattr -d mnt/numbers > /dev/null 2>&1
        umount mnt
    done
    cat good > /dev/vda
    mount -t ext4 -o ro /dev/vda mnt && cmp tree/numbers mnt/numbers && echo "good after damage: $shape"
    umount mnt
done
