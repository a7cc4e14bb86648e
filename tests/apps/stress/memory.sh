#!/bin/bash
# rootfs: stress
# long
# timeout: 3000
# Debian's stress-ng with its memory stressors, four of each at once: what each one says, for LINNET_SECONDS each.
seconds=${LINNET_SECONDS:-60}
stress() {
    local name=$1 status
    shift
    "$@" stress-ng --"$name" 4 ${options[$name]} --timeout "$seconds" --verify --temp-path /tmp >/tmp/stress.txt 2>&1
    status=$?
    case "$(</tmp/stress.txt)" in
    *skipping\ stressor*) echo "$name skipped" ;;
    *) echo "$name $status" ;;
    esac
    ((status == 0)) || cat /tmp/stress.txt >&2
}
declare -A options=([vm]="--vm-bytes 64m" [mmap]="--mmap-bytes 64m" [mremap]="--mremap-bytes 16m" [malloc]="--malloc-bytes 64m")
for name in vm mmap mremap mprotect fork vfork brk stack shm shm-sysv memfd bad-altstack fault mlock mincore msync pagemove \
    mmapfork mmapfixed munmap vm-rw vm-addr tlb-shootdown malloc; do
    stress $name
done
# Root's would poison memory and take it offline (MADV_HWPOISON), which ends the stressor itself on Linux.
rm -f /tmp/stress.txt
stress madvise chroot --userspec=65534:65534 /
rm -f /tmp/stress.txt
