// /proc/PID/loginuid and sessionid: set once by who logs in, inherited, and by nobody else's hand.
#include "proc_text.hpp"
#include <linux/capability.h>
#include <string>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace {

using namespace proc_text;

const char* const user_file = "/proc/self/loginuid";

std::string text_of(const char* path) {
    const char* text = read_file(path);
    return text ? text : "?";
}
bool fails(const char* path, const char* text, int code) { return !write_file(path, text) && errno == code; }

/// Root, but without CAP_AUDIT_CONTROL.
void give_up_control() {
    __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2] = {};
    CHECK_EQ(syscall(SYS_capget, &header, data), 0);
    data[CAP_TO_INDEX(CAP_AUDIT_CONTROL)].effective &= ~CAP_TO_MASK(CAP_AUDIT_CONTROL);
    CHECK_EQ(syscall(SYS_capset, &header, data), 0);
}

template <typename Work>
void in_child(Work work) {
    const pid_t child = fork();
    if (child == 0) {
        check::failures = 0;
        work();
        _exit(check::result());
    }
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

} // namespace

int main() {
    struct stat info = {};
    if (stat(user_file, &info) != 0) check::skip("a Linux without audit");
    CHECK_EQ(info.st_mode & 07777, 0644u);
    CHECK(text_of(user_file) == "4294967295");
    CHECK(text_of("/proc/self/sessionid") == "4294967295");
    in_child([] {
        for (const char* wrong : {"x", "-1", "", "5 6"}) CHECK(fails(user_file, wrong, EINVAL) || !*wrong);
        CHECK(fails("/proc/1/loginuid", "1000", EPERM)); // only one's own
        CHECK(text_of(user_file) == "4294967295");
        give_up_control(); // the first time needs no right
        CHECK(write_file(user_file, "1000"));
        CHECK(text_of(user_file) == "1000");
        const std::string session = text_of("/proc/self/sessionid");
        CHECK(session != "4294967295" && session != "0");
        CHECK(fails(user_file, "1001", EPERM));
        CHECK(fails(user_file, "4294967295", EPERM));
        in_child([&] {
            CHECK(text_of(user_file) == "1000");
            CHECK(text_of("/proc/self/sessionid") == session);
        });
    });
    in_child([] {
        CHECK(write_file(user_file, "7\n"));
        const std::string session = text_of("/proc/self/sessionid");
        CHECK(write_file(user_file, "8"));
        CHECK(text_of(user_file) == "8");
        CHECK(text_of("/proc/self/sessionid") != session);
        CHECK(write_file(user_file, "4294967295"));
        CHECK(text_of(user_file) == "4294967295");
        CHECK(text_of("/proc/self/sessionid") == "4294967295");
    });
    CHECK(text_of(user_file) == "4294967295");
    return check::result();
}
