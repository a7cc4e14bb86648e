// A probe at every function of the kernel that may have one, one after another, with some work under each; and many at
// once. On Linux only a few functions are taken: more has not been tried there.
//
// needs-linux: 5.13
// timeout: 300
#include <algorithm>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "child.hpp"
#include "kprobe.hpp"

using namespace check;

namespace {

int type;

int open_at(uint64_t address, bool is_return, int cpu) {
    perf_event_attr asked = kprobe::attributes(type, nullptr, address, is_return);
    return perf::open_event(&asked, -1, cpu);
}

/// Faults, switches, system calls, a child, files.
void work() {
    int fds[2];
    CHECK_OK(pipe(fds));
    const pid_t child = fork();
    if (child == 0) {
        char byte = 0;
        _exit(read(fds[0], &byte, 1) == 1 && byte == 'x' ? 7 : 8);
    }
    void* memory = mmap(nullptr, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(memory, 1, 1 << 16);
    munmap(memory, 1 << 16);
    usleep(1); // the way to sleep by a timer, which has functions of its own
    CHECK_EQ(write(fds[1], "x", 1), 1);
    int status = 0;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(code_of(status), 7);
    close(fds[0]);
    close(fds[1]);
}

void one_after_another(const std::vector<kprobe::Symbol>& all, size_t step) {
    size_t planted = 0, refused = 0;
    for (size_t i = 0; i < all.size(); i += step) {
        const bool is_return = i / step % 2;
        const int fd = open_at(all[i].address, is_return, int(i / step % 4));
        if (fd < 0) {
            constexpr int linux_not_supported = 524;
            if (errno != EINVAL && errno != EILSEQ && errno != ENOENT && errno != linux_not_supported)
                CHECK_EQ(errno, 0);
            ++refused;
            continue;
        }
        ++planted;
        work();
        close(fd);
    }
    printf("%zu planted, %zu refused\n", planted, refused);
    CHECK(planted > refused / 4);
}

void many_at_once(const std::vector<kprobe::Symbol>& all, size_t wanted) {
    const rlimit limit = {2048, 2048};
    CHECK_OK(setrlimit(RLIMIT_NOFILE, &limit));
    std::vector<int> fds;
    const size_t step = std::max<size_t>(all.size() / (wanted * 2), 1);
    for (size_t i = 0; i < all.size() && fds.size() < wanted; i += step)
        if (const int fd = open_at(all[i].address, false, int(i % 4)); fd >= 0) fds.push_back(fd);
    printf("%zu at once\n", fds.size());
    CHECK(fds.size() > wanted / 2);
    for (int i = 0; i < 20; ++i) work();
    uint64_t hits = 0;
    for (int fd : fds) {
        hits += uprobe::value(fd);
        close(fd);
    }
    CHECK(hits > 0);
    work();
}

} // namespace

int main() {
    type = uprobe::needed_pmu("kprobe");
    std::vector<kprobe::Symbol> all = kprobe::functions();
    proc_text::needs(!all.empty(), "the kernel does not show its functions");
    if (!proc_text::is_linnet()) {
        // Of these nothing is to be feared.
        std::erase_if(all, [](const kprobe::Symbol& symbol) {
            return symbol.name.find("sys_getp") == std::string::npos || symbol.name.find("__x64_") != 0;
        });
        one_after_another(all, 1);
        return result();
    }
    one_after_another(all, getenv("LINNET_LONG") ? 1 : all.size() / 100);
    many_at_once(all, getenv("LINNET_LONG") ? 1000 : 100);
    return result();
}
