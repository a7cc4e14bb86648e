# Runs those of glibc's own tests whose names begin with $1 and prints a verdict for each, in the words of glibc's make: PASS, FAIL
# or UNSUPPORTED. Several run at once, as many as there are processors, since most of them sleep; what fails then runs once more,
# alone, and that counts. What a test had to say that failed goes to standard error. The names begin with the folder of glibc's
# sources.

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

# Runs the command in $2 of the test $1, with its output in $1.out and its verdict in $1.verdict.
attempt() {
    local verdict status
    # A million rounds are too many for this one, too, but it can be asked for fewer.
    [ "$1" = nptl/tst-mutex10 ] && set -- "$1" "$2 --iterations 10000"
    (cd "/glibc/${1%/*}" && eval "exec timeout --kill-after=5 $limit $2") < /dev/null > "$results/$1.out" 2>&1
    status=$?
    case $status in
    0) verdict=PASS ;;
    77) verdict=UNSUPPORTED ;;
    *) verdict=FAIL ;;
    esac
    echo $verdict > "$results/$1.verdict"
    [ $verdict = FAIL ] && { echo "--- $1: status $status"; tail -n 20 "$results/$1.out"; } >&2
}

verdicts() {
    local left_out
    left_out=" $(echo $too_long $not_here) " # with one blank between two
    local name command verdict passed=0
    local -A commands
    local -a names
    while read -r name command; do
        [[ $name == $1* && $left_out != *" $name "* ]] && names+=("$name") commands[$name]=$command
    done < /glibc/tests
    results=$(mktemp -d)
    mkdir "$results/$1"
    for name in "${names[@]}"; do
        while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
        attempt "$name" "${commands[$name]}" &
    done
    wait
    for name in "${names[@]}"; do
        verdict=$(< "$results/$name.verdict")
        if [ "$verdict" = FAIL ]; then
            attempt "$name" "${commands[$name]}"
            verdict=$(< "$results/$name.verdict")
        fi
        [ "$verdict" = PASS ] && passed=$((passed + 1))
        echo "$verdict $name"
    done
    echo "$passed of ${#names[@]} passed"
    rm -r "$results"
}
