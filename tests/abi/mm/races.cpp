// Threads that map, unmap, protect, move, fault and fork in one address space, each with a model of the part it owns,
// while others read /proc/self/maps. Runs a few seconds. Least Linux: 2.6.
#include "check.hpp"
#include <csetjmp>
#include <csignal>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

namespace {

const size_t page = size_t(sysconf(_SC_PAGESIZE));
constexpr int workers = 6;
constexpr size_t pages = 48;
constexpr int seconds = 4;
std::atomic<bool> stop{false};
std::atomic<long> steps{0};
thread_local sigjmp_buf back;
thread_local volatile bool armed;

void on_fault(int signal, siginfo_t* info, void*) {
    if (!armed) {
        char text[80];
        int length = snprintf(text, sizeof text, "stray signal %d at %p\n", signal, info->si_addr);
        (void)!write(1, text, size_t(length));
        _exit(3);
    }
    siglongjmp(back, 1);
}

struct Page {
    int prot = -1; // not mapped
    unsigned char value = 0;
};

struct Worker {
    unsigned seed;
    char* base;
    Page model[pages];
    bool wrong = false;

    unsigned draw(unsigned bound) {
        seed = seed * 1664525u + 1013904223u;
        return (seed >> 10) % bound;
    }
    void expect(bool holds, const char* what, size_t i) {
        if (holds) return;
        if (!wrong) printf("%s at page %zu of %p\n", what, i, static_cast<void*>(base));
        wrong = true;
    }

    void look(size_t i) {
        volatile unsigned char value = 0;
        bool faulted = false;
        armed = true;
        if (sigsetjmp(back, 1) == 0)
            value = static_cast<unsigned char>(base[i * page + 5]);
        else
            faulted = true;
        armed = false;
        bool readable = model[i].prot > 0;
        expect(faulted == !readable, readable ? "readable page faulted" : "unreadable page could be read", i);
        if (readable && !faulted) expect(value == model[i].value, "wrong contents", i);
    }
    void store(size_t i) {
        if (model[i].prot <= 0 || !(model[i].prot & PROT_WRITE)) return look(i);
        base[i * page + 5] = char(model[i].value = static_cast<unsigned char>(draw(256)));
    }
    void step() {
        size_t first = draw(pages), count = 1 + draw(unsigned(pages - first) < 8 ? unsigned(pages - first) : 8);
        char* place = base + first * page;
        static const int rights[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE};
        int prot = rights[draw(4)];
        switch (draw(12)) {
        case 0:
        case 1: {
            void* got = mmap(place, count * page, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            expect(got == place, "mmap failed", first);
            for (size_t i = first; i < first + count; i++) model[i] = {prot, 0};
            break;
        }
        case 2: {
            bool whole = true;
            for (size_t i = first; i < first + count; i++) whole &= model[i].prot >= 0;
            if (!whole) break;
            expect(mprotect(place, count * page, prot) == 0, "mprotect failed", first);
            for (size_t i = first; i < first + count; i++) model[i].prot = prot;
            break;
        }
        case 3:
            for (size_t i = first; i < first + count; i++)
                if (model[i].prot < 0) return;
            expect(madvise(place, count * page, MADV_DONTNEED) == 0, "madvise failed", first);
            for (size_t i = first; i < first + count; i++) model[i].value = 0;
            break;
        case 4: {
            // A hole for a moment would be somebody else's to take: it is made inaccessible instead.
            void* got = mmap(place, count * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            expect(got == place, "mmap failed", first);
            for (size_t i = first; i < first + count; i++) model[i] = {PROT_NONE, 0};
            break;
        }
        case 5: {
            void* other = mmap(nullptr, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            expect(other != MAP_FAILED, "mmap failed", first);
            static_cast<char*>(other)[page] = 1;
            expect(munmap(other, 4 * page) == 0, "munmap failed", first);
            break;
        }
        case 6:
            store(first);
            break;
        default:
            draw(2) ? look(first) : store(first);
        }
        steps++;
    }
};

void* work(void* argument) {
    auto* worker = static_cast<Worker*>(argument);
    while (!stop && !worker->wrong) worker->step();
    return nullptr;
}

void* read_maps(void*) {
    static char buffer[1 << 16];
    while (!stop) {
        int fd = open("/proc/self/maps", O_RDONLY);
        if (fd < 0) return nullptr;
        while (read(fd, buffer, sizeof buffer) > 0) {
        }
        close(fd);
    }
    return nullptr;
}

} // namespace

int main() {
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
    static Worker all[workers];
    pthread_t threads[workers], reader;
    for (int i = 0; i < workers; i++) {
        all[i].seed = unsigned(i + 1);
        void* base = mmap(nullptr, pages * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(base != MAP_FAILED);
        all[i].base = static_cast<char*>(base);
        for (Page& entry : all[i].model) entry = {PROT_NONE, 0};
        CHECK_EQ(pthread_create(&threads[i], nullptr, work, &all[i]), 0);
    }
    CHECK_EQ(pthread_create(&reader, nullptr, read_maps, nullptr), 0);
    time_t end = time(nullptr) + seconds;
    int forks = 0;
    while (time(nullptr) < end) {
        pid_t child = fork();
        if (child == 0) _exit(0);
        int status = -1;
        if (child > 0) waitpid(child, &status, 0);
        CHECK_EQ(status, 0);
        forks++;
    }
    stop = true;
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    pthread_join(reader, nullptr);
    for (Worker& worker : all) {
        for (size_t i = 0; i < pages; i++) worker.look(i);
        CHECK(!worker.wrong);
    }
    CHECK(forks > 0 && steps > 0);
    return check::result();
}
