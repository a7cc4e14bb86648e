#!/bin/bash
# rootfs: debian
# The tree is not configured, so there is no link awk.
awk() { mawk "$@"; }
# GNU coreutils, findutils, grep, sed, mawk, tar, gzip and diffutils, dynamically linked.
cd "$(mktemp -d)" || exit 1
umask 022
seq 1 2000 > n
sort -rn n | head -n 3; sort -R n | sort -n | cmp - n && echo sorted
shuf -i 1-100 | sort -n | md5sum; sha256sum n; b2sum n | cut -c1-32; cksum n
split -l 500 n part. && ls part.* && cat part.* | cmp - n && echo joined
csplit -s n 1000 && wc -l xx00 xx01
join <(seq 3 | sed 's/$/ a/') <(seq 2 4 | sed 's/$/ b/')
comm -12 <(seq 1 5) <(seq 3 8)
paste <(seq 3) <(seq 4 6); pr -2 -t -l 3 <(seq 6)
tr -dc '0-9' < n | wc -c; od -An -tx1 -N 8 n; fmt -w 20 <<< 'the quick brown fox jumps over the lazy dog'
numfmt --to=iec 1048576; factor 1234567890; expr 5 + 3; printf '%q\n' 'a b'
stat -c '%a %s %F' n; install -m 640 n m && stat -c %a m; ln -s n l && readlink -f l | sed 's|.*/||'
cp -a --reflink=auto n c && cmp n c && truncate -s 100 c && wc -c < c; dd if=n of=d bs=7 skip=3 count=5 2> /dev/null; cat d; echo
mkdir -p t/{a,b}/{c,d} && touch t/a/c/{1,2} t/b/d/x && find t -type f -name '[12]' | sort; find t -empty -type d | sort
find t -type f -print0 | xargs -0 -n 1 basename | sort; find t -newer n -type f | wc -l
ls -lR t | awk '/^-/ { print $1, $NF }'; ls --color=never -F t/a; tree 2> /dev/null; du -s --apparent-size -B1 n | cut -f1
grep -c 7 n; grep -rn --include=x '' t | wc -l; grep -P '^(\d)\1\1$' n | tr '\n' ' '; echo; echo 'naïve' | grep -o 'ï'
sed -n '/^19[0-9]$/p' n | sed ':a;N;$!ba;s/\n/,/g'; sed -i 's/^2000$/last/' n && tail -n 1 n
mawk 'BEGIN { for (i = 0; i < 3; i++) printf "%d:%s ", i, substr("linnet", i + 1); print ""; print length("abc"), toupper("x"), sprintf("%.3f", 3.14159) }'
tar cf t.tar t && tar tvf t.tar | awk '{ print $1, $2, $NF }' | sort && tar xf t.tar -C "$(mktemp -d)" && echo extracted
tar czf t.tgz t && gzip -t t.tgz && gzip -dc t.tgz | tar t | sort | tail -n 2
gzip -9 -k n && gunzip -c n.gz | cmp - n && echo "gzip round trip"
diff -u <(seq 3) <(seq 2 4) | tail -n +3; diff -rq t/a t/b; cmp n m | cut -d, -f1; sdiff -w 20 <(echo a) <(echo b); diff3 <(echo a) <(echo b) <(echo a) | head -n 1
timeout 0.5 sleep 10; echo $?; nice -n 3 nice; env -i A=1 env; nohup true 2> /dev/null; echo $?; tac n | head -n 2; yes | head -n 1000 | uniq -c | tr -s ' '
date -u -d '2024-02-29 +1 year' +%F; date -u -d @0 +%FT%TZ; id -un 2> /dev/null || id -u; groups > /dev/null; nproc; uname -s
chmod 0 n 2> /dev/null; stat -c %a n; mkfifo p; (echo via fifo > p &); cat p; touch -d 2000-01-01 o && stat -c %y o | cut -d. -f1; mktemp -u XXX | wc -c; sync; basename "$(pwd -P)" | wc -c | xargs test 1 -lt && echo end
