// Eight threads of one process map, unmap, protect, move, drop, write and fork, each in windows that share last-level
// page tables with its neighbours' and with a model of what is its own; children of any of them compare with the model
// of their parent's thread and write; one more thread reads /proc/self/maps and checks that it makes sense. Twenty
// seconds, or with --long some minutes. Least Linux: 4.17 (MAP_FIXED_NOREPLACE).
//
// needs-linux: 4.17
#include "asleep.hpp"
#include "memory.hpp"
#include <csetjmp>
#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>

namespace {

using memory::page;
using memory::span;

constexpr unsigned workers = 8;
constexpr size_t window_pages = 24; // each worker has one over each edge between tables
constexpr size_t windows = 3;
constexpr size_t pages = window_pages * windows;
std::atomic<bool> started{false}, stop{false};
std::atomic<long> steps{0}, forks{0}, readings{0};
std::atomic<bool> any_wrong{false};
thread_local sigjmp_buf back;
thread_local volatile bool armed;
char* base;

void on_fault(int signal, siginfo_t* info, void*) {
    if (!armed) {
        char text[80];
        int length =
            snprintf(text, sizeof text, "stray signal %d, code %d at %p\n", signal, info->si_code, info->si_addr);
        (void)!write(1, text, size_t(length));
        _exit(3);
    }
    siglongjmp(back, 1 + info->si_code);
}

struct Page {
    int8_t prot; // -1: not mapped
    uint8_t value;
};

struct Worker {
    memory::Random random{0};
    unsigned number;
    Page* model; // in shared memory: a wrong copy can't change it
    Page* snapshot;

    char* place(size_t at) {
        size_t window = at / window_pages, inside = at % window_pages;
        // Around the edge behind table `window`, the workers' windows side by side.
        char* edge = base + (window + 1) * span;
        return edge + (long(number * window_pages + inside) - long(workers * window_pages / 2)) * long(page);
    }
    void wrong(const char* what, size_t at, int seen) {
        if (!any_wrong.exchange(true))
            printf("worker %u: %s at page %zu (%p): %d, model value %d prot %d\n", number, what, at,
                   static_cast<void*>(place(at)), seen, model[at].value, model[at].prot);
    }

    /// The byte there, or minus the code of the fault.
    int load(size_t at) {
        armed = true;
        volatile int value = sigsetjmp(back, 1);
        if (value == 0)
            value = static_cast<volatile unsigned char*>(static_cast<void*>(place(at)))[9];
        else
            value = 1 - value;
        armed = false;
        return value;
    }
    void look(size_t at) {
        int seen = load(at);
        int wanted = model[at].prot < 0 ? -SEGV_MAPERR : model[at].prot == 0 ? -SEGV_ACCERR : model[at].value;
        if (seen != wanted) wrong("a look", at, seen);
    }
    void store(size_t at) {
        if (model[at].prot <= 0 || !(model[at].prot & PROT_WRITE)) return look(at);
        uint8_t value = uint8_t(random.next());
        if (random.below(4) == 0) {
            iovec here{&value, 1}, there{place(at) + 9, 1};
            if (process_vm_writev(getpid(), &here, 1, &there, 1, 0) != 1) wrong("writev", at, errno);
        } else
            place(at)[9] = char(value);
        model[at].value = value;
    }
    void set(size_t first, size_t count, Page to) {
        for (size_t at = first; at < first + count; at++) model[at] = to;
    }
    bool whole(size_t first, size_t count) {
        for (size_t at = first; at < first + count; at++)
            if (model[at].prot < 0) return false;
        return true;
    }

    void move(size_t from, size_t to) {
        if (model[from].prot < 0 || from == to) return;
        if (mremap(place(from), page, page, MREMAP_MAYMOVE | MREMAP_FIXED, place(to)) != place(to))
            return wrong("mremap", from, errno);
        model[to] = model[from];
        model[from] = {-1, 0};
    }

    /// The child compares with a copy of the model from the moment of the fork, writes, and compares again.
    void fork_one() {
        memcpy(snapshot, model, pages * sizeof(Page));
        pid_t child = fork();
        if (child == 0) {
            model = snapshot;
            any_wrong = false;
            for (size_t at = 0; at < pages; at++) look(at);
            for (size_t i = 0; i < 20; i++) store(random.below(pages));
            for (size_t i = 0; i < 4; i++) change();
            for (size_t at = 0; at < pages; at++) look(at);
            fflush(stdout);
            _exit(any_wrong ? 1 : 0);
        }
        if (child < 0) return wrong("fork", 0, errno);
        for (size_t i = 0; i < 20; i++) store(random.below(pages));
        int status = -1;
        waitpid(child, &status, 0);
        if (status != 0) wrong("a child", 0, status);
        for (size_t at = 0; at < pages; at++) look(at);
        forks++;
    }

