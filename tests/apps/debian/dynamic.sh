#!/bin/bash
# rootfs: debian
# Debian's own dynamically linked programs, one of each kind.
set -o pipefail
for word in gamma alpha beta; do echo "$word"; done | sort | tr '\n' ' '; echo
printf '%s\n' a=1 b=2 | sed 's/=/ /' | mawk '{ s += $2 } END { print s }'
perl -e 'print join(",", map { $_ * $_ } 1 .. 5), "\n"'
python3 -c 'import sys; print(sum(range(100)), sys.byteorder)'
echo '{"b": [1, 2], "a": null}' | python3 -m json.tool --sort-keys
cd "$(mktemp -d)" || exit 1
mkdir -p x/y && echo data > x/y/f && tar czf t.tgz x && rm -r x && tar xzf t.tgz && find x -type f -exec grep -c data {} +
diff <(seq 3) <(seq 4)
echo "${PIPESTATUS[0]} $?"
exit 9
