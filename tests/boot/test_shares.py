"""--share: folders of ours in the guest."""

import os
import shutil
import tempfile

from linnet_tool.packages import run_quietly
from linnet_tool.paths import BUILD, ensure
from linnet_tool.sysroot import compiler
from linnet_tool.testing import TESTS, abi
from linnet_tool.testing.harness import BootTest


class ShareTest(BootTest):
    def setUp(self):
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, data):
        with open(self.path(name), "wb") as file:
            file.write(data)

    def contents(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def script(self, text, *options, mode=""):
        """Runs the script, which stops at the first command that fails, in a guest that has the folder at /mnt/share."""
        return self.guest("sh", "-ec", "cd /mnt/share; " + text,
                          options=("--share", f"{self.folder}:/mnt/share{mode}", *options))

    def assert_output(self, call, out):
        self.assertEqual((call.status, call.out), (0, out), call.err)


class Files(ShareTest):
    def test_reading(self):
        data = os.urandom(300_000)
        self.write("data", data)
        os.makedirs(self.path("deep/er"))
        self.write("deep/er/file", b"found\n")
        os.symlink("deep/er", self.path("link"))
        call = self.script("cat link/file; readlink link; cat data")
        self.assert_output(call, b"found\ndeep/er\n" + data)

    def test_writing(self):
        call = self.script("printf first > a; printf second >> a; mkdir d; mv a d/b; ln d/b d/c; ln -s b d/s; "
                           "head -c 300000 /dev/zero > big; truncate -s 100 big; chmod 640 big; rm d/b; "
                           "touch -d '2001-02-03 04:05:06' big; cat d/c; stat -c '%s %a %h %Y' big")
        self.assert_output(call, b"firstsecond100 640 1 981173106\n")
        self.assertEqual(self.contents("d/c"), b"firstsecond")
        self.assertEqual(sorted(os.listdir(self.path("d"))), ["c", "s"])
        self.assertEqual(os.readlink(self.path("d/s")), "b")
        status = os.stat(self.path("big"))
        self.assertEqual((status.st_size, status.st_mode & 0o7777, int(status.st_mtime)), (100, 0o640, 981173106))

    def test_directory_of_many(self):
        for number in range(10_000):
            self.write(f"file-{number}", b"")
        self.assert_output(self.script("echo * | wc -w; echo * | tr ' ' '\\n' | sort -u | wc -l; rm file-*99; echo * | wc -w"),
                           b"10000\n10000\n9900\n")
        self.assertEqual(len(os.listdir(self.folder)), 9900)

    def test_programs_run_from_it(self):
        call = self.script("cp /bin/busybox .; ./busybox echo here; cp busybox other; cmp busybox other && echo same")
        self.assert_output(call, b"here\nsame\n")

    def test_open_file_without_a_name(self):
        call = self.script("echo kept > f; exec 3<> f; rm f; cat <&3; echo more >&3; test ! -e f; stat -L -c %h /proc/self/fd/3")
        self.assert_output(call, b"kept\n0\n")

    def test_errors(self):
        call = self.script("mkdir d; touch d/f; set +e; rmdir d; mkdir d; cat none; ls d/f/x; "
                           "touch $(printf '%0300d' 1) 2>&1 | grep -c 'too long'")
        for text in (b"not empty", b"File exists", b"No such file", b"Not a directory"):
            self.assertIn(text, call.err)
        self.assertEqual(call.out, b"1\n")

    def test_read_only(self):
        self.write("stays", b"as it is")
        call = self.script("cat stays; echo x > stays || echo x > new || echo refused", mode=":ro")
        self.assert_output(call, b"as it isrefused\n")
        self.assertEqual((os.listdir(self.folder), self.contents("stays")), (["stays"], b"as it is"))


class BothSides(ShareTest):
    def test_changes_are_seen_at_once(self):
        """The guest waits for what we do, and the other way round: by files alone."""
        self.write("text", b"one")
        process = self.start(*self.run_options(), "--share", f"{self.folder}:/mnt/share", "--", "sh", "-ec",
                             "cd /mnt/share; cat text; until test -e go; do :; done; cat text; ls", stdout=-1)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.read(3), b"one")
        os.unlink(self.path("text"))
        self.write("text", b"another")
        self.write("go", b"")
        self.assertEqual((process.stdout.read(), process.wait()), (b"anothergo\ntext\n", 0))

    def test_several_folders(self):
        other = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, other)
        self.write("a", b"a")
        call = self.script("cp a ../other/b; grep -c ' 9p ' /proc/mounts", "--share", f"{other}:/mnt/other")
        self.assert_output(call, b"2\n")
        self.assertEqual(os.listdir(other), ["b"])


class Programs(ShareTest):
    def test_all_that_a_program_expects(self):
        program = ensure(BUILD / "tests" / "boot" / self.arch.name) / "use_share"
        source = TESTS / "boot" / "programs" / "use_share.cpp"
        result = run_quietly([*compiler(self.arch), *abi.FLAGS, "-I", str(TESTS / "include"), "-o", str(program), str(source)])
        self.assertEqual(result.returncode, 0, result.stdout)
        shutil.copy(program, self.path("program"))
        # From elsewhere, for it takes the folder away and mounts it anew.
        self.assert_output(self.script("mv program /tmp/; exec /tmp/program share0"), b"")


class Mistakes(ShareTest):
    once = True

    def test_no_such_folder(self):
        self.assert_complaint(self.guest("true", options=("--share", "/nowhere/folder:/mnt")))

    def test_no_place(self):
        self.assert_complaint(self.guest("true", options=("--share", self.folder)))


class MemoryMapped(ShareTest):
    """The transport without PCI."""

    only_arches = ("x86_64",)

    def test_writing(self):
        self.assert_output(self.script("echo in > f; cat f", "--machine", "microvm"), b"in\n")
        self.assertEqual(self.contents("f"), b"in\n")
