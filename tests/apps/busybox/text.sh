#!/bin/sh
# rootfs: busybox
# Applets that turn text into text.
cd "$(mktemp -d)" || exit 1
t() { echo "== $*"; }
printf 'pear 3\napple 1\nfig 2\napple 7\n' > fruit
t cat;      cat -n fruit
t tac;      tac fruit
t rev;      rev fruit
t nl;       nl fruit
t head;     head -n 2 fruit; head -c 5 fruit; echo
t tail;     tail -n 1 fruit; tail -c +18 fruit
t sort;     sort fruit; sort -k2n fruit; sort -u -k1,1 fruit
t uniq;     cut -d' ' -f1 fruit | sort | uniq -c
t cut;      cut -c2-4 fruit
t paste;    paste -d: fruit fruit | head -n 1; paste -s fruit
t tr;       tr a-z A-Z < fruit; tr -d aeiou < fruit; echo aabbcc | tr -s ab
t wc;       wc fruit; wc -l < fruit; wc -c < fruit
t grep;     grep -n apple fruit; grep -v -c apple fruit; grep -E '^(p|f)' fruit; grep -o '[0-9]' fruit
t egrep;    egrep 'g|r' fruit
t fgrep;    fgrep 'e 1' fruit
t sed;      sed -n '2,3p' fruit; sed -e 's/\(.*\) \(.*\)/\2-\1/' -e '$d' fruit
t awk;      awk '{ s[$1] += $2 } END { for (k in s) print k, s[k] }' fruit | sort
t fold;     echo abcdefghijkl | fold -w 5
t expand;   printf 'a\tb\n' | expand -t 4; printf 'a       b\n' | unexpand -a
t strings;  printf '\001\002hello world\003\004ab\n' | strings
t split-like; seq 10 | xargs -n 3 echo
t seq;      seq 2 3 11; seq -w 8 10
t factor;   factor 97 360
t expr;     expr 7 \* 6; expr length abcdef; expr abc : 'a\(.\)c'
t bc;       echo '2^100; scale=5; 22/7' | bc
t dc;       echo '3 4 + p 5 * p' | dc
t printf;   printf '%05d|%-5s|%x|%c|%e\n' 42 ab 255 z 1.5
t echo;     echo -e 'a\tb\\n'; echo -n x; echo
t base64;   echo hello | base64; echo aGVsbG8K | base64 -d
t od;       echo AB | od -c; echo AB | od -An -tx1
t hexdump;  echo ABCDEFGHIJKLMNOPQ | hexdump -C
t xxd;      echo xxd | xxd; echo 787864 | xxd -r -p; echo
t uuencode; echo hello | uuencode name; echo hello | uuencode name | uudecode -o -
t md5sum;   echo hello | md5sum
t sha;      echo hello | sha1sum; echo hello | sha256sum; echo hello | sha512sum | cut -c1-40; echo hello | sha3sum | cut -c1-40
t crc32;    echo hello > h; crc32 h 2>/dev/null || cksum h 2>/dev/null || echo none
t diff;     sed 's/fig/date/' fruit > other; diff fruit other; diff -u fruit other | tail -n +3
t cmp;      cmp fruit other; cmp -s fruit fruit && echo same
t comm-like; grep -x -f fruit other
t patch;    diff -u fruit other > p; patch -i p fruit; cmp fruit other && echo patched
t dos2unix; printf 'a\r\nb\r\n' > d; dos2unix d; od -c d; unix2dos d; wc -c < d
t shuf;     seq 5 | shuf | sort | tr '\n' ' '; echo
t tee;      echo both | tee copy; cat copy
t ts;       echo x | ts '' | wc -l
