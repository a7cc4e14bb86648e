#!/bin/bash
# Programs that draw on terminals: vim, nano, less, a shell and stty in tmux, whose screens are told; screen; script.
# rootfs: workshop
# long
# timeout: 300
export LC_ALL=C HOME=/tmp/terminals TERM=screen SHELL=/bin/bash
rm -rf $HOME && mkdir -p $HOME && cd $HOME || exit 1
echo "PS1='$ '; unset HISTFILE" > .bashrc
T="tmux -L test"

# Waits until the screen has a line that matches.
shows() {
    for _ in $(seq 1 600); do
        $T capture-pane -p -t "$2" | grep -q -- "$1" && return
        read -rt 0.1 < <(sleep 5)
    done
    echo "never shown: $1"
    $T capture-pane -p -t "$2"
}
screen_of() { $T capture-pane -p -t "$1" | sed -e 's/ *$//' -e '/^$/d'; }

$T -f /dev/null new-session -d -x 80 -y 24 -s one 'bash --norc --noprofile -c "PS1=\"$ \" exec bash --norc --noprofile -i"'
$T list-sessions -F '#{session_name} #{window_width}x#{window_height}'
$T send-keys -t one 'stty size; tput cols' Enter && shows '^80$' one && screen_of one | tail -n 3
$T send-keys -t one 'clear; echo be""gun; sleep 1000' Enter && shows begun one && $T send-keys -t one C-z && shows Stopped one
$T send-keys -t one 'jobs; kill %1; wait; clear; echo do""ne' Enter && shows '^done' one
$T resize-window -t one -x 60 -y 20 && $T send-keys -t one 'clear; stty size' Enter && shows '^20 60' one
$T send-keys -t one 'clear; stty -a | grep -o "[a-z]* = ^[CDZ]" | sort; echo end' Enter && shows '^end' one && screen_of one | head -n 5

# vim, by keys and by commands
seq 1 100 > numbers
$T send-keys -t one 'clear; vim -u NONE -N numbers' Enter && shows '^1$' one
$T send-keys -t one '50G' && shows '^50$' one && $T send-keys -t one 'Oinserted' Escape ':%s/7$/seven/' Enter 'G' && shows '^100' one
$T send-keys -t one ':wq' Enter && shows '^\$ *$' one && sha1sum numbers && grep -n -E 'inserted|97|9seven' numbers
vim -u NONE -N -es -c 'g/seven/d' -c 'sort! n' -c 'wq' numbers && head -n 3 numbers && wc -l < numbers

# nano
$T send-keys -t one 'clear; nano -I -t note' Enter && shows 'Exit' one
$T send-keys -t one 'a line of a note' Enter 'another' C-x && shows '^\$ *$' one && cat note; echo

# less
seq 1 1000 > long
$T send-keys -t one 'clear; less long' Enter && shows '^1$' one && $T send-keys -t one G && shows '^1000$' one
$T send-keys -t one '/^500' Enter '?^50$' Enter && shows '^50$' one && screen_of one | head -n 2
$T send-keys -t one q && shows '^\$' one

# Two windows of one session, split
$T split-window -t one -h 'echo other half; exec cat' && shows 'other half' one.1
$T send-keys -t one.1 'typed' Enter && shows typed one.1 && $T list-panes -t one | wc -l
$T kill-pane -t one.1 && $T list-panes -t one | wc -l
$T send-keys -t one 'exit' Enter
for _ in $(seq 1 100); do $T has-session -t one 2> /dev/null || break; read -rt 0.1 < <(sleep 5); done
$T has-session -t one 2>&1 | sed 's/ .*//'

# screen: a session that goes on detached
mkdir -p -m 700 sockets && export SCREENDIR=$PWD/sockets
screen -d -m -S s -s /bin/sh sh -c 'echo started > in-screen; cat > typed'
for _ in $(seq 1 300); do [ -s in-screen ] && break; read -rt 0.1 < <(sleep 5); done
screen -ls | grep -c '\.s'
screen -S s -X stuff $'some text\n'
for _ in $(seq 1 300); do [ -s typed ] && break; read -rt 0.1 < <(sleep 5); done
cat in-screen typed && screen -S s -X quit
for _ in $(seq 1 300); do screen -ls | grep -q '\.s' || break; read -rt 0.1 < <(sleep 5); done
screen -ls | grep -c '\.s'

# script
script -q -e -c 'tty > /dev/null && echo on a terminal; stty size < /dev/tty > /dev/null && echo has one; exit 3' typescript < /dev/null | tr -d '\r'
echo "status ${PIPESTATUS[0]}"
cd / && rm -rf /tmp/terminals
