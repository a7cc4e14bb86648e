#!/bin/bash
# rootfs: disk
# disk: 64M
# Access control lists on a disk: kept over a mount, heeded, handed down, copied, and as e2fsprogs expects them.
mkdir -p mnt
as() { setpriv --reuid "$1" --regid "$2" --clear-groups "${@:3}" 2>&1 | sed 's/.*: //'; }

for shape in "-b 4096" "-b 1024 -I 128"; do
    echo "== $shape"
    # shellcheck disable=SC2086
    mke2fs -q -F -t ext4 $shape /dev/vda
    mount -t ext4 /dev/vda mnt && chmod 755 mnt && cd mnt || exit
    echo secret > file && chmod 640 file
    setfacl -m u:1000:rw,u:1001:---,g:100:r file
    mkdir folder && setfacl -m d:u:1000:rwx,d:g::rx,d:o::- folder
    echo inherited > folder/file
    mkdir folder/sub
    cp -a file copy
    list=
    for id in {1..40}; do list+="${list:+,}u:$((2000 + id)):r"; done
    echo long > long && chmod 600 long && setfacl -m "$list" long
    setfattr -n user.a -v b long
    cd .. && umount mnt
    e2fsck -fn /dev/vda > log 2>&1 || cat log
    debugfs -R "ea_list file" /dev/vda 2> /dev/null | sed 's/ = .*//'

    mount -t ext4 /dev/vda mnt && cd mnt || exit
    getfacl -n file copy folder folder/file folder/sub
    getfacl -n long 2>&1 | tail -n 4
    for who in "1000 1" "1001 1" "1002 100" "1002 1"; do
        # shellcheck disable=SC2086
        echo "$who: $(as $who cat file), $(as $who bash -c ': >> file && echo writes')"
    done
    as 2040 1 cat long
    as 2041 1 cat long
    chmod g=r file && getfacl -n file | sed -n 4,5p
    setfacl -b file long && setfacl -k folder && getfacl -n file long folder
    ls -l | sed 's/ .*//'
    cd .. && umount mnt
    e2fsck -fn /dev/vda > log 2>&1 || cat log
done
