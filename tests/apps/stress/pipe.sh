#!/bin/sh
# rootfs: busybox
# timeout: 300
# 200 MB through a pipeline, whole.
head -c 200000000 /dev/zero | cat | cat | wc -c
seq 1 300000 | cat | tail -n 1
