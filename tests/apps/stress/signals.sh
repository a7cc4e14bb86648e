#!/bin/bash
# rootfs: stress
# with: stressors.bash
# long
# timeout: 3000
# Debian's stress-ng with its stressors of signals and what comes with them.
. /.linnet/t/stressors.bash
stressors signal signest sigfd sigpending sigq sigrt sigsegv sigbus sigsuspend sigtrap sigchld sigabrt sigfpe sigio sigpipe \
    sigxcpu sigxfsz kill ptrace itimer prctl bad-altstack env
