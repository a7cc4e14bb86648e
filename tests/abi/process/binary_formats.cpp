// binfmt_misc: registering interpreters for kinds of files (Linux's documentation, "Kernel Support for miscellaneous
// Binary Formats"), its files, and execve(2) through it. The program is its own interpreter.
#include <climits>
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <string>
#include <sys/auxv.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "asleep.hpp"
#include "proc_text.hpp"

namespace {

using std::string;

const string root = "/proc/sys/fs/binfmt_misc/";
const string folder = "/tmp/formats/";
string interpreter; // this program
constexpr int report_fd = 100;

// What the interpreter sees, as one line.
int interpret(int argc, char** argv) {
    string line;
    for (int i = 0; i < argc; i++) line += string(argv[i]) + "|";
    line += "flags=" + std::to_string(getauxval(AT_FLAGS)) + " euid=" + std::to_string(geteuid());
    errno = 0;
    const unsigned long fd = getauxval(AT_EXECFD);
    if (errno == 0) {
        char text[16] = {};
        const ssize_t size = read(int(fd), text, sizeof text - 1);
        line += " file=" + (size < 0 ? string("?") : string(text));
        line += " flags=" + std::to_string(fcntl(int(fd), F_GETFD));
    }
    return write(report_fd, line.data(), line.size()) == ssize_t(line.size()) ? 42 : 43;
}

string name_of(const string& file) { return folder + file; }
void make(const string& file, const string& content, mode_t mode = 0755) {
    const int fd = open(name_of(file).c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0755);
    CHECK_EQ(write(fd, content.data(), content.size()), ssize_t(content.size()));
    CHECK_OK(fchmod(fd, mode));
    close(fd);
}

bool enlist(const string& line) { return proc_text::write_file((root + "register").c_str(), line.c_str()); }
/// Of a line that may have a NUL in it.
ssize_t enlist_bytes(const string& line) {
    const int fd = open((root + "register").c_str(), O_WRONLY | O_CLOEXEC);
    const ssize_t written = write(fd, line.data(), line.size());
    const int error = errno;
    close(fd);
    errno = error;
    return written;
}
bool tell(const string& file, const char* what) { return proc_text::write_file((root + file).c_str(), what); }
string content(const string& file) {
    const char* text = proc_text::read_file((root + file).c_str());
    return text ? text : "";
}

// Executes a file in a child; what the interpreter said, or the errno of execve.
string run(const string& file, uid_t uid = 0, int directory = -1) {
    int pipes[2];
    CHECK_OK(pipe(pipes));
    const pid_t pid = fork();
    if (pid == 0) {
        dup2(pipes[1], report_fd);
        close(pipes[0]), close(pipes[1]);
        if (uid != 0 && setuid(uid) != 0) _exit(99);
        char zero[] = "zero", one[] = "one";
        char role[] = "ROLE=interpreter";
        char *arguments[] = {zero, one, nullptr}, *environment[] = {role, nullptr};
        if (directory >= 0)
            syscall(SYS_execveat, directory, "", arguments, environment, AT_EMPTY_PATH);
        else
            execve(name_of(file).c_str(), arguments, environment);
        const string error = strerrorname_np(errno);
        _exit(write(report_fd, error.data(), error.size()) < 0);
    }
    close(pipes[1]);
    char text[4096] = {};
    size_t size = 0;
    for (ssize_t got; (got = read(pipes[0], text + size, sizeof text - 1 - size)) > 0;) size += size_t(got);
    close(pipes[0]);
    CHECK_EQ(waitpid(pid, nullptr, 0), pid);
    return text;
}

void test_files() {
    struct statfs file_system;
    CHECK_OK(statfs(root.c_str(), &file_system));
    CHECK_EQ(file_system.f_type, 0x42494e4d);
    struct stat status;
    CHECK_OK(stat((root + "register").c_str(), &status));
    CHECK_EQ(status.st_mode, S_IFREG | 0200u);
    CHECK_OK(stat((root + "status").c_str(), &status));
    CHECK_EQ(status.st_mode, S_IFREG | 0644u);
    CHECK(content("status") == "enabled\n");
    check::run_in_child([] {
        CHECK_OK(setuid(65534));
        CHECK_ERRNO(open((root + "register").c_str(), O_WRONLY), EACCES);
        CHECK_ERRNO(open((root + "status").c_str(), O_WRONLY), EACCES);
    });
    CHECK(tell("status", "0"));
    CHECK(content("status") == "disabled\n");
    CHECK(tell("status", "1\n"));
    CHECK(content("status") == "enabled\n");
    CHECK(!tell("status", "2") && errno == EINVAL);
    CHECK(!tell("status", "on") && errno == EINVAL);
}

void test_registering() {
    const string long_name(256, 'n'), longest_name(255, 'n');
    for (const string& wrong :
         {string(""), string(":a:M::b:"), string("::M::magic::/bin/x:"), string(":.:M::magic::/bin/x:"),
          string(":..:M::magic::/bin/x:"), string(":a/b:M::magic::/bin/x:"), string(":a:X::magic::/bin/x:"),
          string(":a:M::::/bin/interpreter:"), string(":a:M::magic:mas:/bin/x:"), string(":a:M::magic:::"),
          string(":a:M::magic::/bin/x"), string(":a:M::magic::/bin/x:Z"), string(":a:E::a/b::/bin/x:"),
          string(":a:E:::: /bin/x:"), string(":a:M:x:magic::/bin/x:"), string(":a:M:-1:magic::/bin/x:"),
          string(":a:M:252:magic::/bin/x:"), ":a:M::magic::/" + string(2000, 'x') + ":"})
        CHECK(!enlist(wrong) && errno == EINVAL);
    for (const string& wrong : {string(":n\0l:M::magic::/bin/x:", 22), string(":nul:E::e\0t::/bin/x:", 21),
                                string(":nul:M::magic::/bin\0x:", 22)})
        CHECK_ERRNO(enlist_bytes(wrong), EINVAL);
    // A magic ends at one; so does its mask.
    CHECK_EQ(enlist_bytes(string(":cut:M::ma\0ic:\\xf0\\x0f:/bin/x:", 30)), 30);
    CHECK(content("cut") == "enabled\ninterpreter /bin/x\nflags: \noffset 0\nmagic 6d61\nmask f00f\n");
    CHECK(tell("cut", "-1"));
    CHECK_EQ(enlist_bytes(string(":cut:M::ma:\\xf0\\x0f\0g:/bin/x:", 29)), 29);
    CHECK(content("cut") == "enabled\ninterpreter /bin/x\nflags: \noffset 0\nmagic 6d61\nmask f00f\n");
    CHECK(tell("cut", "-1"));
    CHECK_ERRNO(enlist_bytes(string(":cut:M::\0ma::/bin/x:", 20)), EINVAL);
    CHECK(enlist(":" + longest_name + ":E::ext::/bin/none:"));
    CHECK(content(longest_name) == "enabled\ninterpreter /bin/none\nflags: \nextension .ext\n");
    CHECK(tell(longest_name, "-1"));
    CHECK(enlist(":one:M:3:\\x00a\\x7f\\x41:\\xff\\xff\\xff\\xf0:/bin/none:PC\n"));
    CHECK(content("one") == "enabled\ninterpreter /bin/none\nflags: POC\noffset 3\nmagic 00617f41\nmask fffffff0\n");
    CHECK(!enlist(":one:E::ext::/bin/none:") && errno == EEXIST);
    CHECK(!enlist(":register:E::ext::/bin/none:") && errno == EEXIST);
    CHECK(!enlist(":two:E::ext::/bin/none:F") && errno == ENOENT);
    // Any first character divides.
    CHECK(enlist(",two,E,,ext,,/bin/a:b,"));
    CHECK(content("two") == "enabled\ninterpreter /bin/a:b\nflags: \nextension .ext\n");
    CHECK(tell("two", "0"));
    CHECK(content("two") == "disabled\ninterpreter /bin/a:b\nflags: \nextension .ext\n");
    CHECK(!tell("two", "5") && errno == EINVAL);
    int seen = 0;
    DIR* directory = opendir(root.c_str());
    while (const dirent* entry = readdir(directory))
        for (const char* name : {"register", "status", "one", "two"}) seen += strcmp(entry->d_name, name) == 0;
    closedir(directory);
    CHECK_EQ(seen, 4);
    CHECK(tell("two", "-1"));
    CHECK_ERRNO(open((root + "two").c_str(), O_RDONLY), ENOENT);
    CHECK(tell("status", "-1"));
    CHECK_ERRNO(open((root + "one").c_str(), O_RDONLY), ENOENT);
}

void test_running() {
    make("data", "magic1 content");
    make("data.ext", "other content");
    make("plain", "other content");
    CHECK(run("data") == "ENOEXEC");
    CHECK(enlist(":m:M::magic0:\\xff\\xff\\xff\\xff\\xff\\xfe:" + interpreter + ":"));
    const string plain = interpreter + "|" + name_of("data") + "|one|";
    CHECK(run("data") == plain + "flags=0 euid=0");
    CHECK(run("plain") == "ENOEXEC");
    CHECK(tell("m", "0"));
    CHECK(run("data") == "ENOEXEC");
    CHECK(tell("m", "1"));
    CHECK(tell("status", "0"));
    CHECK(run("data") == "ENOEXEC");
    CHECK(tell("status", "1"));
    CHECK(run("data") == plain + "flags=0 euid=0");
    // The file must be executable.
    make("closed", "magic1", 0644);
    CHECK(run("closed") == "EACCES");
    // By its name; the one that was registered last is asked first.
    CHECK(enlist(":e:E::ext::" + interpreter + ":P"));
    CHECK(run("data.ext") == interpreter + "|" + name_of("data.ext") + "|zero|one|flags=1 euid=0");
    CHECK(enlist(":later:E::ext::" + interpreter + ":"));
    CHECK(run("data.ext") == interpreter + "|" + name_of("data.ext") + "|one|flags=0 euid=0");
    CHECK(tell("later", "-1"));
    CHECK(run("data.ext") == interpreter + "|" + name_of("data.ext") + "|zero|one|flags=1 euid=0");
    // A script run by a registered file, and an interpreter that is one itself.
    make("script", "#!" + name_of("data") + " word\n");
    CHECK(run("script") == interpreter + "|" + name_of("data") + "|word|" + name_of("script") + "|one|flags=0 euid=0");
    CHECK(enlist(":loop:M::loop::" + name_of("looped") + ":"));
    make("looped", "loop");
    CHECK(run("looped") == "ELOOP");
    CHECK(tell("loop", "-1"));
    CHECK(enlist(":gone:M::gone::" + name_of("none") + ":"));
    make("lost", "gone");
    CHECK(run("lost") == "ENOENT");
    // What would be closed before the interpreter opens it.
    const int fd = open(name_of("data").c_str(), O_RDONLY | O_CLOEXEC);
    CHECK(run("", 0, fd) == "ENOENT");
    CHECK_OK(fcntl(fd, F_SETFD, 0));
    CHECK(run("", 0, fd) == interpreter + "|/dev/fd/" + std::to_string(fd) + "|one|flags=0 euid=0");
    close(fd);
    CHECK(tell("status", "-1"));
    CHECK(run("data") == "ENOEXEC");
}

void test_flags() {
    // O: the file comes open, also to whom it is closed.
    make("unreadable", "opened", 0111);
    CHECK(enlist(":o:M::opened::" + interpreter + ":O"));
    CHECK(run("unreadable") == interpreter + "|" + name_of("unreadable") + "|one|flags=0 euid=0 file=opened flags=0");
    CHECK(run("unreadable", 65534) ==
          interpreter + "|" + name_of("unreadable") + "|one|flags=0 euid=65534 file=opened flags=0");
    // An interpreter's interpreter can't have it.
    make("second", "#!" + name_of("unreadable") + "\n");
    CHECK(run("second") == interpreter + "|" + name_of("unreadable") + "|" + name_of("second") +
                               "|one|flags=0 euid=0 file=opened flags=0");
    CHECK(enlist(":chain:M::chain::" + name_of("unreadable") + ":O"));
    make("chained", "chain");
    CHECK(run("chained") == "ENOEXEC");
    // C: rights are the file's, not the interpreter's.
    make("privileged", "rights", 04755);
    CHECK(enlist(":c:M::rights::" + interpreter + ":"));
    CHECK(run("privileged", 65534) == interpreter + "|" + name_of("privileged") + "|one|flags=0 euid=65534");
    CHECK(tell("c", "-1"));
    CHECK(enlist(":c:M::rights::" + interpreter + ":C"));
    CHECK(run("privileged", 65534) ==
          interpreter + "|" + name_of("privileged") + "|one|flags=0 euid=0 file=rights flags=0");
    // F: the interpreter is opened once and for all.
    const string moved = name_of("interpreter");
    CHECK_EQ(system(("cp " + interpreter + " " + moved).c_str()), 0);
    make("fixed", "fixed");
    CHECK(enlist(":f:M::fixed::" + moved + ":F"));
    CHECK(content("f") == "enabled\ninterpreter " + moved + "\nflags: F\noffset 0\nmagic 6669786564\n");
    CHECK_ERRNO(open(moved.c_str(), O_WRONLY), ETXTBSY);
    CHECK_OK(unlink(moved.c_str()));
    CHECK(run("fixed") == moved + "|" + name_of("fixed") + "|one|flags=0 euid=0");
    CHECK(tell("status", "-1"));
    CHECK(run("fixed") == "ENOEXEC");
}

} // namespace

int main(int argc, char** argv) {
    const char* role = getenv("ROLE");
    if (role && strcmp(role, "interpreter") == 0) return interpret(argc, argv);
    char self[PATH_MAX] = {};
    CHECK(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    interpreter = self;
    if (mount("none", root.c_str(), "binfmt_misc", 0, nullptr) != 0) {
        CHECK(errno == ENODEV || errno == ENOENT);
        check::skip("built without binfmt_misc");
    }
    mkdir(folder.c_str(), 0755);
    test_files();
    test_registering();
    test_running();
    test_flags();
    CHECK_OK(umount(root.c_str()));
    CHECK_EQ(system(("rm -r " + folder).c_str()), 0);
    return check::result();
}
