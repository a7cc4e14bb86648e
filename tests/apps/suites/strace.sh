#!/bin/bash
# rootfs: suites
# mem: 2G
# with: verdicts.bash ../judging.bash
# arch: x86_64
# long
# timeout: 7200
# strace's own tests of tracing itself (attaching, detaching, following, injecting, signals), and those of the calls that make
# processes, wait for them, send signals and trace: a verdict for each.
. "${0%/*}/verdicts.bash"
calls='^(ptrace|wait|clone_|clone3\.|execve|fork|vfork|t?g?kill|rt_t?g?sig|sig|restart|exit|group|pidfd|process_vm|alarm|pause\.'
calls+='|nanosleep|erestart|status|threads|follow|maybe|interrupt|filter_seccomp'
calls+='|prctl-(name|dumpable|pdeath|no-args|tid|seccomp|set-ptracer-success\.))'
# Other ways to print the same, and what does not need a kernel; namespaces, security modules, seccomp and sockets of the Internet,
# which Linnet has not; what is right only if nobody else has anything to do; what has ten thousand children killed until a race is
# met, or runs strace some hundred times.
others='-X(abbrev|raw|verbose)|-yy?(\.gen)?$|-q+\.gen|-(umovestr|umoven)-|syntax|tips|pidns|secontext|netlink'
others+='|^(filter_seccomp(-perf|\.gen)|legacy_syscall_info|(prctl-seccomp-filter-v|group_req)\.gen|count|delay|looping_threads'
others+='|localtime|status-detached|kill_child|qual_(fault(-syscall)?|signal|syscall)|strace-([CSrT]|t*)(_upper)?)$'
{
    cat /strace/misc
    grep -h -E "$calls" /strace/decoder /strace/generated
} | grep -v -E -e "$others" | sort -u | verdicts
