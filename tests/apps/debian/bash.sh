#!/bin/bash
# rootfs: debian
# bash and dash as programs: arrays, process substitution, coprocesses, job control in a script, traps, signals.
declare -A map=([one]=1 [two]=2); for k in "${!map[@]}"; do echo "$k=${map[$k]}"; done | sort
list=(a 'b c' d); echo "${#list[@]} ${list[1]} ${list[@]: -1}"; printf '<%s>' "${list[@]/b/B}"; echo
[[ linnet =~ ^l(i.)n ]] && echo "${BASH_REMATCH[1]}"
coproc CAT { cat; }; echo "to the coprocess" >&"${CAT[1]}"; read -r answer <&"${CAT[0]}"; echo "$answer"; exec {CAT[1]}>&-; wait "$CAT_PID"; echo "cat $?"
while read -r n; do ((sum += n)); done < <(seq 10); echo $sum
set -m; sleep 30 & jobs; kill %1; wait %1; echo "job $?"; set +m
trap 'echo "child ended"' CHLD; (exit 0); trap - CHLD
trap 'echo "got INT"; exit 5' INT; kill -INT $$ & wait $!; sleep 10 # the trap runs before, in or after wait
echo unreachable
