#!/bin/bash
# rootfs: stress
# long
# timeout: 3000
# Debian's stress-ng with its stressors of processes, scheduling, communication and time, four of each at once: what each one
# says, for LINNET_SECONDS each.
seconds=${LINNET_SECONDS:-60}
known=$(stress-ng --help)
stress() {
    local name=$1 status
    case "$known" in
    *" --$name N "*) ;;
    *) echo "$name unknown"; return ;;
    esac
    stress-ng --"$name" 4 --timeout "$seconds" --verify --temp-path /tmp >/tmp/stress.txt 2>&1
    status=$?
    case "$(</tmp/stress.txt)" in
    *skipping\ stressor*) echo "$name skipped" ;;
    *) echo "$name $status" ;;
    esac
    ((status == 0)) || cat /tmp/stress.txt >&2
}
for name in cpu fork clone vfork exec futex pthread sem sem-sysv mq msg switch schedpolicy affinity prio-inv timer timerfd \
    itimer clock nanosleep yield wait zombie session; do
    stress $name
done
rm -f /tmp/stress.txt
