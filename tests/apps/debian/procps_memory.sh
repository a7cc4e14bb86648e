#!/bin/bash
# rootfs: debian
# What procps makes of memory: shown is only what is the same on every kernel and machine.
awk() { mawk "$@"; }
echo "-- pmap"
pmap -x $$ | awk 'NR == 2 { print $1, $2, $3, $4, $5, $6 } /stack/ { print ($2 > 0), ($3 > 0), $5 } /^total/ { print $1, ($3 > 100), ($4 >= $5) }'
pmap -X $$ | awk 'NR == 2 { for (i = 1; i <= NF; i++) seen[$i] = i; split("Address Perm Offset Device Inode Size Rss Pss Referenced Anonymous Locked Mapping", names); for (i = 1; i in names; i++) print names[i], (names[i] in seen) } END { print (NR > 8) }'
pmap -XX $$ | awk 'NR == 2 { for (i = 1; i <= NF; i++) seen[$i] = 1; split("KernelPageSize MMUPageSize Pss_Dirty Shared_Clean Shared_Dirty Private_Clean Private_Dirty LazyFree AnonHugePages Swap SwapPss THPeligible VmFlags", names); for (i = 1; i in names; i++) print names[i], (names[i] in seen) } /\[stack\]/ { print (/ gd /), (/ rd wr mr mw me /), $2 }'
pmap -d $$ | awk 'END { print $1, $3, $5 }'
echo "-- free"
free -w | awk 'NR == 1 { print $1, $2, $3, $4, $5, $6, $7 } /^Mem:/ { print ($2 > 100000), ($3 > 0), ($4 > 0), ($8 > 0) }'
free -v | awk '/^Comm:/ { print ($2 > 0), ($3 > 0), $4 == $2 - $3 }'
echo "-- vmstat"
vmstat -s | awk '/K total memory/ { print "total", ($1 > 100000) } /K free memory/ { print "free", ($1 > 0) } /K total swap/ { print "swap", $1 }'
vmstat | awk 'NR == 2 { print $1, $2, $3, $4, $5, $6, $7, $8 } NR == 3 { print $3, ($4 > 0), $7, $8 }'
vmstat -m | awk 'NR == 1 { print $1, $2, $3, $4, $5 }'
echo "-- slabtop"
slabtop -o | awk '/Active \/ Total Objects/ { print "objects", ($8 > 0) } /OBJS +ACTIVE/ { print $1, $2, $3, $5 } /kmalloc-256/ && !done { done = 1; print $NF }'
echo "-- top"
top -bn1 -p $$ | awk '/Mem :/ { print $2, ($4 > 100), ($6 > 0) } /COMMAND/ { print $5, $6, $7 } $1 == '$$' { print ($5 > 0), ($6 > 0), ($6 >= $7) }'
ps -o vsz=,rss=,pmem=,sz= -p $$ | awk '{ print ($1 > $2), ($2 > 0), ($4 > 0) }'
ps -o pid=,min_flt=,maj_flt= -p $$ | awk '{ print ($2 > 0) }'
