# What differs from run to run is given a name that does not. Sourced by the tests.
debuggees=/usr/local/lib/debuggees

# Numbers of processes are to look like nothing else: in a guest that has just started they are not even two digits long.
until (exit $((BASHPID < 1000))); do :; done

# Addresses, and bytes that are random; when a machine has just started they may not be there yet.
addresses() {
    sed -E -e '/getrandom\(/s/"[^"]*"/RANDOM/' -e 's/0x[0-9a-f]{5,}/ADDRESS/g' -e 's/^(set_tid_address\(.*= )[0-9]+/\1ID/' \
        -e 's/^getrandom\(ADDRESS, ([0-9]+), GRND_NONBLOCK\) += -1 EAGAIN.*/getrandom(RANDOM, \1, GRND_NONBLOCK) = \1/' \
        -e 's/"\\177ELF[^,]*/"ELF.../' -e 's/pipe:\[[0-9]+\]/pipe:[N]/g' -e 's/ +=/ =/'
}

# Numbers of processes, in the order in which they first appear as arguments.
numbers() {
    local -a words=(-e '')
    local id n=0
    for id in $(printf '%s\n' "$@" | sort -n); do
        n=$((n + 1))
        words+=(-e "s/\\b$id\\b/P$n/g")
    done
    sed -E "${words[@]}"
}

# Until each thread of a process sleeps, and there are so many of them. 1 when the process has ended instead.
until_asleep() {
    local state
    while :; do
        state=$(cat "/proc/$1"/task/*/stat 2> /dev/null | sed -E 's/^.*\) (.).*/\1/' | sort -u)
        [ "$state" = S ] && [ "$(ls "/proc/$1/task" | wc -l)" = "$2" ] && return
        [ "$state" = Z ] || [ -z "$state" ] && return 1
    done
}

# gdb, with the commands given; what it says goes through debugger_output.
debugger() {
    gdb -batch -nx -ex 'set auto-load safe-path /' -ex 'set width 0' -ex 'set startup-with-shell off' -ex 'set confirm off' "$@" 2>&1 | debugger_output
}

# Addresses, numbers of processes and threads, and what it says of its own libraries.
debugger_output() {
    sed -E -e '/libthread_db/d' -e 's/0x[0-9a-f]{4,}/ADDRESS/g' -e 's/\b(LWP|process) [0-9]+/\1 N/g' -e 's/ \(core dumped\)//' \
        -e 's/threadid=[0-9]+/threadid=ID/g'
}

# The same, of a program whose own output comes behind all that gdb says: which of the two writes first is nobody's promise.
debugger_apart() {
    : > said
    debugger -ex 'tty said' "$@"
    echo "-- the program:"
    cat said
}
