#!/bin/sh
# rootfs: busybox
# What BusyBox's shell itself needs of a kernel: jobs, traps, redirections, here-documents, pipelines, wait.
cd "$(mktemp -d)" || exit 1
echo "ten in a row" | cat | tr a-z A-Z | rev | rev | sed 's/ /_/g' | cut -c1-20 | tee copy | cat | sort
cat <<A <<-B
first
A
	second
B
x=7; cat <<E1
$x $((x * 6)) $(echo nested $(echo deeper)) \$x
E1
cat <<'E2'
$x literal
E2
exec 5> five; echo to five >&5; exec 5>&-; cat five
{ echo out; echo err >&2; } 2>&1 | sort
{ echo out; echo err >&2; } 2> /dev/null
(cd / && pwd); pwd | grep -c tmp
(exit 3) || echo "subshell $?"
false | true; echo "pipe $?"
set -o pipefail; false | true; echo "pipefail $?"; set +o pipefail
sleep 0.3 & sleep 0.1 & wait; echo "all done $?"
sh -c 'exit 9' & wait $!; echo "waited $?"
# All of `read` comes before the first trap: in BusyBox 1.38 it never returns once a trapped signal has come.
i=0; while read -r line; do i=$((i + 1)); done <<E3
a
b
c
E3
echo $i
printf 'one\ntwo\n' | while read -r w; do echo "<$w>"; done
trap 'echo trapped USR1' USR1; kill -USR1 $$; sh -c "kill -USR1 $$"; :
trap 'echo at exit' EXIT
(trap 'echo inner; exit 4' TERM; kill -TERM $(sh -c 'echo $PPID'); sleep 1); echo "sub $?"
sh -c 'kill -SEGV $$' 2> /dev/null; echo "segv $?"
yes | head -n 2; echo "yes $?"
for f in /proc/1/comm /dev/null /nonexistent; do [ -e "$f" ] && echo "$f is there"; done
case "$(uname)" in Linux) echo linux ;; *) echo other ;; esac
f() { local y=2; echo "f $# $1 $y"; return 6; }; f 'a b' c; echo "returned $?"
echo "$(printf 'no newline')|"
n=0; until [ $n -ge 3 ]; do n=$((n + 1)); done; echo $n
set -- x 'y z'; for a; do echo "[$a]"; done; shift; echo $#
echo *.none; touch b1 b2; echo b?
[ -t 0 ] || echo "no terminal"
exec 3<> rw; echo written >&3; cat rw
ulimit -f 2 2> /dev/null; (trap '' XFSZ; head -c 9999 /dev/zero > big; echo $?; stat -c %s big)
nosuchcommand 2> /dev/null; echo "missing $?"
./rw 2> /dev/null; echo "not executable $?"
printf '#!/nonexistent/interpreter\n' > bad; chmod +x bad; ./bad 2> /dev/null; echo "bad interpreter $?"
printf '#!/bin/echo from the\necho unused\n' > script; chmod +x script; ./script argument
exit 7
