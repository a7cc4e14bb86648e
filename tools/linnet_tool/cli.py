"""The command line of `./linnet`: parses it, calls the module that does the work, and turns what goes wrong into one
clear line and a status."""

import argparse
import os
import sys

from . import ui
from .ui import LinnetError, say

STATUS_USAGE = 2


class Parser(argparse.ArgumentParser):
    """Reports in our own voice."""

    def error(self, message):
        raise LinnetError(f"{message} (see ./linnet --help)" if self.prog == "linnet" else
                          f"{message} (see ./{self.prog} --help)", STATUS_USAGE)


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def seconds(text):
    value = float(text)
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds")
    return value


positive.__name__ = "number"
seconds.__name__ = "number"


def build_parser():
    parser = Parser(prog="linnet", description="Linnet: a Linux-compatible kernel, and what runs, builds and tests it.")
    parser.add_argument("--yes", action="store_true", help="install what is missing without asking")
    commands = parser.add_subparsers(dest="verb", metavar="COMMAND", parser_class=Parser)

    run = commands.add_parser("run", help="boot a guest; run a command in it, or a shell")
    add_guest_options(run)
    run.add_argument("--share", action="append", default=[], metavar="FOLDER:PLACE[:ro]",
                     help="a folder of yours that the guest has at PLACE; each side sees at once what the other changes")
    run.add_argument("--timeout", type=seconds, metavar="SECONDS", help="end the guest after that time (status 124)")
    run.add_argument("--env", action="append", metavar="K=V", help="set a variable of the command's environment")
    run.add_argument("--cwd", default="/", metavar="DIR", help="the command's working folder")

    build = commands.add_parser("build", help="build kernels; prints each image's path")
    build.add_argument("--arch", default=None, metavar="A|all")
    build.add_argument("--debug", action="store_true")
    build.add_argument("--sanitize", action="store_true")

    rootfs = commands.add_parser("rootfs", help="make or refresh a root tree")
    rootfs.add_argument("name", metavar="NAME")
    rootfs.add_argument("--arch", default=None, metavar="A|all")
    rootfs.add_argument("--include", default=None, metavar="PKG,…", help="further Debian packages")

    test = commands.add_parser("test", help="run the tests")
    test.add_argument("kinds", nargs="*", metavar="unit|boot|abi|apps|lint",
                      help="which kinds; none: all but lint (clang-tidy over the kernel), with --long that too")
    test.add_argument("--arch", default=None, metavar="A|all")
    test.add_argument("--kernel", choices=("linnet", "linux"), default="linnet")
    test.add_argument("--filter", metavar="PATTERN", help="only tests whose name matches or contains it")
    test.add_argument("--long", action="store_true", help="the long tests too; recorded under docs/results")
    test.add_argument("--record", action="store_true", help="take the expected output of tests/apps from this kernel")
    test.add_argument("--debug", action="store_true")
    test.add_argument("--sanitize", action="store_true")

    bench = commands.add_parser("bench", help="measure Linnet beside Debian's Linux, in instructions")
    bench.add_argument("kinds", nargs="*", metavar="boot|core|memory|mm|net|sched|signal|wall|mm-wall|sched-wall")
    bench.add_argument("--arch", default=None, metavar="A|all")
    bench.add_argument("--kernel", choices=("linnet", "linux"), default=None, help="measure only that one anew")
    bench.add_argument("--pairs", type=int, default=15, metavar="N", help="how many pairs of runs by the clock (default: 15)")
    bench.add_argument("--record", action="store_true", help="keep the tables and the plot under docs/results")

    debug = commands.add_parser("debug", help="boot a guest halted, with gdb attached")
    add_guest_options(debug)
    debug.set_defaults(debug=True)
    debug.add_argument("--execute", "-x", action="append", metavar="COMMAND", help="a gdb command to begin with")
    debug.add_argument("--batch", action="store_true", help="leave gdb after those commands")

    commands.add_parser("doctor", help="say what is installed and what is missing")

    for command in commands.choices.values():
        add_common(command)
    return parser


def add_common(command):
    command.add_argument("-v", "--verbose", action="store_true", help="say more, and show the kernel's log")
    command.add_argument("--yes", action="store_true", default=argparse.SUPPRESS,
                         help="install what is missing without asking")


