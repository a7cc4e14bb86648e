"""Boot itself: the command line's words, PID 1, machines, processors, memory, panic, power."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from linnet_tool import rootfs
from linnet_tool.testing.harness import BootTest

SHOW = b"""#!/bin/sh
mount -t proc proc /proc
echo "arguments:$(printf ' <%s>' "$@")"
echo "word=[$word] quiet=[$quiet] init_env=[$init_env]"
echo "pid $$"
poweroff -f
"""


class OwnInit(BootTest):
    """Without the agent, PID 1 is whom the command line names."""

    def root(self):
        """The busybox root with /init and /other on top, as a tar."""
        archive = rootfs.get("busybox", self.arch).archive
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        tree = Path(folder.name)
        subprocess.run(["cpio", "-id", "--quiet"], stdin=open(archive, "rb"), cwd=tree, check=True)
        for name in ("init", "other"):
            (tree / name).write_bytes(SHOW.replace(b"pid", name.encode() + b" is pid"))
            os.chmod(tree / name, 0o755)
        return tree

    def boot(self, append, name="init"):
        call = self.guest(options=("--rootfs", self.root(), "--append", append, "--timeout", "60"))
        self.assertEqual(call.status, 0, call.err)
        text = call.out.replace(b"\r", b"")
        self.assertIn(f"{name} is pid 1\n".encode(), text)
        return text

    def test_rdinit(self):
        self.boot("rdinit=/other", "other")

    def test_init_of_the_initramfs_comes_before_init_word(self):
        self.boot("init=/other", "init")

    def test_unknown_words_reach_init(self):
        text = self.boot("rdinit=/init word=value plain -- last one=two")
        self.assertIn(b"arguments: <plain> <last> <one=two>", text)
        self.assertIn(b"word=[value]", text)

    def test_known_words_do_not(self):
        text = self.boot("rdinit=/init quiet loglevel=3 ro rw maxcpus=1 panic=5")
        self.assertIn(b"arguments: <>\nword=[] quiet=[]", text)


class Ends(BootTest):
    def test_power_off(self):
        call = self.guest("poweroff", "-f", options=("--timeout", "60"))
        self.assertEqual(call.status, 0, call.err)

    def test_reboot(self):
        call = self.guest("reboot", "-f", options=("--timeout", "60"))
        self.assertEqual(call.status, 0, call.err)

    def test_panic_when_init_ends(self):
        call = self.guest(options=("--append", "rdinit=/bin/false", "--timeout", "60"))
        self.assertEqual(call.status, 125, call.err)
        self.assertIn(b"linnet: the kernel panicked:", call.err)
        self.assertIn(b"panic", call.err.split(b"panicked:")[1])

    def test_panic_on_request_has_a_backtrace(self):
        call = self.guest("sh", "-c", "echo c > /proc/sysrq-trigger", options=("--timeout", "60"))
        self.assertEqual(call.status, 125, call.err)
        self.assertIn(b"linnet: the kernel panicked:", call.err)
        # Names of functions, not bare addresses.
        self.assertRegex(call.err, rb"sysrq")

    def test_panic_when_memory_ends_and_that_is_wanted(self):
        eat = "echo 1 > /proc/sys/vm/panic_on_oom; yes 12345678901234567890123456789012345678901234567890 | sort"
        call = self.guest("sh", "-c", f"{eat} > /dev/null", options=("--mem", "256M", "--timeout", "180"))
        self.assertEqual(call.status, 125, call.err)
        self.assertIn(b"Kernel panic - not syncing: Out of memory: system-wide panic_on_oom is enabled", call.err)


class Shapes(BootTest):
    def test_processors(self):
        for count in (1, 2, 4):
            call = self.guest("nproc", smp=count)
            self.assertEqual(call.out, f"{count}\n".encode(), call.err)

    def test_maxcpus(self):
        self.assertEqual(self.guest("nproc", options=("--append", "maxcpus=1")).out, b"1\n")

    def test_little_memory(self):
        # Debian's own kernels do not fit into that little.
        memory = "64M" if self.kernel == "linnet" else "256M"
        call = self.guest("sh", "-c", "ls / | wc -l; free | grep -c Mem", options=("--mem", memory))
        self.assertEqual(call.status, 0, call.err)

    def test_mem_word(self):
        call = self.guest("grep", "MemTotal", "/proc/meminfo", options=("--append", "mem=256M"))
        self.assertLess(int(call.out.split()[1]), 256 * 1024)

    def test_log_file(self):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            call = self.guest("echo", "out", options=("--log", log))
            self.assertEqual((call.out, call.err), (b"out\n", b""))
            self.assertGreater(len(log.read_bytes()), 100)


class Machines(BootTest):
    MACHINES = {"x86_64": ("pc", "q35", "microvm"), "aarch64": ("virt,gic-version=2", "virt,gic-version=3"),
                "riscv64": ("virt",), "loongarch64": ("virt",)}

    def test_each_machine(self):
        for machine in self.MACHINES[self.arch.name]:
            with self.subTest(machine=machine):
                call = self.guest("sh", "-c", "echo $((6 * 7)) $(nproc)", options=("--machine", machine))
                self.assertEqual((call.status, call.out), (0, b"42 4\n"), call.err)


class Processors(BootTest):
    """Older and smaller processors than the one that QEMU can do its most with."""

    CPUS = {"x86_64": ("qemu64", "Nehalem", "Haswell-v4", "EPYC", "max,-pdpe1gb,-smap,-smep", "max,-xsave"),
            "aarch64": ("cortex-a53", "cortex-a72", "neoverse-n1", "max"),
            "riscv64": ("rv64", "rv64,v=true,vext_spec=v1.0", "rv64,svpbmt=true"),
            "loongarch64": ("la464", "max")}

    def test_each_processor(self):
        for cpu in self.CPUS[self.arch.name]:
            with self.subTest(cpu=cpu):
                guest = self.start_bare("quiet rdinit=/bin/busybox -- seq 1 3", ["-serial", "stdio"], cpu=cpu)
                out, _ = guest.communicate(timeout=60)
                self.assertIn(b"1\r\n2\r\n3\r\n", out)


class Roots(BootTest):
    def test_folder_and_tar_keep_everything(self):
        archive = rootfs.get("busybox", self.arch).archive
        with tempfile.TemporaryDirectory() as folder:
            tree = Path(folder) / "tree"
            tree.mkdir()
            subprocess.run(["cpio", "-id", "--quiet"], stdin=open(archive, "rb"), cwd=tree, check=True)
            (tree / "etc/odd name\n").write_bytes(b"odd\n")
            (tree / "etc/secret").write_bytes(b"s")
            os.chmod(tree / "etc/secret", 0o4751)
            os.link(tree / "etc/secret", tree / "etc/secret2")
            os.symlink("nowhere", tree / "etc/broken")
            os.mkfifo(tree / "etc/fifo")
            tar = Path(folder) / "tree.tar.gz"
            subprocess.run(["tar", "czf", tar, "-C", tree, "."], check=True)
            for root in (tree, tar):
                self.check(root)

    def check(self, root):
        script = ("cd /etc; stat -c '%a %h %u %s' secret secret2; readlink broken; stat -c %F fifo; cat odd*; "
                  "[ secret -ef secret2 ] && echo same")
        call = self.guest("sh", "-c", script, options=("--rootfs", root))
        self.assertEqual((call.status, call.out), (0, b"4751 2 0 1\n4751 2 0 1\nnowhere\nfifo\nodd\nsame\n"), call.err)


class Speed(BootTest):
    only_arches = ("x86_64",)
    only_kernels = ("linnet",)

    def test_second_start_is_quick(self):
        screen = self.terminal()
        screen.expect(rb"# ", 300)
        screen.type(b"exit\r")
        screen.leave()
        best = 1e9
        for _ in range(3):
            start = time.monotonic()
            screen = self.terminal()
            screen.expect(rb"# ", 60)
            best = min(best, time.monotonic() - start)
            screen.type(b"exit\r")
            screen.leave()
        # Two seconds on an idle machine; here another guest may be running beside this one.
        self.assertLess(best, 4.0)
