#!/bin/sh
# rootfs: busybox
# timeout: 300
# Ten rounds of processes, files, pipes and mappings leave as much free memory as one, within 1 %.
round() {
    i=0; while [ $i -lt 60 ]; do sh -c 'echo x | cat > /dev/null'; i=$((i + 1)); done
    head -c 20000000 /dev/zero > /tmp/leak; cp /tmp/leak /tmp/leak2; rm /tmp/leak /tmp/leak2
    mkdir -p /tmp/l/a/b/c; i=0; while [ $i -lt 200 ]; do echo $i > /tmp/l/a/$i; i=$((i + 1)); done; rm -r /tmp/l
    mount -t tmpfs none /mnt && head -c 5000000 /dev/zero > /mnt/f && umount /mnt
    sort -S 10M -n /etc/group > /dev/null
}
# The second is for what is given back late: per-CPU lists, processes that nobody has reaped yet.
free_kb() { sleep 1; awk '/^MemFree/ { print $2 }' /proc/meminfo; }
round; round; first=$(free_kb)
for n in 1 2 3 4 5 6 7 8 9; do round; done
last=$(free_kb)
lost=$((first - last)); [ $lost -lt 0 ] && lost=0
if [ $((lost * 100)) -le "$first" ]; then echo "nothing lost"; else echo "lost $lost of $first kB"; fi
