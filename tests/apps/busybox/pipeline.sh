#!/bin/sh
# rootfs: busybox
# Pipelines, here-documents, substitutions and exit statuses in BusyBox's shell.
cat <<EOF | tr a-z A-Z | sort -r | head -n 2
one
two
three
EOF
seq 1 1000 | grep 7 | sed 's/7/x/' | sort | uniq -c | awk '{ n += $1 } END { print n }'
echo "$(printf '%s-' a b c)" $((6 * 7))
false || echo "status $?"
sh -c 'exit 5'
echo $?
sh -c 'kill -TERM $$'
echo $?
exit 3