def add_guest_options(command):
    command.add_argument("--arch", default=None, metavar="ARCH", help="x86_64, aarch64, riscv64 or loongarch64")
    command.add_argument("--smp", type=positive, default=2, metavar="N", help="processors (default 2)")
    command.add_argument("--mem", default="1G", metavar="SIZE", help="memory (default 1G)")
    command.add_argument("--rootfs", default="busybox", metavar="busybox|debian|debian-disk|workshop|PATH[:N]",
                         help="the root: a name, a folder, a tar, or a raw disk image (of ext4, or with partitions, of which "
                              "the root is number N), which is the guest's /dev/vda")
    command.add_argument("--persist", action="store_true",
                         help="keep what the guest writes to a disk image that is its root; otherwise it is gone afterwards")
    command.add_argument("--kernel", choices=("linnet", "linux"), default="linnet",
                         help="linux: Debian's own kernel with the same root")
    command.add_argument("--machine", default="", help="QEMU's machine: virt, q35; on x86_64 also pc, microvm")
    command.add_argument("--disk", action="append", default=[], metavar="FILE[:ro]",
                         help="a file as a disk (/dev/vda, the next one /dev/vdb …; behind a root that is one)")
    command.add_argument("--append", default="", metavar="WORDS", help="more words for the kernel's command line")
    command.add_argument("--log", metavar="FILE", help="where the kernel's log goes")
    command.add_argument("--debug", action="store_true", help="the kernel's debug build")
    command.add_argument("--sanitize", action="store_true", help="the kernel with sanitizers")


def split_command(arguments):
    """Everything behind the first `--` is the guest's, whatever it looks like."""
    if "--" in arguments:
        at = arguments.index("--")
        return arguments[:at], arguments[at + 1:]
    return arguments, []


def dispatch(options):
    from . import arch
    if options.verb in ("run", "debug"):
        options.arch = arch.get_arch(options.arch or arch.host_arch())
    if options.verb == "run":
        from . import run
        return run.run(options)
    if options.verb == "test":
        from . import testing
        return testing.run(options)
    if options.verb == "bench":
        from . import bench
        return bench.run(options)
    if options.verb == "debug":
        from . import debug
        return debug.run(options)
    if options.verb == "doctor":
        from . import doctor
        return doctor.run(options)
    if options.verb == "build":
        return build(options)
    if options.verb == "rootfs":
        return rootfs(options)
    raise LinnetError(f"unknown command {options.verb}", STATUS_USAGE)


def build(options):
    from . import arch, kernel
    for one in arch.get_arches(options.arch or arch.host_arch()):
        image = kernel.build(one, options.debug, options.sanitize)
        print(image, flush=True)
    return 0


def rootfs(options):
    from . import arch, debian_disk, rootfs as roots
    names = (*roots.NAMES, *roots.DISK_NAMES)
    if options.name not in names:
        raise LinnetError(f"no root named '{options.name}' (there are: {', '.join(names)})", STATUS_USAGE)
    include = [name for name in (options.include or "").split(",") if name] if options.include is not None else None
    for one in arch.get_arches(options.arch or arch.host_arch(), "linux"):
        if options.name in roots.DISK_NAMES:
            print(debian_disk.get(options.name, one, include, refresh=True), flush=True)
        else:
            print(roots.named(options.name, one, include, refresh=True).archive, flush=True)
    return 0


def parse(arguments):
    ours, command = split_command(arguments)
    parser = build_parser()
    options = parser.parse_args(ours)
    if not options.verb:
        parser.print_help(sys.stderr)
        raise LinnetError("say what to do: run, build, test, bench, debug, rootfs or doctor", STATUS_USAGE)
    if command and options.verb != "run":
        raise LinnetError(f"./linnet {options.verb} takes no command after --", STATUS_USAGE)
    options.command = command
    return options


def main(arguments):
    # Bad input to `run` must not look like a status of the guest's command.
    failure = 125 if arguments[:1] == ["run"] or "run" in arguments[:2] else 1
    try:
        options = parse(arguments)
        ui.VERBOSE = options.verbose
        from . import packages
        packages.set_assume_yes(options.yes)
        return dispatch(options)
    except LinnetError as error:
        say(error)
        return 125 if failure == 125 else error.status or failure
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except Exception as error:  # whatever it is, the user gets a line and not a traceback
        if ui.VERBOSE or os.environ.get("LINNET_TRACEBACK"):
            import traceback
            traceback.print_exc()
        say(f"internal error: {type(error).__name__}: {error}")
        return failure
