#!/bin/bash
# rootfs: python
# with: verdicts.py
# long
# timeout: 3000
# CPython's own tests of threads, their locks, queues and signals: a verdict for each.
python3 /.linnet/t/verdicts.py test_threading test_threading_local test_threadsignals test_queue
