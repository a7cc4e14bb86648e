#!/bin/sh
# rootfs: busybox
# timeout: 120
# A fork bomb under RLIMIT_NPROC ends at the limit, and the shell goes on afterwards. Only for a guest: it refuses to run
# where it is not alone with PID 1.
[ -d /.linnet ] || exit 1
cat > /tmp/bomb <<'END'
ulimit -u 60
bomb() { bomb | bomb & }
bomb 2> /dev/null
sleep 2 # how long the bomb pushes against its limit; nothing is waited for
END
su -s /bin/sh nobody -c '. /tmp/bomb' 2> /dev/null
sleep 1 # and without its first shell
# Stopped, so that the list does not change while it is read.
su -s /bin/sh nobody -c 'kill -STOP -1' 2> /dev/null
n=$(ps -o user,pid | grep -c '^nobody'); [ "$n" -le 60 ] && echo bounded
su -s /bin/sh nobody -c 'kill -9 -1' 2> /dev/null
while ps -o user,pid | grep -q '^nobody'; do :; done
ps -o user,pid | grep -c '^nobody'
echo "still here: $(echo $((6 * 7)))"
rm /tmp/bomb
