#!/bin/bash
# rootfs: debian
# timeout: 120
# python3: modules, threads, subprocesses, multiprocessing, memory maps, signals.
python3 -c 'print("hello", 6 * 7, 2 ** 100)'
echo '{"list": [1, 2.5, null], "text": "\u00e4"}' | python3 -m json.tool
cat > /tmp/many.py <<'END'
import ctypes, hashlib, mmap, os, queue, select, signal, struct, subprocess, sys, tempfile, threading, time, zlib
print(sys.version_info[0], sys.byteorder, sys.getfilesystemencoding(), struct.calcsize("P"))
numbers, lock = [], threading.Lock()
def work(n):
    with lock:
        numbers.append(n)
threads = [threading.Thread(target=work, args=(n,)) for n in range(50)]
[t.start() for t in threads]; [t.join() for t in threads]
print(sum(numbers), len(set(numbers)))
q = queue.Queue()
threading.Thread(target=lambda: (time.sleep(0.05), q.put("queued"))).start()
print(q.get(timeout=5))
done = subprocess.run(["sh", "-c", "cat; echo err >&2; exit 4"], input=b"fed", capture_output=True)
print(done.returncode, done.stdout, done.stderr)
try:
    subprocess.run(["sleep", "9"], timeout=0.2)
except subprocess.TimeoutExpired:
    print("expired")
print(subprocess.run("exit 3", shell=True).returncode, subprocess.Popen(["sh", "-c", "kill -9 $$"]).wait())
with tempfile.TemporaryFile() as f:
    f.write(b"0" * 65536 * 2); f.flush()
    with mmap.mmap(f.fileno(), 65536 * 2) as m:
        m[65536:65540] = b"here"
    f.seek(65530); print(f.read(12))
r, w = os.pipe(); os.write(w, b"p"); print(select.select([r], [w], [], 0)[0] == [r], os.read(r, 9))
signal.signal(signal.SIGALRM, lambda *_: print("alarm")); signal.setitimer(signal.ITIMER_REAL, 0.05); signal.pause()
sys.stdout.flush()
pid = os.fork()
if pid == 0:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), os.getppid() >= 0, os.cpu_count())
print(hashlib.sha256(b"linnet").hexdigest()[:16], zlib.crc32(b"linnet"), ctypes.CDLL(None).abs(-5))
epoll = select.epoll(); epoll.register(r, select.EPOLLIN); os.write(w, b"e"); print(epoll.poll(1)[0][1] == select.EPOLLIN)
print(sorted(os.listdir("/proc/self/fd"))[:3], os.stat("/etc/passwd").st_uid, len(os.urandom(16)))
END
python3 /tmp/many.py; rm /tmp/many.py
python3 -c 'import multiprocessing as m; print(m.get_context("fork").Pool(3).map(abs, range(-5, 0)))'
python3 -c 'import sys; sys.exit(11)'