    void change() {
        size_t window = random.below(windows) * window_pages, inside = random.below(window_pages);
        size_t first = window + inside,
               count = 1 + random.below(std::min<uint32_t>(8, uint32_t(window_pages - inside)));
        static const int rights[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE};
        int prot = rights[random.below(4)], flags = MAP_PRIVATE | MAP_ANONYMOUS;
        switch (random.below(6)) {
        case 0:
            if (munmap(place(first), count * page) != 0) wrong("munmap", first, errno);
            set(first, count, {-1, 0});
            break;
        case 1:
            // Where nothing is, nothing but our own call can have put something.
            if (model[first].prot < 0) {
                if (mmap(place(first), page, prot, flags | 0x100000 /* MAP_FIXED_NOREPLACE */, -1, 0) != place(first))
                    wrong("mmap of a hole", first, errno);
                set(first, 1, {int8_t(prot), 0});
            }
            break;
        case 2:
            if (mmap(place(first), count * page, prot, flags | MAP_FIXED, -1, 0) != place(first))
                wrong("mmap", first, errno);
            set(first, count, {int8_t(prot), 0});
            break;
        case 3:
            if (!whole(first, count)) break;
            if (mprotect(place(first), count * page, prot) != 0) wrong("mprotect", first, errno);
            for (size_t at = first; at < first + count; at++) model[at].prot = int8_t(prot);
            break;
        case 4:
            if (!whole(first, count)) break;
            if (madvise(place(first), count * page, MADV_DONTNEED) != 0) wrong("MADV_DONTNEED", first, errno);
            for (size_t at = first; at < first + count; at++) model[at].value = 0;
            break;
        default:
            move(first, random.below(pages));
        }
    }

    void step() {
        unsigned what = random.below(64);
        if (what == 0)
            fork_one();
        else if (what < 16)
            change();
        else if (what < 40)
            store(random.below(pages));
        else
            look(random.below(pages));
        steps++;
    }
};

void* work(void* argument) {
    auto* worker = static_cast<Worker*>(argument);
    while (!started) sched_yield();
    while (!stop && !any_wrong) worker->step();
    return nullptr;
}

/// Every line ends above the one before. (It may begin below that one's end: mappings merge while the file is read.)
void* read_maps(void*) {
    static char buffer[1 << 18];
    while (!stop && !any_wrong) {
        int fd = open("/proc/self/maps", O_RDONLY);
        size_t size = 0;
        for (ssize_t got; (got = read(fd, buffer + size, sizeof buffer - 1 - size)) > 0;) size += size_t(got);
        close(fd);
        buffer[size] = 0;
        unsigned long before = 0, from, to;
        for (char* line = buffer; *line; line = strchrnul(line, '\n') + (*strchrnul(line, '\n') == '\n')) {
            char* end;
            from = strtoul(line, &end, 16), to = strtoul(end + 1, nullptr, 16);
            if (to <= before || to <= from || *end != '-') {
                if (!any_wrong.exchange(true)) printf("/proc/self/maps: %.60s behind %#lx\n", line, before);
                break;
            }
            before = to;
        }
        readings++;
    }
    return nullptr;
}

} // namespace

int main() {
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
    base = memory::reserve_aligned((windows + 1) * span);
    auto* models = reinterpret_cast<Page*>(memory::map(2 * workers * pages * sizeof(Page), MAP_SHARED));
    static Worker all[workers];
    pthread_t threads[workers], reader;
    for (unsigned i = 0; i < workers; i++) {
        all[i].number = i;
        all[i].random = memory::Random(i + 1);
        all[i].model = models + 2 * i * pages;
        all[i].snapshot = all[i].model + pages;
        all[i].set(0, pages, {-1, 0});
    }
    for (unsigned i = 0; i < workers; i++) CHECK_EQ(pthread_create(&threads[i], nullptr, work, &all[i]), 0);
    CHECK_EQ(pthread_create(&reader, nullptr, read_maps, nullptr), 0);
    // From here on nobody maps where the kernel pleases: what is not mapped stays so.
    munmap(base, (windows + 1) * span);
    started = true;
    double end = memory::now() + memory::seconds(20, 240);
    (void)check::eventually([&] { return bool(any_wrong); },
                            end - memory::now()); // the storm's duration, cut short by the first error
    stop = true;
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    pthread_join(reader, nullptr);
    for (Worker& worker : all)
        for (size_t at = 0; at < pages; at++) worker.look(at);
    CHECK(!any_wrong);
    printf("%ld steps, %ld forks, %ld readings\n", steps.load(), forks.load(), readings.load());
    CHECK(forks > 0 && steps > 0 && readings > 0);
    return check::result();
}
