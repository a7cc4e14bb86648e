#!/bin/sh
# rootfs: busybox
# Applets that ask the kernel about processes, users, time and itself; only what is the same on every kernel is shown.
t() { echo "== $*"; }
# Waits until a child has become another program.
until_is() { until [ "$(cat /proc/$1/comm)" = "$2" ]; do :; done; }
t id;        id; id -u; whoami; groups; logname 2>/dev/null || echo no login
t uname;     uname -s; uname -n; uname -o 2>/dev/null
t hostname;  hostname
t nproc;     nproc
t arch;      [ "$(arch)" = "$(uname -m)" ] && echo same
t env;       env -i A=1 B=2 env; printenv HOME
t ps;        ps -o pid,comm | awk '$1 == 1 { print $2 }'
t pidof;     sleep 50 & s=$!; until_is $s sleep; [ "$(pidof sleep)" = $s ] && echo found; kill $s; wait $s; echo $?
t kill;      sleep 50 & kill -STOP $!; until grep -q '^State:.*stopped' /proc/$!/status; do :; done; awk '{ print $3 }' /proc/$!/stat; kill -CONT $!; kill -KILL $!; wait $!; echo $?
t killall;   sleep 51 & until_is $! sleep; killall sleep; wait $!; echo $?
t timeout;   timeout 0.3 sleep 5; echo $?; timeout 5 true; echo $?
t nice;      nice_of() { awk '{ print $19 }' /proc/self/stat; }; nice -n 5 awk '{ print $19 }' /proc/self/stat 2>/dev/null || renice -n 5 $$ > /dev/null; awk '{ print $19 }' /proc/self/stat
t nohup;     nohup true > /dev/null 2>&1; echo $?
t setsid;    setsid sh -c 'awk "{ print (\$1 == \$6) }" /proc/self/stat > /dev/null; ps -o pid,sid 2>/dev/null | head -n 1 > /dev/null; echo done'
t taskset;   taskset -p $$ 2>/dev/null | sed 's/.*mask: //' | tail -n 1 | grep -c .
t usleep;    usleep 1000; sleep 0.01; echo slept
t date;      date -u -d @1000000000 '+%F %T'; TZ=UTC0 date -d '2020-02-29 12:00' '+%j %a %s'; [ "$(date +%Y)" -ge 2024 ] && echo now
t cal;       cal 2 2024
t tty;       tty; echo $?
t stty;      stty 2>/dev/null || echo no terminal
t free;      free | awk 'NR == 2 { print $1, ($2 > 0), ($3 < $2) }'
t uptime;    uptime | grep -c load
t mount;     mount | awk '$3 == "/proc" || $3 == "/sys" || $3 == "/dev" || $3 == "/dev/pts" { print $3, $5 }' | sort
t mounts;    grep -c ' /proc proc ' /proc/mounts
t mountdo;   mkdir -p /tmp/m && mount -t tmpfs -o size=1m none /tmp/m && df -k /tmp/m | awk 'NR == 2 { print $2 }'; head -c 2000000 /dev/zero > /tmp/m/f 2>/dev/null; echo $?; stat -c %s /tmp/m/f; umount /tmp/m; ls /tmp/m; rmdir /tmp/m
t bind;      mkdir -p /tmp/b1 /tmp/b2; echo x > /tmp/b1/x; mount --bind /tmp/b1 /tmp/b2 && cat /tmp/b2/x; umount /tmp/b2; ls /tmp/b2; rm -r /tmp/b1 /tmp/b2
t chroot;    mkdir -p /tmp/r/bin && cp /bin/busybox /tmp/r/bin/ && chroot /tmp/r /bin/busybox ls /; rm -r /tmp/r
t sysctl;    sysctl -n kernel.ostype kernel.pid_max 2>/dev/null | head -n 1
t dmesg;     dmesg | wc -l | awk '{ print ($1 > 0) }'
t getopt;    getopt -o ab: -- -a -b x y
t xargs;     seq 3 | xargs -n1 -P3 sh -c 'exit 0'; echo $?
t time;      time -p true 2>&1 | awk '{ print $1 }'
t ulimit;    ulimit -n; ulimit -c 0; ulimit -c; (ulimit -n 20; ulimit -n)
t su;        su -s /bin/sh nobody -c 'id -u; touch /etc/x 2>/dev/null || echo refused'
t top;       top -bn1 | awk 'NR == 1 { print $1 }'; top -bn1 | grep -c '[t]op -bn1'
t nologin;   which nologin > /dev/null && echo there
t run-parts; mkdir -p /tmp/rp && printf '#!/bin/sh\necho part\n' > /tmp/rp/a && chmod +x /tmp/rp/a && run-parts /tmp/rp; rm -r /tmp/rp
t mkpasswd;  mkpasswd -m md5 -S abcdefgh secret
t ipcalc;    ipcalc -n 192.168.1.77/24
t reset;     clear | wc -c | awk '{ print ($1 > 0) }'
t proc;      cat /proc/self/comm; tr '\0' ' ' < /proc/self/cmdline; echo; readlink /proc/self/exe; ls /proc/self/fd | head -n 3 | tr '\n' ' '; echo; grep -c heap /proc/$$/maps; cat /proc/sys/kernel/ostype
t dev;       ls -l /dev/null /dev/zero /dev/full /dev/tty /dev/ptmx /dev/random /dev/urandom | awk '{ print $1, $5, $6, $NF }'
t full;      echo x > /dev/full; echo $?
