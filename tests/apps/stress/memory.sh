#!/bin/bash
# rootfs: stress
# with: stressors.bash
# long
# timeout: 3000
# Debian's stress-ng with its memory stressors.
. /.linnet/t/stressors.bash
options=([vm]="--vm-bytes 64m" [mmap]="--mmap-bytes 64m" [mremap]="--mremap-bytes 16m" [malloc]="--malloc-bytes 64m")
stressors vm mmap mremap mprotect fork vfork brk stack shm shm-sysv memfd bad-altstack fault mlock mincore msync pagemove \
    mmapfork mmapfixed munmap vm-rw vm-addr tlb-shootdown malloc
# Root's would poison memory and take it offline (MADV_HWPOISON), which ends the stressor itself on Linux.
as=(chroot --userspec=65534:65534 /)
stressors madvise
