#!/bin/bash
# rootfs: disk
# with: try.bash
# disk: 64M
# timeout: 200
# An overlay whose layers lie on an ext4, and one whose lower layer lies elsewhere: programs of every day change it, it is mounted
# anew, and neither its upper layer nor the file system has anything left to mend.
mkdir -p mnt merged ram
mke2fs -q -F -t ext4 /dev/vda
mount -t ext4 /dev/vda mnt || exit
. "${0%/*}/try.bash"
mkdir mnt/lower mnt/upper mnt/work
cp -a /bin/cat mnt/lower/program
mkdir -p mnt/lower/etc/dir mnt/lower/many
for i in {1..300}; do echo $i > mnt/lower/many/$i; done
echo text > mnt/lower/etc/file; ln mnt/lower/etc/file mnt/lower/etc/name
ln -s etc/file mnt/lower/link
options=lowerdir=mnt/lower,upperdir=mnt/upper,workdir=mnt/work
try mount -t overlay overlay -o $options merged
findmnt -n -o FSTYPE,SOURCE merged
cd merged
echo more >> link
cat etc/file
cat ../mnt/lower/etc/file
ls -A ../mnt/upper ../mnt/upper/etc
./program link
rm -r many
ls -l ../mnt/upper/many | cut -c1
mkdir many && ls -A many
try touch etc/dir/x
rename() { perl -e 'rename($ARGV[0], $ARGV[1]) or die "$!\n"' "$@"; }
try rename etc else
mv link link2 && cat link2
mkdir new && cp -a etc/file new && mv new newer && cat newer/file
dd if=/dev/zero of=sparse bs=4k count=1 seek=2000 status=none
sed -i s/more/less/ etc/file
cat etc/file
chown 7:8 program && stat -c '%u %g %s' ../mnt/upper/program | sed "s/ $(stat -c %s program)$/ same/"
find . -xdev | sort | tr '\n' ' '; echo
cd ..
try umount merged
try mount -t overlay overlay -o $options,redirect_dir=on merged
find merged -xdev | sort | tr '\n' ' '; echo
try mv merged/etc merged/moved
cat merged/moved/file
ls merged/moved
try mv merged/moved/dir merged/dir
try rename merged/moved/file merged/file
try rm -r merged/newer merged/many merged/sparse
try umount merged
mount -t tmpfs tmpfs ram && mkdir ram/d && echo ram > ram/d/file && echo other > ram/other
try mount -t overlay overlay -o lowerdir=ram:mnt/lower,upperdir=mnt/upper,workdir=mnt/work,redirect_dir=on merged
ls merged
echo changed > merged/other
cat merged/other merged/d/file ram/other
sync
echo 'full'
dd if=/dev/zero of=merged/fill bs=64k status=none 2> /dev/null
dd if=/dev/zero of=ram/big bs=64k count=40 status=none
try dd if=/dev/zero of=merged/big bs=4k count=1 conv=notrunc status=none
stat -c %s merged/big
rm merged/fill
try dd if=/dev/zero of=merged/big bs=4k count=1 conv=notrunc status=none
try umount merged
ls -A mnt/work/work | sed 's/#.*/whiteout/'
umount ram mnt
e2fsck -f -n /dev/vda > report 2>&1; echo "e2fsck: $?"
