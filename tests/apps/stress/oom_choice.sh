#!/bin/bash
# rootfs: debian
# mem: 512M
# timeout: 240
# Who dies when memory is gone: by size and oom_score_adj, never the protected; or who asks, where the knob says so.
cat > /tmp/hold.py <<'END'
import sys, mmap, time
size, adjustment, go_on = int(sys.argv[1]) << 20, sys.argv[2], sys.argv[3] == "grow"
open("/proc/self/oom_score_adj", "w").write(adjustment)
def take(size):
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, size, 4096): memory[at] = 1
    return memory
held = [take(size)]
open(sys.argv[4], "w").close()
while go_on: held.append(take(4 << 20))
time.sleep(1000)
END
hold() { rm -f "/tmp/$1"; python3 /tmp/hold.py "$2" "$3" "$4" "/tmp/$1" & last=$!; }
held() { until [ -e "/tmp/$1" ]; do sleep 0.1; done; }
kills() { sed -n 's/^oom_kill //p' /proc/vmstat; }
ended() { wait "$1"; echo "$2 $?"; }
lives() { kill -0 "$1" && echo "$2 lives"; }
before=$(kills)

hold protected 120 -1000 stay; protected=$last; held protected
hold small 30 900 stay; small=$last; held small
hold hog 10 0 grow; hog=$last
ended $small small
ended $hog hog
lives $protected protected
echo "kills $(($(kills) - before))"

echo 1 > /proc/sys/vm/oom_kill_allocating_task
hold small 30 900 stay; small=$last; held small
hold hog 10 0 grow; hog=$last
ended $hog hog
lives $small small
lives $protected protected
echo "kills $(($(kills) - before))"
echo 0 > /proc/sys/vm/oom_kill_allocating_task
dmesg | grep -c "Out of memory.*Killed process $hog (python3.*) total-vm:[0-9]*kB, anon-rss:[0-9]*kB, file-rss:[0-9]*kB, shmem-rss:[0-9]*kB, UID:0 pgtables:[0-9]*kB oom_score_adj:0"
dmesg | grep -q '\[ *pid *\] *uid *tgid total_vm *rss' && echo table
kill -9 $small $protected
wait
