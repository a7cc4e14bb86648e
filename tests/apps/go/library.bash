# Runs the tests of one package of Go's standard library and prints a verdict for each, sorted by name. Their output goes to
# standard error when one of them fails. Sourced with the package's name and a pattern of tests to leave out.
# "-test.run ." keeps the tests of os/exec from complaining of helpers that only a test left out would have used.
# SKIP is what Go itself says of a test, on Linux too: of those for other systems, or for what isn't there, as `go build`.
# GO_GCFLAGS makes the tests leave out what needs `go build`, which takes minutes in an emulated guest.
export GOROOT=/usr/lib/go-1.24 HOME=/root PATH=$PATH:/usr/lib/go-1.24/bin GO_GCFLAGS=none
library() {
    local package=$1 left_out=${2:-^$} out=/tmp/go-tests.txt status
    cd "$GOROOT/src/$package" || exit 1
    "/usr/local/lib/go-tests/${package//\//_}.test" -test.run . -test.short -test.v -test.timeout 1500s -test.skip "$left_out" \
        > $out 2>&1
    status=$?
    grep -E '^--- (PASS|FAIL|SKIP): ' $out | sed -E 's/^--- ([A-Z]+): ([^ ]+) .*/\2 \1/' | LC_ALL=C sort
    echo "$package: status $status"
    [ $status = 0 ] || grep -vE '^ *(=== |--- (PASS|SKIP))' $out | tail -c 6000 >&2
    rm -f $out
}
