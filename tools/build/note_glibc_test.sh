#!/bin/bash
# glibc's make runs its tests through this: what it would have run is noted, and nothing is run.
#
# Standard output is the file that make keeps a test's output in, so its name is the test's. Each test becomes a line of the file
# $LINNET_NOTED_TESTS: its name and its command, quoted for a shell, with @ for the folder of the build, $LINNET_NOTED_BUILD.
output=$(readlink "/proc/$$/fd/1")
name=${output#"$LINNET_NOTED_BUILD"/}
printf -v command '%q ' "$@"
command=${command//"$LINNET_NOTED_BUILD"/@}
case $name in
/*) ;;
# One call, so that the lines of tests that are noted at the same time stay whole.
*.out) [[ $command == *"@/${name%.out} "* ]] && echo "${name%.out} $command" >> "$LINNET_NOTED_TESTS" ;;
esac
exit 77 # what glibc's make calls unsupported
