# Runs tests of strace's own suite, whose names it reads, and prints a verdict for each, in the words of automake.
. "${BASH_SOURCE%/*}/judging.bash"
export LC_ALL=C
# strace's own limit (in seconds, a hundred if nothing is said), and the one for what hangs where no signal of that comes.
export TIMEOUT_DURATION=400
limit=450

# Runs the test $1 as make would.
attempt() {
    (cd /strace/build/tests && exec timeout --kill-after=5 $limit "$srcdir/run.sh" "$srcdir/$1.test") \
        < /dev/null > "$results/$1.out" 2>&1
    judge "$1" $? SKIP
}

verdicts() {
    local -a names
    . /strace/environment
    export srcdir=../../source/tests MIPS_ABI=
    mapfile -t names
    judge_all "${names[@]}"
}
