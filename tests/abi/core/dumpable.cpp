// Who may not dump core, and whose core only root may read (prctl(2) PR_SET_DUMPABLE, proc_sys_fs(5) suid_dumpable).
// timeout: 120
#include <sys/prctl.h>

#include "core_file.hpp"

using namespace core_file;

namespace {

void become_nobody() {
    REQUIRE(setresgid(65534, 65534, 65534) == 0);
    REQUIRE(setresuid(65534, 65534, 65534) == 0);
}

void test_prctl() {
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 1);
    CHECK_ERRNO(prctl(PR_SET_DUMPABLE, 2), EINVAL);
    const int status = crash([] {
        CHECK_EQ(prctl(PR_SET_DUMPABLE, 0), 0);
        abort();
    });
    CHECK(died_without(status, SIGABRT));
    CHECK(!exists("core"));
}

/// A program that has given up rights is dumpable as suid_dumpable says.
void test_setting(int mode, const std::string& pattern, bool wanted) {
    const Setting suid(suid_file, std::to_string(mode));
    const Setting setting(pattern_file, pattern);
    const int status = crash([&] {
        become_nobody();
        CHECK_EQ(prctl(PR_GET_DUMPABLE), mode);
        abort();
    });
    CHECK_EQ(WTERMSIG(status), SIGABRT);
    CHECK_EQ(bool(WCOREDUMP(status)), wanted);
    CHECK_EQ(exists("core"), wanted);
    if (!wanted) return;
    CHECK(Core("core").is_whole());
    struct stat file;
    REQUIRE(stat("core", &file) == 0);
    CHECK_EQ(file.st_uid, mode == 2 ? 0u : 65534u);
    CHECK_EQ(file.st_mode & 0777, 0600u);
    CHECK_EQ(unlink("core"), 0);
}

/// What is dumped as root makes no room for itself.
void test_existing(const std::string& absolute) {
    const Setting suid(suid_file, "2");
    const Setting setting(pattern_file, absolute);
    close(open("core", O_CREAT | O_WRONLY, 0600));
    CHECK(proc_text::write_file("core", "old"));
    const int status = crash([] {
        become_nobody();
        abort();
    });
    CHECK(died_without(status, SIGABRT));
    CHECK_STREQ(proc_text::read_file("core"), "old");
    CHECK_EQ(unlink("core"), 0);
}

/// A set-user-id program.
void test_program() {
    char self[300] = "";
    CHECK_GT(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    const std::string copy = std::string("cp ") + self + " ./suid && chown 65534 suid && chmod 4755 suid";
    REQUIRE(system(copy.c_str()) == 0);
    for (int mode = 0; mode < 3; ++mode) {
        const Setting suid(suid_file, std::to_string(mode));
        const int status = crash([&] {
            const std::string text = std::to_string(mode);
            execl("./suid", "suid", text.c_str(), nullptr);
        });
        CHECK_EQ(WTERMSIG(status), SIGABRT);
        CHECK_EQ(bool(WCOREDUMP(status)), mode == 1); // 2 needs an absolute path
        unlink("core");
    }
}

void test_knob() {
    const Setting suid(suid_file, "0");
    const int fd = open(suid_file, O_WRONLY);
    CHECK_ERRNO(write(fd, "3", 1), EINVAL);
    close(fd);
    CHECK_STREQ(proc_text::read_file(suid_file), "0\n");
}

} // namespace

int main(int count, char** arguments) {
    if (count > 1) {
        if (prctl(PR_GET_DUMPABLE) == atoi(arguments[1])) abort();
        return 1;
    }
    Place place;
    const std::string absolute = place.folder + "/core";
    test_prctl();
    test_knob();
    test_setting(0, "core", false);
    test_setting(0, absolute, false);
    test_setting(1, "core", true);
    test_setting(2, "core", false);
    test_setting(2, absolute, true);
    test_existing(absolute);
    test_program();
    return check::result();
}
