#!/bin/bash
# rootfs: debian
# The tree is not configured, so there is no link awk.
awk() { mawk "$@"; }
# procps over our /proc: only what is the same on every kernel is shown.
ps aux | awk 'NR == 1 { print } $2 == 1 { print $1, $2, $8 ~ /^S/ }'
sleep 60 &
until read -r _ name state _ < /proc/$!/stat && [ "$name $state" = "(sleep) S" ]; do :; done
ps -o pid=,ppid=,stat=,comm= -p $! | awk -v me=$$ '{ print ($2 == me), substr($3, 1, 1), $4 }'
pgrep -x sleep | grep -c "^$!$"; pkill -x sleep; wait $!; echo $?
top -bn1 | awk '/^top -/ { print "top" } /^Tasks:/ { print ($2 > 1) } /PID USER/ { print $1, $2, $NF } $1 == 1 { print $2 }'
free -b | awk '/^Mem:/ { print ($2 > 0 && $4 > 0 && $4 <= $2) } /^Swap:/ { print $2 }'
uptime -p | cut -d' ' -f1; uptime | grep -c 'load average'
ps -eo pid,ppid,uid,nice,comm --sort=pid | awk '$1 == 1 { print $2, $3, $4 }'
ps -L -o lwp= -p $$ | wc -l; pidof bash > /dev/null && echo pidof; pwdx $$ | grep -c /; vmstat 2> /dev/null | head -n 1 | grep -c procs; kill -l 9; sysctl -n kernel.ostype; w -h 2> /dev/null | wc -l
tr '\0' ' ' < /proc/$$/cmdline; echo; cut -d' ' -f1 /proc/self/statm | awk '{ print ($1 > 0) }'; grep -E '^(Name|Pid|PPid|Uid|Threads):' /proc/$$/status | awk '/Name|Uid|Threads/ { print $1, $2 }'
