#!/bin/bash
# rootfs: debian
# System V semaphores and message queues with util-linux's ipcmk, ipcs and ipcrm and with perl; POSIX queues as files.
id_of() { mawk '{ print $NF }'; }
columns() { mawk 'NF { print $4, $5, $6 }' | tail -n +3; } # without key, id and owner
ipcs -s | columns; ipcs -q | columns; echo "none yet"

set_id=$(ipcmk -S 5 -p 0640 | id_of); queue=$(ipcmk -Q -p 0600 | id_of)
ipcs -s | head -n 3; ipcs -s | columns
ipcs -q | head -n 3; ipcs -q | columns
ipcs -s -l | grep -v '^$'; ipcs -q -l | grep -v '^$'
ipcs -s -u | tail -n +2 | grep -v '^$'; ipcs -q -u | tail -n +2 | grep -v '^$'

perl -e '
    my ($set, $queue) = @ARGV;
    semop($set, pack("s!3", 2, 7, 0)) or die "semop: $!";
    semop($set, pack("s!6", 2, -3, 0, 4, 1, 0)) or die "semop: $!";
    print semop($set, pack("s!3", 0, -1, 04000)) ? "went on\n" : "$!\n";
    if (fork() == 0) { semop($set, pack("s!3", 2, -4, 010000)) or die "semop: $!"; exit 0 }
    wait; # it took all, with SEM_UNDO
    print "semaphores: ", join(" ", map { int(semctl($set, $_, 12, 0)) } 0 .. 4), "\n";
    for my $type (3, 1, 2) { msgsnd($queue, pack("l! a*", $type, "type $type"), 0) or die "msgsnd: $!" }
    print "status: $?\n";
' "$set_id" "$queue"
ipcs -s -i "$set_id" | mawk '/^semnum/ { on = 1; next } on && NF { print $1, $2, $3, $4 }'
ipcs -q | columns
mawk 'NR > 1 { print $3, $4, $5 }' /proc/sysvipc/msg; mawk 'NR > 1 { print $3, $4 }' /proc/sysvipc/sem
perl -e '
    my $queue = shift;
    for my $wanted (-2, 3, 0) {
        msgrcv($queue, my $text, 100, $wanted, 0) or die "msgrcv: $!";
        my ($type, $bytes) = unpack("l! a*", $text);
        print "$wanted: $type, $bytes\n";
    }
    print msgrcv($queue, my $text, 100, 0, 04000) ? "one more\n" : "$!\n";
' "$queue"
perl -e 'msgrcv($ARGV[0], my $text, 100, 0, 0); print "$!\n"' "$queue" > /tmp/waiter & # until the queue goes
until ps -o stat= -p $! | grep -q '^S'; do :; done
ipcrm -q "$queue" && echo "queue removed"; wait; cat /tmp/waiter
ipcrm -s "$set_id" && echo "set removed"; ipcrm -s "$set_id" || echo "exit $?"
ipcmk -S 3 > /dev/null; ipcmk -Q > /dev/null; ipcrm --all=sem --all=msg; ipcs -s | columns; ipcs -q | columns; echo "none left"

mkdir -p /dev/mqueue; mountpoint -q /dev/mqueue || mount -t mqueue none /dev/mqueue
(umask 027; : > /dev/mqueue/one); : > /dev/mqueue/two
ls /dev/mqueue; stat -c '%A %s %F' /dev/mqueue/one /dev/mqueue; stat -f -c %T /dev/mqueue
cat /dev/mqueue/one | sed 's/ *$//'
mkdir /dev/mqueue/folder 2>&1 | sed 's/.*: //'; rm /dev/mqueue/one; ls /dev/mqueue; rm /dev/mqueue/*; ls /dev/mqueue
cat /proc/sys/kernel/{sem,msgmax,msgmnb,msgmni} /proc/sys/fs/mqueue/*; grep mqueue /proc/filesystems
