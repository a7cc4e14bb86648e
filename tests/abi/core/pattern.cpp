// Names of core files (core(5), "Naming of core dump files"): every specifier, core_uses_pid, and what is in the way.
// timeout: 120
#include <ctime>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "core_file.hpp"

using namespace core_file;

namespace {

struct Names {
    pid_t pid, tid;
    time_t before;
};

void check_same(const std::string& a, const std::string& b) { CHECK_STREQ(a.c_str(), b.c_str()); }

/// Crashes with this pattern; the name of the only file that is there then.
std::string name_for(const std::string& pattern, Names& names, const char* command = "test") {
    const Setting setting(pattern_file, pattern);
    auto& seen = *check::shared<Names>();
    names.before = time(nullptr);
    const int status = crash(
        [&] {
            prctl(PR_SET_NAME, command);
            seen.pid = getpid();
            // A thread that isn't the first.
            pthread_t thread;
            REQUIRE(pthread_create(
                        &thread, nullptr,
                        [](void* argument) -> void* {
                            static_cast<Names*>(argument)->tid = pid_t(syscall(SYS_gettid));
                            abort();
                        },
                        &seen) == 0);
            for (;;) pause();
        },
        123'456'789);
    CHECK(dumped_by(status, SIGABRT));
    names.pid = seen.pid;
    names.tid = seen.tid;
    FILE* list = popen("ls -A", "r");
    char name[300] = "";
    CHECK(fgets(name, sizeof name, list));
    char another[300];
    CHECK(!fgets(another, sizeof another, list));
    pclose(list);
    *strchrnul(name, '\n') = 0;
    CHECK_EQ(unlink(name), 0);
    return name;
}

void test_specifiers() {
    Names names;
    auto expect = [&](const char* pattern, const std::string& expected) {
        const std::string name = name_for(pattern, names);
        check_same(name, expected);
    };
    auto with_pid = [&](const char* pattern) {
        const std::string name = name_for(pattern, names);
        check_same(name, "p" + std::to_string(names.pid));
    };
    with_pid("p%p");
    with_pid("p%P");
    for (const char* pattern : {"t%i", "t%I"}) {
        const std::string name = name_for(pattern, names);
        CHECK_NE(names.tid, names.pid);
        check_same(name, "t" + std::to_string(names.tid));
    }
    expect("a%%b", "a%b");
    expect("u%u.g%g", "u0.g0");
    expect("s%s", "s6");
    expect("c%c", "c123456789");
    expect("d%d", "d1");
    expect("e%e.", "etest.");
    expect("unknown%q%z.", "unknown.");
    expect("end%", "end");
    utsname system;
    REQUIRE(uname(&system) == 0);
    expect("h%h", std::string("h") + system.nodename);
    char executable[300] = "";
    CHECK_GT(readlink("/proc/self/exe", executable, sizeof executable - 1), 0);
    expect("f%f", std::string("f") + (strrchr(executable, '/') + 1));
    std::string flat(executable);
    for (char& c : flat)
        if (c == '/') c = '!';
    expect("E%E", "E" + flat);
    const std::string time_name = name_for("%t", names);
    CHECK_GE(atol(time_name.c_str()), names.before);
    CHECK_LE(atol(time_name.c_str()), time(nullptr));
    expect("%e", "test");
    check_same(name_for("%e", names, "a/b"), "a!b");
    check_same(name_for("%e", names, ".."), "!.");
    check_same(name_for("%e", names, "."), "!");
    check_same(name_for("x%e", names, ""), "x!");
}

void test_pid_suffix() {
    const Setting setting(pid_file, "1");
    Names names;
    const std::string plain = name_for("core", names);
    check_same(plain, "core." + std::to_string(names.pid));
    const std::string named = name_for("x%p", names);
    check_same(named, "x" + std::to_string(names.pid));
    const std::string other = name_for("x%i", names);
    check_same(other, "x" + std::to_string(names.tid) + "." + std::to_string(names.pid));
}

void test_paths(const Place& place) {
    CHECK_EQ(mkdir("sub", 0777), 0);
    {
        const Setting setting(pattern_file, "sub/file");
        CHECK(dumped_by(crash([] { abort(); }), SIGABRT));
        CHECK(Core("sub/file").is_whole());
    }
    {
        const Setting setting(pattern_file, place.folder + "/sub/absolute");
        CHECK(dumped_by(crash([] {
                            CHECK_EQ(chdir("/"), 0);
                            abort();
                        }),
                        SIGABRT));
        CHECK(Core("sub/absolute").is_whole());
    }
    for (const char* nowhere : {"missing/core", "sub", "/proc/core", ""}) {
        const Setting setting(pattern_file, nowhere);
        CHECK(died_without(crash([] { abort(); }), SIGABRT));
    }
    {
        // Relative to where the program is.
        const Setting setting(pattern_file, "here");
        CHECK(dumped_by(crash([] {
                            CHECK_EQ(chdir("sub"), 0);
                            abort();
                        }),
                        SIGABRT));
        CHECK(exists("sub/here"));
        CHECK(!exists("here"));
    }
    const std::string long_text(200, 'l');
    const Setting setting(pattern_file, long_text);
    CHECK_EQ(strlen(proc_text::read_file(pattern_file)), 128u);
}

void test_what_is_there() {
    auto dump = [](int signal) {
        CHECK(dumped_by(crash([&] { raise(signal); }), signal));
        const Core core("core");
        CHECK(core.is_whole());
        struct stat status;
        REQUIRE(lstat("core", &status) == 0);
        CHECK_EQ(status.st_mode, S_IFREG | 0600u);
        return status;
    };
    // A file of that name makes room, whatever links there are to it.
    proc_text::write_file("other", "");
    close(open("core", O_CREAT | O_WRONLY, 0444));
    CHECK(proc_text::write_file("core", "old"));
    CHECK_EQ(link("core", "linked"), 0);
    dump(SIGQUIT);
    CHECK_STREQ(proc_text::read_file("linked"), "old");
    dump(SIGABRT);
    // A symbolic link too: what it leads to stays.
    CHECK_EQ(unlink("core"), 0);
    CHECK_EQ(symlink("linked", "core"), 0);
    dump(SIGABRT);
    CHECK_STREQ(proc_text::read_file("linked"), "old");
    CHECK_EQ(unlink("core"), 0);
    CHECK_EQ(mkfifo("core", 0600), 0);
    dump(SIGABRT);
    CHECK_EQ(unlink("core"), 0);
    CHECK_EQ(mkdir("core", 0700), 0);
    CHECK(died_without(crash([] { abort(); }), SIGABRT));
    CHECK_EQ(rmdir("core"), 0);
    // The umask counts; a file that its owner could not read and write is no core file.
    umask(0377);
    CHECK(died_without(crash([] { abort(); }), SIGABRT));
    umask(022);
    unlink("core");
}

void test_other_user() {
    const int status = crash([] {
        REQUIRE(setresgid(1234, 1234, 1234) == 0);
        REQUIRE(setresuid(1234, 1234, 1234) == 0);
        prctl(PR_SET_DUMPABLE, 1);
        abort();
    });
    CHECK(dumped_by(status, SIGABRT));
    struct stat file;
    REQUIRE(stat("core", &file) == 0);
    CHECK_EQ(file.st_uid, 1234u);
    CHECK_EQ(file.st_gid, 1234u);
    unlink("core");
    CHECK_EQ(mkdir("private", 0700), 0);
    const int refused = crash([] {
        CHECK_EQ(chdir("private"), 0);
        REQUIRE(setresuid(1234, 1234, 1234) == 0);
        prctl(PR_SET_DUMPABLE, 1);
        abort();
    });
    CHECK(died_without(refused, SIGABRT));
    CHECK(!exists("private/core"));
}

} // namespace

int main() {
    Place place;
    test_specifiers();
    test_pid_suffix();
    test_what_is_there();
    test_other_user();
    test_paths(place);
    return check::result();
}
