#!/bin/sh
# rootfs: busybox
# Applets that work on files, folders, links, modes and archives.
cd "$(mktemp -d)" || exit 1
umask 022
t() { echo "== $*"; }
t mkdir;     mkdir -p a/b/c && mkdir -m 700 d && ls -l | awk '{ print $1, $NF }'
t touch;     touch -d '2001-02-03 04:05:06' a/old && date -u -r a/old '+%F %T' && stat -c '%Y %s' a/old
t cp;        echo data > f && cp f g && cp -a a a2 && find a2 | sort
t mv;        mv g a/b/ && ls a/b
t ln;        ln f hard && ln -s f soft && readlink soft && stat -c '%h %F' f soft && cat soft
t realpath;  realpath soft | sed 's|.*/||'
t link;      link f again && stat -c %h f && unlink again && stat -c %h f
t chmod;     chmod 4711 f && stat -c '%a %A' f && chmod u-s,g+w,o= f && stat -c '%a' f
t chown;     chown 1000:100 f && stat -c '%u %g' f && chgrp 5 f && stat -c '%g' f && chown 0:0 f
t rm;        rm -r a2 && ls -d a2 2>/dev/null; rm f2 2>/dev/null; echo $?
t rmdir;     rmdir a/b 2>/dev/null || echo busy; rmdir d && echo gone
t mkfifo;    mkfifo p && stat -c %F p && { echo through > p & cat p; wait; }
t mknod;     mknod zero c 1 5 && head -c 3 zero | od -An -tx1
t dd;        dd if=/dev/zero of=z bs=1k count=3 2>/dev/null && stat -c %s z; dd if=z of=y bs=512 skip=1 seek=2 count=1 2>/dev/null; stat -c %s y
t truncate;  truncate -s 10000 z && stat -c %s z && truncate -s 5 z && stat -c %s z
t fallocate; fallocate -l 4096 fa && stat -c %s fa
t du;        mkdir u && head -c 8192 /dev/zero > u/x && du -sk u/x | cut -f1
t find;      find . -name 'o*' -o -type l | sort; find . -type f -size -2 -name f -exec echo found {} \;
t xargs;     find a -type d | sort | xargs -I{} echo dir {}
t which;     which sh
t basename;  basename /x/y.txt .txt; dirname /x/y.txt
t test;      test -f f && test -L soft && test ! -e nothing && [ f -ef hard ] && [[ 3 -gt 2 ]] && echo yes
t install-like; cp f i && chmod 755 i && [ -x i ] && echo executable
t tar;       tar cf t.tar a soft hard f && tar tf t.tar | sort && mkdir out && tar xf t.tar -C out && cat out/f && stat -c %h out/f
t gzip;      gzip -c t.tar > t.gz && gunzip -c t.gz | cmp - t.tar && zcat t.gz | wc -c | grep -c . 
t bzip2;     bzip2 -c f > f.bz2 && bunzip2 -c f.bz2 && bzcat f.bz2
t lzop;      lzop -c f 2>/dev/null | lzop -dc 2>/dev/null
t cpio;      find a | sort | cpio -o -H newc 2>/dev/null > c.cpio && cpio -t < c.cpio 2>/dev/null | sort
t split-sum; seq 1000 | md5sum
t cmp;       cmp f hard && echo equal
t sync;      sync && echo synced
t shred;     cp f s && shred -u s && ls s 2>/dev/null || echo shredded
t mktemp;    m=$(mktemp -p . XXXXXX) && stat -c '%a %s' "$m" && rm "$m"
t flockless-rename; mv -f hard soft2 && ls -i f soft2 | awk '{ print $1 }' | uniq | wc -l
t pwd;       cd a/b/c && pwd | sed 's|.*/a|a|' && cd - > /dev/null
t df;        df . | awk 'NR == 1 { print $1, $6 }'
t ls;        touch -d '2001-02-03' l && ls -l --full-time l 2>/dev/null | awk '{ print $1, $3, $4, $5, $6 }'; ls -a a; ls -p a; ls -1R a
