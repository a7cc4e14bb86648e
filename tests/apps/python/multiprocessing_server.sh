#!/bin/bash
# rootfs: python
# with: verdicts.py
# long
# timeout: 7000
# CPython's own tests of processes that are started by a server which forks, their queues, locks, pools, managers and shared memory,
# and of the main modules that such children import anew: a verdict for each. Left out is what needs sockets of the Internet, which
# the guest has no network for.
python3 /.linnet/t/verdicts.py --without Listener --without PicklingConnections --without wait_socket --without RemoteManager \
    --without ManagerRestart --without TestTimeouts --without TestCloseFds \
    test_multiprocessing_forkserver test_multiprocessing_main_handling
