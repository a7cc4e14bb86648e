#!/bin/sh
# rootfs: busybox
# timeout: 300
# 2,000 processes one after the other, then 500 alive at once, all of them collected.
i=0; while [ $i -lt 2000 ]; do (exit 0) || exit 1; i=$((i + 1)); done; echo "$i forked"
i=0; while [ $i -lt 500 ]; do sleep 1000 & pids="$pids $!"; i=$((i + 1)); done
set -- $pids; echo "$# started"
ls /proc | grep -c '^[0-9]' | awk '{ print ($1 >= 500) }'
kill "$@"; wait; ls /proc | grep -c '^[0-9]' | awk '{ print ($1 < 100) }'
