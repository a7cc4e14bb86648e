#!/bin/bash
# rootfs: debian
# timeout: 180
# 200 threads in one process.
cat > /tmp/threads.py <<'END'
import threading
barrier, total, lock = threading.Barrier(201), 0, threading.Lock()
def work(n):
    global total
    barrier.wait()
    for _ in range(20):
        with lock:
            total += n
threading.stack_size(256 * 1024)
threads = [threading.Thread(target=work, args=(n,)) for n in range(200)]
[t.start() for t in threads]
print([line.split()[1] for line in open("/proc/self/status") if line.startswith("Threads")])
barrier.wait()
[t.join() for t in threads]
print(total)
END
python3 /tmp/threads.py; rm /tmp/threads.py
