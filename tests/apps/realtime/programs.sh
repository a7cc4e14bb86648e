#!/bin/bash
# rootfs: realtime
# long
# timeout: 1800
# The other programs of rt-tests, over semaphores, message queues, signals, inheritance of priorities and deadlines: whether each one
# does its rounds and finds no error. The times that they measure are nothing that a test could expect.
run() {
    local status=0
    timeout 120 "$@" > /tmp/rt.txt 2> /tmp/rt.err || status=$?
    echo "$*: status $status"
    ((status == 0)) || tail -n 20 /tmp/rt.err /tmp/rt.txt >&2
}
run ptsematest -t 2 -p 80 -l 200 -i 2000
run svsematest -t 2 -p 80 -l 200 -i 2000
run svsematest -f -p 80 -l 200 -i 2000
run pmqtest -t 2 -p 80 -l 200 -i 2000
run sigwaittest -t 2 -p 80 -l 200 -i 2000
# Not with -f: its child must block SIGUSR2 before another one, started 10 ms later, sends it; else it dies and nothing ever ends.
run signaltest -t 4 -p 80 -l 200
run pi_stress --duration 5 --groups 3 --quiet
sed -n '/error\|fail\|deadlock/Ip' /tmp/rt.txt /tmp/rt.err
run pi_stress --duration 5 --groups 2 --rr --quiet
sed -n '/error\|fail\|deadlock/Ip' /tmp/rt.txt /tmp/rt.err
run pip_stress
# It gives up where the host makes a trial of its work longer than the run time that it asks for: let that be 60 ms.
run cyclicdeadline -t 2 -i 100000 -s 10000 -D 5
run rt-migrate-test -l 10
rm -f /tmp/rt.txt /tmp/rt.err
