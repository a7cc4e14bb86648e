#!/bin/bash
# What lsof, fuser, lslocks, pstree, file, man, findmnt and systemd-tmpfiles say.
# rootfs: workshop
# long
# timeout: 400
export LC_ALL=C MANWIDTH=80
rm -rf /tmp/looking && mkdir -p /tmp/looking && cd /tmp/looking || exit 1
echo text > held; mkfifo fifo
sleep 1000 < held & sleeper=$!
exec 5<> fifo 6> out
lsof -w -p $$ -a -d 5,6 -F ftn | grep -v '^p' | tr '\n' ' '; echo
lsof -w -t held | grep -c "^$sleeper$"; fuser held 2> /dev/null | tr -d ' ' | grep -c "^$sleeper$"
fuser -v held 2>&1 | tail -n 1 | awk '{ print $(NF - 1), $NF }'
lsof -w -p $$ -a -d cwd,txt -Fn | grep -v ^p | grep ^n
flock held sh -c 'flock -s -n held true; echo "inside $?"; lslocks -n -o COMMAND,TYPE,MODE,PATH | grep held | tr -s " "'
(flock 9; exec sleep 1000) 9> lock & holder=$!
for _ in $(seq 1 100); do [[ $(readlink /proc/$holder/exe) == *sleep ]] && break; read -rt 0.1 < <(sleep 5); done
flock lock true & waiter=$!
for _ in $(seq 1 100); do grep -q -- '-> FLOCK' /proc/locks && break; read -rt 0.1 < <(sleep 5); done
lslocks -n -o PID,TYPE,MODE | sed -n "s/^ *$waiter  *//p" | tr -s ' '
kill $holder; wait $waiter; echo "waited $?"
pstree $$ | sed 's/---/-/' | head -n 1 | cut -c1-20; kill $sleeper
python3 - << 'end'
import fcntl, subprocess
file = open("held", "r+")
fcntl.lockf(file, fcntl.LOCK_EX, 10, 5)
fcntl.lockf(file, fcntl.LOCK_SH, 20, 50)
print(subprocess.run(["lslocks", "-n", "-o", "TYPE,MODE,START,END,PATH"], stdout=subprocess.PIPE, text=True).stdout.count("held"))
end
file -b held fifo /bin/sh /etc /dev/null | sed 's/ELF 64-bit.*/ELF/'; file -b -i held
man -w ls | sed 's,.*/,,'; man ls 2> /dev/null | head -n 4 | tail -n 2 | tr -s ' '; apropos -e passwd 2> /dev/null | grep -c passwd
findmnt -n -o TARGET,FSTYPE / ; findmnt -n -o FSTYPE /proc; findmnt -T /tmp/looking -n -o TARGET; df --output=fstype / | tail -n 1
mountpoint / /proc /tmp; stat -f -c %T / /proc
printf 'd /tmp/looking/made 0750 daemon daemon -\nf /tmp/looking/made/file 0600 - - - content\nL /tmp/looking/link - - - - made\np /tmp/looking/pipe 0622\n' > t.conf
printf 'D /tmp/looking/gone 0700\nr /tmp/looking/removed\nz /tmp/looking/out 0400\nw /tmp/looking/held - - - - written\nA+ /tmp/looking/made - - - - u:daemon:r\n' >> t.conf
touch removed; mkdir gone; touch gone/x
systemd-tmpfiles --create --remove "$PWD/t.conf" 2>&1 | head -n 5; find made link pipe gone removed out -printf '%P %y %m %u %l\n' 2> /dev/null; cat made/file held; echo
getfacl -c made
cd / && rm -rf /tmp/looking
