#!/bin/bash
# rootfs: disk
# with: try.bash
# disk: 64M
# renameat2(2) with RENAME_WHITEOUT on ext4: what is moved leaves a device node 0:0, which is on the disk; directories go from
# one to another with it, into indexed and full directories too, and nothing is left over for e2fsck.
mkdir -p mnt
mke2fs -q -F -t ext4 -N 256 /dev/vda
mount -t ext4 /dev/vda mnt && cd mnt || exit
. "${0%/*}/try.bash"
number=276
[ "$(uname -m)" = x86_64 ] && number=316

# move FROM TO [FLAGS [TIMES]]: so many names have numbers behind them
move() { perl -e 'my ($number, $from, $to, $flags, $times) = @ARGV;
    for my $i ($times ? 1..$times : "") {
        next if syscall($number + 0, -100, $from . $i, -100, $to . $i, $flags + 0) == 0;
        print "move: $!\n"; exit 1
    }' $number "$1" "$2" "${3:-4}" "${4:-0}"; }
look() { stat -c '%N %F %t:%T %h %s' "$@"; }

echo text > file
echo other > other
try move file moved
look file moved
try move moved other
look moved other
cat other
try move other file 5
try move other new 5
try move new new2 6
mkdir dir in
echo inside > dir/inside
try move dir in/dir
look dir in/dir in in/dir/..
cat in/dir/inside
try move in/dir in/dir/below
try move missing there
ln -s target link
try move link link2
look link link2
chattr +a new
try move new elsewhere
chattr -a new
rm -f dir link
echo 'many'
mkdir many
for i in {1..60}; do echo $i > many/a$i; done
try move many/a many/b 4 60
ls many | wc -l
find many -type c | wc -l
echo 'no inode is left'
mkfifo n{1..300} 2> /dev/null
try move other2 other3
try move new last
look new
rm -f n*
cd .. && umount mnt
e2fsck -f -n /dev/vda > report 2>&1; echo "e2fsck: $?"
mount -t ext4 -o ro /dev/vda mnt
find mnt -type c | wc -l
look mnt/file mnt/moved
cat mnt/in/dir/inside
umount mnt
