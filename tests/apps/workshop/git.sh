#!/bin/bash
# git on a disk: commits, branches, merges, conflicts, rebases, packing, clones, and what it says of its own files afterwards.
# rootfs: workshop
# long
# timeout: 600
export HOME=/tmp/git-home GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org
export GIT_AUTHOR_DATE="1700000000 +0000" GIT_COMMITTER_DATE="1700000000 +0000" GIT_PAGER=cat GIT_MERGE_AUTOEDIT=no LC_ALL=C
rm -rf /tmp/git-home && mkdir -p /tmp/git-home && cd /tmp/git-home || exit 1
git config --global init.defaultBranch main
git config --global advice.detachedHead false
git init -q tree && cd tree || exit 1

for i in $(seq 1 300); do mkdir -p "d$((i % 17))" && seq "$i" $((i + 200)) > "d$((i % 17))/f$i"; done
ln -s d1/f1 link
printf '#!/bin/sh\necho run\n' > run && chmod +x run
git add . && git commit -qm "three hundred" && git log --format='%H %s'
for i in $(seq 1 40); do
    echo "line $i" >> "d$((i % 17))/f$i"
    git commit -qam "change $i"
done
git log --format=%H | sha1sum
git status --short | wc -l

git checkout -qb side HEAD~20
sed -i 's/^line/LINE/' d5/f5
echo more > new && git add new && git commit -qam "on the side"
git merge -q main && git log -1 --format='%H %p' && git diff --stat main | tail -1
echo other > d1/f1 && git commit -qam "other here"
git checkout -q main && echo another > d1/f1 && git commit -qam "another there"
git merge side > /dev/null 2>&1; echo "merge $?"; git status --short | grep -v '^ *[AM] '
git checkout -q --theirs d1/f1 && git commit -qam resolved && git log -1 --format='%H %p'
git checkout -q side && git rebase -q main && git log -1 --format=%H

git stash list | wc -l; echo dirty >> run; git stash -q && git status --short | wc -l; git stash pop -q && git diff --numstat
git checkout -q run
git tag -am "a tag" v1 && git describe
git mv d2 moved && git commit -qam moved && git show --stat=60 -M --format=%H HEAD | tail -1
git grep -c '^200$' -- moved | head -3
git bisect start -q HEAD HEAD~30 > /dev/null && git bisect run sh -c 'test ! -e new' | grep -c 'first bad commit'
git bisect reset -q

git gc -q --aggressive --prune=now && git count-objects -v | grep -E '^(count|packs|garbage)'
git fsck --full --strict --no-progress && git rev-parse HEAD
cd .. && git clone -q tree local && git clone -q --no-local tree copied && git clone -q --depth 3 "file://$PWD/tree" shallow
for clone in local copied shallow; do
    git -C $clone fsck --no-progress && git -C $clone rev-parse HEAD && git -C $clone rev-list --count HEAD
    diff -r --exclude=.git tree $clone && echo "no difference"
done
git clone -q --bare tree bare.git && cd copied && git checkout -qb pushed && echo p > p && git add p && git commit -qm p &&
    git push -q "$PWD/../bare.git" pushed 2>&1 && git -C ../bare.git log -1 --format=%H pushed
git worktree add -q ../second HEAD~1 && git worktree list | wc -l
git -C ../bare.git archive --format=tar HEAD | tar t | wc -l

# Four at a time into one repository: each commit is there, or was refused by the lock.
cd .. && git init -q shared && cd shared && git commit -q --allow-empty -m first
for writer in 1 2 3 4; do
    (for i in $(seq 1 10); do
        until git commit -q --allow-empty -m "$writer.$i" 2> /dev/null; do :; done
    done) &
done
wait
git log --format=%s | sort | sha1sum
git fsck --no-progress --no-dangling
rm -rf /tmp/git-home
