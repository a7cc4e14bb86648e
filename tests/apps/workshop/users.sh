#!/bin/bash
# Users and groups come, change and go (adduser, usermod, chpasswd, su, gpasswd), and cron runs what they have asked for.
# rootfs: workshop
# long
# timeout: 400
export LC_ALL=C
cd /tmp || exit 1
adduser --quiet --disabled-password --gecos 'One,,,' --uid 2001 one 2>&1 | grep -v -i -E 'perl|locale'
adduser --quiet --disabled-password --gecos '' --uid 2002 --shell /bin/sh two 2>&1 | grep -v -i -E 'perl|locale'
addgroup --quiet --gid 3001 both && adduser --quiet one both && adduser --quiet two both
getent passwd one two | cut -d: -f1,3,4,6,7 && getent group both
ls -ldn /home/one | cut -d' ' -f1,3,4 && su - one -c 'id; pwd; umask; echo $HOME $USER $LOGNAME; ls -A ~ | sort'
echo 'one:secret' | chpasswd && passwd -S one | cut -d' ' -f1,2 && getent shadow one | cut -d'$' -f2
usermod -l first -d /home/first -m -c changed one && id first && ls -d /home/*
usermod -aG sudo first 2>&1; id -Gn first | tr ' ' '\n' | sort | tr '\n' ' '; echo
su first -s /bin/bash -c 'echo mine > /home/first/file; chmod 640 /home/first/file; chgrp both /home/first/file; stat -c "%U %G %a" /home/first/file'
su two -c 'cat /home/first/file' ; chmod 755 /home/first; su two -c 'cat /home/first/file; echo no > /home/first/file'
su two -c 'passwd -S first' 2>&1 | sed 's/:.*//'; su two -c 'cat /etc/shadow' 2>&1 | tail -n 1
su two -c 'su - first -c id < /dev/null' 2>&1 | tail -n 1
passwd -l first > /dev/null 2>&1 && passwd -S first | cut -d' ' -f1,2 && passwd -u first > /dev/null 2>&1 && passwd -S first | cut -d' ' -f1,2
chage -M 30 -W 5 first && chage -l first | sed -n 's/^M.*: *//p'
gpasswd -d first both > /dev/null && getent group both

# cron: each minute, as a user
echo '* * * * * echo "$(id -un) $HOME" > /tmp/by-cron' | crontab -u two - && crontab -u two -l
rm -f /tmp/by-cron
cron && for _ in $(seq 1 1000); do [ -s /tmp/by-cron ] && break; read -rt 0.1 < <(sleep 5); done
cat /tmp/by-cron && stat -c %U /tmp/by-cron
killall cron && crontab -u two -r; crontab -u two -l 2>&1

deluser --quiet --remove-home two 2>&1 | grep -v -i -E 'perl|locale|Looking'
userdel -r first 2> /dev/null; delgroup --quiet both
getent passwd first two; getent group both; ls /home
pwck -r | grep -c two; grpck -r; rm -f /tmp/by-cron
