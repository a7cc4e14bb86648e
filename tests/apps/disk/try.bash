# Runs a command and prints it with its status and the last thing it says, which is the errno's text.
try() {
    local said status
    said=$("$@" 2>&1)
    status=$?
    echo "$*: $status ${said##*: }"
}
