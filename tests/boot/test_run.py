"""`./linnet run` with a command: bytes, statuses, signals. The rules are those of docs and of `./linnet run --help`."""

import os
import signal
import subprocess
import time

from linnet_tool.testing.harness import BootTest


class Bytes(BootTest):
    def test_streams_are_apart_and_exact(self):
        call = self.guest("sh", "-c", "printf 'a\\r\\n\\0b'; printf 'e\\n' >&2")
        self.assertEqual((call.status, call.out, call.err), (0, b"a\r\n\0b", b"e\n"))

    def test_binary_input_comes_back(self):
        data = os.urandom(1 << 20)
        call = self.guest("cat", stdin=data)
        self.assertEqual(call.status, 0, call.err)
        self.assertTrue(call.out == data, f"{len(call.out)} bytes came back")

    def test_much_output(self):
        size = 200_000_000 if self.long else 20_000_000
        call = self.guest("sh", "-c", f"head -c {size} /dev/zero; echo end >&2")
        self.assertEqual((call.status, len(call.out), call.err), (0, size, b"end\n"))

    def test_arguments_byte_for_byte(self):
        words = [b"%s|", b"a b", b"", b"x\ny", b"\xff\xfe", b"--", b"-v", b"$HOME", b"'\"\\"]
        call = self.guest("printf", *words)
        self.assertEqual(call.out, b"|".join(words[1:]) + b"|")

    def test_environment(self):
        call = self.guest("env", options=("--env", "WEIRD=a=b c\n\xe9", "--env", "HOME=/tmp", "--cwd", "/proc"))
        lines = call.out.split(b"\n")
        for line in (b"WEIRD=a=b c", b"HOME=/tmp", b"LANG=C.UTF-8"):
            self.assertIn(line, lines)
        self.assertTrue(any(line.startswith(b"PATH=/usr/local/sbin:") for line in lines))
        self.assertTrue(any(line.startswith(b"TERM=") for line in lines))

    def test_where_and_who(self):
        call = self.guest("sh", "-c", "pwd; id -u; echo $HOME")
        self.assertEqual(call.out, b"/\n0\n/root\n")
        self.assertEqual(self.guest("pwd", options=("--cwd", "/usr/bin")).out, b"/usr/bin\n")

    def test_shell_reads_its_script_from_input(self):
        call = self.guest(stdin=b"echo one\nword=two\necho got $word\nexit 6\n")
        self.assertEqual((call.status, call.out), (6, b"one\ngot two\n"), call.err)

    def test_command_that_reads_no_input(self):
        call = self.guest("echo", "done", stdin=b"x" * 3_000_000)
        self.assertEqual((call.status, call.out), (0, b"done\n"), call.err)

    def test_reader_that_goes_away(self):
        process = self.start(*self.run_options(), "--", "yes", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        self.assertEqual(process.stdout.read(2), b"y\n")
        process.stdout.close()
        self.assertEqual(process.wait(60), 128 + signal.SIGPIPE)

    def test_a_process_left_behind_does_not_hold_us(self):
        start = time.monotonic()
        call = self.guest("sh", "-c", "sleep 300 & echo out")
        self.assertEqual((call.status, call.out), (0, b"out\n"), call.err)
        self.assertLess(time.monotonic() - start, 60)


class Statuses(BootTest):
    def test_exit_status(self):
        self.assertEqual(self.guest("sh", "-c", "exit 77").status, 77)

    def test_killed_by_signal(self):
        self.assertEqual(self.guest("sh", "-c", "kill -9 $$").status, 137)

    def test_not_found(self):
        call = self.guest("no-such-program")
        self.assert_complaint(call, 127)

    def test_not_executable(self):
        call = self.guest("/etc/passwd")
        self.assert_complaint(call, 126)

    def test_timeout(self):
        start = time.monotonic()
        call = self.guest("sleep", "300", options=("--timeout", "10"))
        self.assert_complaint(call, 124)
        self.assertLess(time.monotonic() - start, 30)

    def test_no_such_folder(self):
        self.assert_complaint(self.guest("true", options=("--cwd", "/nowhere")))


class Signals(BootTest):
    def begin(self, script):
        process = self.start(*self.run_options(), "--", "sh", "-c", script, stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process

    def test_the_command_gets_them(self):
        process = self.begin("trap 'echo caught; exit 9' TERM; sleep 300 & echo ready; wait")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (9, b"caught\n"))

    def test_default_action(self):
        process = self.begin("echo ready; sleep 300")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 128 + signal.SIGINT)

    def test_a_second_one_ends_the_guest(self):
        process = self.begin("trap 'echo first' INT; echo ready; while :; do sleep 1; done")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.stdout.readline(), b"first\n")
        self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
        self.assertEqual(process.returncode, 128 + signal.SIGINT)


class Terminal(BootTest):
    def test_shell_on_a_terminal(self):
        screen = self.terminal(rows=33, columns=99)
        screen.expect(rb"# ", 90)
        screen.type(b"stty size; tty\r")
        screen.expect(rb"\n33 99\r\n/dev/pts/0\r\n")
        screen.type(b"until [ \"$(stty size)\" = '50 120' ]; do :; done; echo resized\r")
        screen.resize(50, 120)
        screen.expect(rb"\nresized\r\n")
        screen.type(b"echo mistakX\x7fe\r")
        screen.expect(rb"\nmistake\r\n")
        screen.type(b"exit 5\r")
        self.assertEqual(screen.leave(), 5)

    def start_cat(self, screen):
        """A program that has read a line is in the foreground; keys typed earlier would be the shell's."""
        screen.type(b"echo go; cat\r")
        screen.expect(rb"\ngo\r\n")
        screen.type(b"line\r")
        screen.expect(rb"line\r\nline\r\n")

    def test_job_control(self):
        screen = self.terminal()
        screen.expect(rb"# ", 90)
        self.start_cat(screen)
        screen.type(b"\x03")
        screen.expect(rb"# ")
        screen.type(b"echo interrupted $?\r")
        screen.expect(rb"\ninterrupted 130\r\n")
        self.start_cat(screen)
        screen.type(b"\x1a")
        screen.expect(rb"Stopped")
        screen.type(b"jobs\r")
        screen.expect(rb"Stopped.*cat")
        screen.type(b"kill -9 %1; fg; echo gone $?\r")
        screen.expect(rb"\ngone 137\r\n")
        screen.expect(rb"# ")  # earlier it would be the end of a line that nobody reads any more
        screen.type(b"\x04")
        screen.leave()

    def test_terminal_is_restored(self):
        screen = self.terminal()
        screen.expect(rb"# ", 90)
        os.kill(screen.pid, signal.SIGHUP)
        self.assertEqual(screen.leave(), 128 + signal.SIGHUP)
