# Runs tests of strace's own suite, whose names it reads, and prints a verdict for each, in the words of automake: PASS, FAIL or
# SKIP. As many run at once as there are processors; what fails then runs once more, alone, and that counts. What a test had to say
# that failed goes to standard error.
export LC_ALL=C
# strace's own limit (in seconds, a hundred if nothing is said), and the one for what hangs where no signal of that comes.
export TIMEOUT_DURATION=400
limit=450

# Runs the test $1 as make would.
attempt() {
    local verdict status
    (cd /strace/build/tests && exec timeout --kill-after=5 $limit "$srcdir/run.sh" "$srcdir/$1.test") \
        < /dev/null > "$results/$1.out" 2>&1
    status=$?
    case $status in
    0) verdict=PASS ;;
    77) verdict=SKIP ;;
    *) verdict=FAIL ;;
    esac
    echo $verdict > "$results/$1.verdict"
    [ $verdict = FAIL ] && { echo "--- $1: status $status"; tail -n 25 "$results/$1.out"; } >&2
}

verdicts() {
    local name verdict passed=0
    local -a names
    . /strace/environment
    export srcdir=../../source/tests MIPS_ABI=
    mapfile -t names
    results=$(mktemp -d)
    for name in "${names[@]}"; do
        while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
        attempt "$name" &
    done
    wait
    for name in "${names[@]}"; do
        verdict=$(< "$results/$name.verdict")
        if [ "$verdict" = FAIL ]; then
            attempt "$name"
            verdict=$(< "$results/$name.verdict")
        fi
        [ "$verdict" = PASS ] && passed=$((passed + 1))
        echo "$verdict $name"
    done
    echo "$passed of ${#names[@]} passed"
    rm -r "$results"
}
