#!/bin/bash
# rootfs: python
# with: verdicts.py
# long
# timeout: 3000
# CPython's own tests of children: fork and exec, vfork, pipes, groups, sessions, signals: a verdict for each.
python3 /.linnet/t/verdicts.py test_subprocess
