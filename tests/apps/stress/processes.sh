#!/bin/bash
# rootfs: stress
# with: stressors.bash
# long
# timeout: 3000
# Debian's stress-ng with its stressors of processes, scheduling, communication and time.
. /.linnet/t/stressors.bash
stressors cpu fork clone vfork exec futex pthread sem sem-sysv mq msg switch schedpolicy affinity prio-inv timer timerfd \
    itimer clock nanosleep yield wait zombie session
