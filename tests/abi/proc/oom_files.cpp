// /proc/PID/oom_score, oom_score_adj and oom_adj, and statm. Least Linux: 2.6.36.
#include "proc_text.hpp"
#include <sys/mman.h>
#include <sys/wait.h>

namespace {

using namespace proc_text;

const char* const adjustment = "/proc/self/oom_score_adj";
const char* const old_adjustment = "/proc/self/oom_adj";

long long value_of(const char* path) {
    const char* text = read_file(path);
    return text ? atoll(text) : -12345;
}

void test_scales() {
    CHECK_EQ(value_of(adjustment), 0);
    CHECK_EQ(value_of(old_adjustment), 0);
    const long long score = value_of("/proc/self/oom_score");
    CHECK_GE(score, 666);
    CHECK_LE(score, 700);
    const struct {
        const char* text;
        int value, old;
    } values[] = {{"1000", 1000, 15}, {"500\n", 500, 8}, {" 0x10 ", 16, 0}, {"-1000", -1000, -17}, {"-500", -500, -8}};
    for (const auto& [text, value, old] : values) {
        CHECK(write_file(adjustment, text));
        CHECK_EQ(value_of(adjustment), value);
        CHECK_EQ(value_of(old_adjustment), old);
    }
    for (const char* wrong : {"1001", "-1001", "x", "1 2"}) CHECK(!write_file(adjustment, wrong) && errno == EINVAL);
    CHECK(!write_file(adjustment, "99999999999") && errno == ERANGE);
    CHECK_EQ(value_of(adjustment), -500);
    CHECK(write_file(adjustment, "-1000"));
    CHECK_EQ(value_of("/proc/self/oom_score"), 0);
    const struct {
        const char* text;
        int value;
    } old_values[] = {{"15", 1000}, {"-17", -1000}, {"8", 470}, {"-8", -470}, {"0", 0}};
    for (const auto& [text, value] : old_values) {
        CHECK(write_file(old_adjustment, text));
        CHECK_EQ(value_of(adjustment), value);
    }
    CHECK(!write_file(old_adjustment, "16") && errno == EINVAL);
    CHECK(!write_file(old_adjustment, "-18") && errno == EINVAL);
    CHECK_EQ(value_of("/proc/1/oom_score"), 0);
}

// The score moves by two thirds of the adjustment and of the thousandths of memory held.
void test_score() {
    const long long before = value_of("/proc/self/oom_score");
    CHECK(write_file(adjustment, "300"));
    CHECK_LE(llabs(value_of("/proc/self/oom_score") - before - 200), 1);
    CHECK(write_file(adjustment, "0"));
    const size_t size = size_t(meminfo("MemTotal")) * 1024 / 20;
    char* place = static_cast<char*>(
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
    REQUIRE(place != MAP_FAILED);
    CHECK_LE(llabs(value_of("/proc/self/oom_score") - before - 33), 3);
    munmap(place, size);
}

// The unprivileged may raise it, and lower it down to what a privileged writer has left.
void test_privilege() {
    CHECK(write_file(adjustment, "100"));
    pid_t child = fork();
    if (child == 0) {
        int status = 0;
        if (value_of(adjustment) != 100) status |= 1;
        int fd = open(adjustment, O_WRONLY), old = open(old_adjustment, O_WRONLY);
        if (setgid(65534) != 0 || setuid(65534) != 0) _exit(64);
        if (write(fd, "200", 3) != 3) status |= 2;
        if (write(fd, "100", 3) != 3) status |= 4;
        if (write(fd, "99", 2) != -1 || errno != EACCES) status |= 8;
        if (write(old, "-1", 2) != -1 || errno != EACCES) status |= 16;
        if (value_of(adjustment) != 100) status |= 32;
        _exit(status);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECK_EQ(WEXITSTATUS(status), 0);
    CHECK(write_file(adjustment, "0"));
}

void test_statm() {
    const char* text = read_file("/proc/self/statm");
    REQUIRE(text);
    long long total, resident, shared, code, library, data, dirty;
    CHECK_EQ(
        sscanf(text, "%lld %lld %lld %lld %lld %lld %lld", &total, &resident, &shared, &code, &library, &data, &dirty),
        7);
    CHECK_EQ(library, 0);
    CHECK_EQ(dirty, 0);
    const long long kib = sysconf(_SC_PAGESIZE) / 1024;
    CHECK_EQ(total * kib, status("VmSize"));
    CHECK_EQ(code * kib, status("VmExe"));
    CHECK_EQ(data * kib, status("VmData") + status("VmStk"));
    CHECK_LE(shared, resident);
}

} // namespace

int main() {
    test_scales();
    test_score();
    test_privilege();
    test_statm();
    return check::result();
}
