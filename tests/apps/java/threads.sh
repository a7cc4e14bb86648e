#!/bin/bash
# rootfs: java
# long
# mem: 3G
# timeout: 900
# OpenJDK over threads: monitors, pools, queues, interrupts, children, stack overflows, null pointers caught as faults, timers,
# parallel streams and a shutdown hook, with two collectors. See Threads.java.
java=/usr/lib/jvm/default-java/bin/java
for collector in SerialGC G1GC; do
    echo "== $collector"
    $java -XX:+Use$collector -Xmx256m -cp /usr/local/lib/java-tests Threads
    echo "status $?"
done
echo "== without a compiler"
$java -Xint -Xmx256m -cp /usr/local/lib/java-tests Threads
echo "status $?"
