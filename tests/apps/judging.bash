# Runs many tests of somebody else's and judges each: PASS, FAIL, or a third word for what can't run here (automake's SKIP, glibc's
# UNSUPPORTED). Who reads this in has a function `attempt` that runs the test $1 and ends with `judge`.

# Writes the verdict of the test $1, which ended with status $2 and whose output is in $results/$1.out; $3 is the third word. What a
# test had to say that failed goes to standard error.
judge() {
    local verdict
    case $2 in
    0) verdict=PASS ;;
    77) verdict=$3 ;;
    *) verdict=FAIL ;;
    esac
    echo $verdict > "$results/$1.verdict"
    [ $verdict = FAIL ] && { echo "--- $1: status $2"; tail -n 25 "$results/$1.out"; } >&2
}

# Attempts all the tests named, as many at once as there are processors; what fails then runs once more, alone, and that counts.
# Prints a verdict for each. `results`, a new folder, has folders of the tests' names.
judge_all() {
    local name verdict passed=0
    results=$(mktemp -d)
    for name; do
        mkdir -p "$(dirname "$results/$name")"
        while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
        attempt "$name" &
    done
    wait
    for name; do
        verdict=$(< "$results/$name.verdict")
        if [ "$verdict" = FAIL ]; then
            attempt "$name"
            verdict=$(< "$results/$name.verdict")
        fi
        [ "$verdict" = PASS ] && passed=$((passed + 1))
        echo "$verdict $name"
    done
    echo "$passed of $# passed"
    rm -r "$results"
}
