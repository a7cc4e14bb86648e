#!/bin/bash
# rootfs: realtime
# long
# timeout: 240
# rt-tests' cyclictest: threads woken by each clock, call and class. What latency they saw is nothing that a test could expect,
# nor are the rounds of the slower ones: the first that has made its rounds ends them all.
rounds=300
measure() {
    echo "cyclictest $*"
    cyclictest -q -d 0 -l $rounds -i 2000 "$@" > /tmp/rt.txt 2> /tmp/rt.err
    echo "status $?"
    # Nobody wakes before the time, but by "-x", which takes the time of a signal's expiry that it missed for its own.
    mawk -v timers="$([[ $* == *-x* ]] && echo 1)" '
        /^T:/ { gsub(/:/, ": "); sub(/\(.*\)/, ""); for (i = 1; i < NF; i++) v[$i] = $(i + 1)
            if (v["C:"] > most) most = v["C:"]
            ordered = v["Min:"] >= 0 && v["Min:"] <= v["Avg:"] && v["Avg:"] <= v["Max:"]
            print "thread", v["T:"], "priority", v["P:"], "interval", v["I:"], ((v["C:"] > 0 && (timers || ordered)) ? "ran" : $0) }
        END { print most, "rounds" }' /tmp/rt.txt
}
measure -t 4 -p 80
measure -m -S -p 80
measure -m -t 3 -p 50 --policy=rr -a 1
measure -t 2 -p 60 -r
measure -t 2 -p 60 -s
measure -t 2 -p 60 -x
measure -t 2 -p 60 -x -r
measure -t 2 -c 1
measure -t 1 -p 70 -N
rm -f /tmp/rt.txt /tmp/rt.err
