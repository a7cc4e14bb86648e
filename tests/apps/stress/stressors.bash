# Runs stress-ng's stressors named by the arguments, four of each at once for LINNET_SECONDS each, and prints what each one says:
# its status, "skipped" where it finds that it cannot run here, "unknown" where this stress-ng has no such stressor.
# options[NAME] are more options for one of them; what one has to say that fails goes to standard error.
seconds=${LINNET_SECONDS:-60}
declare -A options=()
known=$(stress-ng --help)
as=() # a command to run them by, if any

stressors() {
    local name status
    for name; do
        case "$known" in
        *" --$name N "*) ;;
        *) echo "$name unknown"; continue ;;
        esac
        # shellcheck disable=SC2086 # options are words
        "${as[@]}" stress-ng --"$name" 4 ${options[$name]} --timeout "$seconds" --verify --temp-path /tmp > /tmp/stress.txt 2>&1
        status=$?
        case "$(< /tmp/stress.txt)" in
        *skipping\ stressor*) echo "$name skipped" ;;
        *) echo "$name $status" ;;
        esac
        ((status == 0)) || cat /tmp/stress.txt >&2
        rm -f /tmp/stress.txt
    done
}
