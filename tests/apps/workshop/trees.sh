#!/bin/bash
# Whole trees: /usr into a tar and out again, by rsync, by cp, and through the packers, with no difference; find, du and ls of all.
# rootfs: workshop
# long
# timeout: 1800
export LC_ALL=C
rm -rf /tmp/trees && mkdir -p /tmp/trees && cd /tmp/trees || exit 1
# Everything about a tree but where it lies and when it was looked at.
about() { (cd "$1" && find . -printf '%P %y %m %U %G %n %s %T@ %l\n' | awk '$2 == "d" { $7 = "" } 1' | sort | sha1sum); }

mkdir from && cp -a /usr/lib/git-core /usr/share/perl from/ 2> /dev/null
mkdir -p from/odd && cd from/odd || exit 1
mkfifo fifo; mknod null c 1 3; ln -s nowhere dangling; touch "$(printf 'new\nline')" ' ' '*' "$(printf '\377')"
truncate -s 5G sparse; printf x | dd of=sparse bs=1 seek=3000000000 conv=notrunc status=none; ln sparse linked
setfattr -n user.one -v value sparse; setfacl -m u:7:r fifo; chown 12:34 ' '; chmod 4711 '*'; touch -d '1990-01-01 UTC' dangling -h
cd ../..
about from > first

tar --acls --xattrs -S -cf tree.tar from && mkdir out && tar --acls --xattrs -xpf tree.tar -C out && about out/from | cmp - first && echo tar
tar -d -f tree.tar && getfattr -d out/from/odd/sparse && getfacl -c out/from/odd/fifo && stat -c %h out/from/odd/sparse
[ "$(stat -c %b out/from/odd/sparse)" -lt 100 ] && echo sparse; rm -rf out
rsync -aHAXS from out && about out/from | cmp - first && echo rsync && rsync -aHAXSn --itemize-changes from out
echo changed >> out/from/perl/*/strict.pm && rm out/from/odd/fifo && touch out/from/extra
rsync -aHAXS --delete --itemize-changes from out | cut -c1-11,12-40 | sed 's, perl/.*/, ,' && about out/from | cmp - first && echo rsync again; rm -rf out
cp -a from out && about out | cmp - first && echo cp; rm -rf out
(cd from && find . -depth -print0 | cpio -0 -o -H newc 2> /dev/null | md5sum > /dev/null) 2> /dev/null
for packer in gzip 'xz -T2 -1' 'zstd -q -T0' bzip2; do
    command -v "${packer%% *}" > /dev/null || continue
    head -c 30000000 tree.tar | $packer -c > packed && $packer -dc packed | cmp - <(head -c 30000000 tree.tar) && echo "${packer%% *}"
done
rm -f tree.tar packed

# All of /usr
tar -C / -cf usr.tar usr && mkdir out && tar -C out -xpf usr.tar && tar -C out -df usr.tar && echo "usr: no difference"
diff -r --no-dereference /usr out/usr && echo "diff: no difference"
about /usr > one; about out/usr | cmp - one && echo "the same"
rm -rf out usr.tar
find / -xdev > list && [ "$(wc -l < list)" -gt 10000 ] && echo many
[ "$(find / -xdev -type f | wc -l)" = "$(find / -xdev -printf '%y\n' | grep -c f)" ] && echo files
[ "$(du -sx --apparent-size -B1 / | cut -f1)" -gt 100000000 ] && [ "$(du -sxB1 /usr | cut -f1)" -gt 100000000 ] && echo sizes
ls -lR /usr > list 2> errors && wc -l < errors
cd / && rm -rf /tmp/trees
