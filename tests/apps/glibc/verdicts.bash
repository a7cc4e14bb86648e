# Runs those of glibc's own tests whose names begin with $1 and prints a verdict for each, in the words of glibc's make. Several run
# at once, for most of them sleep. The names begin with the folder of glibc's sources.
. "${BASH_SOURCE%/*}/judging.bash"

# glibc's way to allow a slow machine more time; the outer limit is for tests that hang where no signal of theirs comes.
export TIMEOUTFACTOR=3
limit=150

# So many rounds that they take a processor that is emulated longer than all others together: a hundred thousand threads and more.
# The last three did not end within the limits on Linux, on a host that had other things to do.
too_long=" nptl/tst-create-detached nptl/tst-pthread-timedlock-lockloop nptl/tst-robust-fork nptl/tst-stack4
    nptl/tst-pthread-setuid-loop "
# Need what is not in the guest: a container's tools, a debugger; the others do not pass on Linux there either.
not_here=" nptl/tst-pthread-getattr nptl/tst-pthread-gdb-attach nptl/tst-pthread-gdb-attach-static
    nptl/tst-cancel4 nptl/tst-cancelx4 nptl/tst-cancel5 nptl/tst-cancelx5 "

declare -A commands # by the test's name

# Runs the test $1.
attempt() {
    local command=${commands[$1]}
    # A million rounds are too many for this one, too, but it can be asked for fewer.
    [ "$1" = nptl/tst-mutex10 ] && command+=" --iterations 10000"
    (cd "/glibc/${1%/*}" && eval "exec timeout --kill-after=5 $limit $command") < /dev/null > "$results/$1.out" 2>&1
    judge "$1" $? UNSUPPORTED
}

verdicts() {
    local left_out
    left_out=" $(echo $too_long $not_here) " # with one blank between two
    local name command
    local -a names
    while read -r name command; do
        [[ $name == $1* && $left_out != *" $name "* ]] && names+=("$name") commands[$name]=$command
    done < /glibc/tests
    judge_all "${names[@]}"
}
