#!/bin/bash
# rootfs: java
# long
# mem: 3G
# timeout: 900
# Four Java threads that allocate and drop for a minute with each parallel collector: nothing that they kept may change.
for collector in ParallelGC G1GC; do
    echo "== $collector"
    /usr/lib/jvm/default-java/bin/java -XX:+Use$collector -Xmx256m -cp /usr/local/lib/java-tests Heap "${LINNET_SECONDS:-60}"
    echo "status $?"
done
