#!/bin/bash
# rootfs: debian
# System V shared memory with util-linux's ipcmk, ipcs and ipcrm.
id_of() { mawk '{ print $NF }'; }
columns() { mawk 'NF { print $4, $5, $6, $7 }' | tail -n +3; } # without key, id and owner
ipcs -m | columns; echo "none yet"
first=$(ipcmk -M 1000 -p 0640 | id_of); second=$(ipcmk -M 100000 -p 0600 | id_of)
[ "$first" != "$second" ] && echo "two ids"
ipcs -m | head -n 3
ipcs -m | columns
ipcs -m -i "$first" | grep -E '^(uid|mode|bytes)' | sed 's/lpid.*//; s/cpid.*//'
ipcs -m -c | tail -n +4 | mawk 'NF { print $2, $3, $4, $5, $6 }'
ipcs -m -p | tail -n +4 | mawk 'NF { print $2, $4 }'
ipcs -m -l | grep -v -e '^$' -e 'total shared' # the total depends on the page's size
ipcs -m -u | sed -n 2,3p
mawk 'NR > 1 { print $3, $4, $7, $8, $11 }' /proc/sysvipc/shm
ipcrm -m "$first" && echo removed; ipcrm -m "$first" || echo "exit $?"
key=$(ipcs -m | mawk '$5 == 100000 { print $1 }')
ipcrm -M "$key" && echo "removed by key"
ipcs -m | columns; ipcmk -M 5 > /dev/null; ipcrm --all=shm && ipcs -m | columns; echo "none left"
ipcmk -M 0 2>&1 | sed 's/.*: //'
