#!/bin/bash
# rootfs: realtime
# long
# timeout: 240
# rt-tests' hackbench by pipes: groups of twenty senders and twenty receivers as processes and as threads, all messages through.
run() {
    hackbench "$@" > /tmp/rt.txt 2> /tmp/rt.err
    echo "hackbench $*: status $?"
    sed 's/^Time: .*/Time/' /tmp/rt.txt; cat /tmp/rt.err
}
run --pipe -g 2 -l 50 -s 100
run --pipe -T -g 2 -l 50 -s 100
run --pipe -g 1 -f 5 -l 200 -s 4096
run --pipe -T -F -g 1 -f 5 -l 200 -s 1
rm -f /tmp/rt.txt /tmp/rt.err
