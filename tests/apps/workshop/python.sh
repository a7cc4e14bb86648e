#!/bin/bash
# Python's own tests of the modules that wrap the system's calls about files, processes and terminals, on a disk.
# rootfs: workshop
# long
# timeout: 1800
export LC_ALL=C.UTF-8 HOME=/tmp
cd /tmp || exit 1
for module in test_os test_posix test_shutil test_tempfile test_subprocess test_mmap test_select test_selectors test_fcntl \
    test_pty test_posixpath test_pathlib test_glob test_fileio test_io test_file test_largefile test_pipes test_poll test_epoll \
    test_eintr test_popen test_dbm test_sqlite3 test_tarfile test_zipfile test_gzip test_lzma test_stat test_grp test_pwd \
    test_termios test_tty test_openpty test_openfile test_inotify; do
    python3 -c "import test.$module" 2> /dev/null || continue # not every version has each
    python3 -m test -q --timeout 600 "$module" > "log.$module" 2>&1
    echo "$module $?"
    grep -E '^(FAIL|ERROR):' "log.$module" | sort -u
done
rm -rf /tmp/log.*
