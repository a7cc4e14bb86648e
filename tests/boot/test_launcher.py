"""Bad input to the launcher: one clear line, a status, never a traceback. No guest is started here."""

import os
import shutil
import tempfile
from pathlib import Path

from linnet_tool.testing.harness import BootTest


class BadInput(BootTest):
    once = True

    def complain(self, *words, status=125):
        self.assert_complaint(self.launch(*words), status)

    def test_architecture(self):
        self.complain("run", "--arch", "vax")
        self.complain("build", "--arch", "vax", status=1)

    def test_options(self):
        self.complain("run", "--nonsense")
        self.complain("run", "--smp", "0")
        self.complain("run", "--smp", "many")
        self.complain("run", "--mem", "lots")
        self.complain("run", "--timeout", "-1")
        self.complain("run", "--machine", "toaster")
        self.complain("run", "--kernel", "hurd")
        self.complain("run", "--kernel", "linux", "--env", "novalue", "--", "true")
        self.complain("frobnicate", status=2)
        self.complain("test", "nonsense", status=2)
        self.complain("build", "--", "x", status=2)

    def test_roots(self):
        with tempfile.TemporaryDirectory() as folder:
            here = Path(folder)
            linux = ("run", "--kernel", "linux", "--rootfs")
            self.complain(*linux, here / "missing")
            self.complain(*linux, "no-such-name")
            (here / "empty").mkdir()
            self.complain(*linux, here / "empty")
            (here / "shell-less/etc").mkdir(parents=True)
            (here / "shell-less/etc/motd").write_text("hello\n")
            self.complain(*linux, here / "shell-less")
            (here / "garbage").write_bytes(os.urandom(100_000))
            self.complain(*linux, here / "garbage")
            (here / "nothing").write_bytes(b"")
            self.complain(*linux, here / "nothing")
            (here / "disk.img").write_bytes(b"hsqs" + bytes(1 << 20))
            self.complain(*linux, here / "disk.img")
            self.complain(*linux, "/dev/null")

    def test_log_that_cannot_be_written(self):
        self.complain("run", "--kernel", "linux", "--log", "/nowhere/log", "--", "true")

    def test_missing_programs(self):
        """On a machine without the toolchain: no apt, apt that may not be used unasked, apt that doesn't help."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("bash", "env", "python3", "dirname", "readlink", "uname"):
                os.symlink(shutil.which(name), Path(folder) / name)
            without = {"PATH": folder, "HOME": folder}
            call = self.launch("build", env=without)
            self.assert_complaint(call, 1)
            for package in (b"clang-19", b"cmake", b"ninja-build", b"no apt"):
                self.assertIn(package, call.err)
            # An apt that keeps a diary of what it is asked for.
            diary = Path(folder) / "diary"
            apt = Path(folder) / "apt-get"
            apt.write_text(f"#!{folder}/bash\necho \"$@\" >> {diary}\n")
            apt.chmod(0o755)
            (Path(folder) / "sudo").symlink_to(Path(folder) / "env")
            call = self.launch("build", env=without)
            self.assert_complaint(call, 1)
            self.assertIn(b"--yes", call.err)
            self.assertFalse(diary.exists())
            for words, extra in ((["--yes"], {}), ([], {"CI": "true"})):
                call = self.launch("build", *words, env={**without, **extra})
                self.assertEqual(call.status, 1)
                self.assertIn(b"still missing after installation", call.err)
                self.assertNotIn(b"Traceback", call.err)
                self.assertIn("install -y", diary.read_text())
                diary.unlink()

    def test_command_and_own_init(self):
        self.complain("run", "--kernel", "linux", "--append", "rdinit=/bin/sh", "--", "true")
