// needs-linux: 5.17
//
// Memory policies of a machine with one node (set_mempolicy(2), mbind(2), get_mempolicy(2),
// set_mempolicy_home_node(2)): kept for threads and mappings, shown by numa_maps, inherited by fork and threads, kept
// by execve. And the calls that move pages between nodes (move_pages(2), migrate_pages(2)), with nowhere to move them.
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "asleep.hpp"
#include "proc_text.hpp"

using namespace check;

namespace {

enum : int { DEFAULT, PREFERRED, BIND, INTERLEAVE, LOCAL, PREFERRED_MANY };
constexpr int static_nodes = 1 << 15, relative_nodes = 1 << 14;
constexpr unsigned long by_node = 1, by_address = 2, allowed = 4;
constexpr unsigned strict = 1, move = 2, move_all = 4;

using Mask = unsigned long;

long set_policy(int mode, Mask nodes = 0, unsigned long bits = 65) {
    return syscall(SYS_set_mempolicy, mode, nodes ? &nodes : nullptr, nodes ? bits : 0);
}
long bind(void* address, size_t length, int mode, Mask nodes = 0, unsigned flags = 0) {
    return syscall(SYS_mbind, address, length, mode, nodes ? &nodes : nullptr, nodes ? 65ul : 0ul, flags);
}
long get(int* mode, Mask* nodes, unsigned long bits, const void* address, unsigned long flags) {
    return syscall(SYS_get_mempolicy, mode, nodes, bits, address, flags);
}
int policy() {
    int mode = -1;
    CHECK_EQ(get(&mode, nullptr, 0, nullptr, 0), 0);
    return mode;
}
Mask nodes() {
    Mask found = ~0ul;
    CHECK_EQ(get(nullptr, &found, 65, nullptr, 0), 0);
    return found;
}
int policy_at(const void* address) {
    int mode = -1;
    CHECK_EQ(get(&mode, nullptr, 0, address, by_address), 0);
    return mode;
}

size_t page;
char* map(size_t pages) {
    void* made = mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_NE(made, MAP_FAILED);
    return static_cast<char*>(made);
}

const char* program;

void asking() {
    CHECK_EQ(policy(), DEFAULT);
    CHECK_EQ(nodes(), 0ul);
    CHECK_EQ(get(nullptr, nullptr, 0, nullptr, 0), 0); // how libraries ask whether there is any of this
    int mode = -1;
    Mask words[4];
    memset(words, 0xff, sizeof words);
    CHECK_EQ(get(&mode, words, 65, nullptr, allowed), 0);
    CHECK_EQ(mode, 0);
    CHECK_EQ(words[0], 1ul);
    CHECK_EQ(words[1], ~0ul); // so many bits, rounded up to words
    CHECK_EQ(get(&mode, words, 130, nullptr, allowed), 0);
    CHECK_EQ(words[1], 0ul);
    CHECK_EQ(words[2], 0ul);
    CHECK_EQ(words[3], ~0ul);
    words[0] = ~0ul;
    CHECK_EQ(get(&mode, words, 1, nullptr, allowed), 0); // none
    CHECK_EQ(words[0], ~0ul);
    CHECK_ERRNO(get(&mode, words, 0, nullptr, 0), EINVAL);
    CHECK_ERRNO(get(&mode, words, page * 8 + 66, nullptr, 0), EINVAL);
    CHECK_ERRNO(get(&mode, nullptr, 0, nullptr, 8), EINVAL);
    CHECK_ERRNO(get(&mode, nullptr, 0, nullptr, allowed | by_node), EINVAL);
    CHECK_ERRNO(get(&mode, nullptr, 0, nullptr, allowed | by_address), EINVAL);
    CHECK_ERRNO(get(&mode, nullptr, 0, &mode, 0), EINVAL);
    CHECK_ERRNO(get(&mode, nullptr, 0, nullptr, by_address), EFAULT);
    CHECK_ERRNO(get(&mode, nullptr, 0, nullptr, by_node), EINVAL); // not interleaved
    CHECK_ERRNO(get(reinterpret_cast<int*>(8), nullptr, 0, nullptr, 0), EFAULT);
    CHECK_ERRNO(get(nullptr, reinterpret_cast<Mask*>(8), 65, nullptr, 0), EFAULT);
    char* const memory = map(2);
    mode = -1;
    CHECK_EQ(get(&mode, nullptr, 0, memory, by_node | by_address), 0); // which node it is on
    CHECK_EQ(mode, 0);
    CHECK_OK(munmap(memory, 2 * page));
    CHECK_ERRNO(get(&mode, nullptr, 0, memory, by_node | by_address), EFAULT);
}

void of_threads() {
    struct {
        int mode;
        Mask given;
        int error, shown;
        Mask kept;
    } const rows[] = {
        {DEFAULT, 0, 0, DEFAULT, 0},
        {DEFAULT, 1, EINVAL, 0, 0},
        {PREFERRED, 1, 0, PREFERRED, 1},
        {PREFERRED, 0, 0, LOCAL, 0},
        {PREFERRED, 2, EINVAL, 0, 0},
        {BIND, 1, 0, BIND, 1},
        {BIND, 0, EINVAL, 0, 0},
        {BIND, 2, EINVAL, 0, 0},
        {BIND, 3, 0, BIND, 1},
        {INTERLEAVE, 1, 0, INTERLEAVE, 1},
        {INTERLEAVE, 0, EINVAL, 0, 0},
        {LOCAL, 0, 0, LOCAL, 0},
        {LOCAL, 1, EINVAL, 0, 0},
        {PREFERRED_MANY, 1, 0, PREFERRED_MANY, 1},
        {PREFERRED_MANY, 0, EINVAL, 0, 0},
        {BIND | static_nodes, 3, 0, BIND | static_nodes, 3},
        {BIND | static_nodes, 2, EINVAL, 0, 0},
        {BIND | relative_nodes, 2, 0, BIND | relative_nodes, 2},
        {BIND | relative_nodes, 0, EINVAL, 0, 0},
        {BIND | static_nodes | relative_nodes, 1, EINVAL, 0, 0},
        {PREFERRED | static_nodes, 0, EINVAL, 0, 0},
        {LOCAL | static_nodes, 0, EINVAL, 0, 0},
        {DEFAULT | static_nodes, 0, 0, DEFAULT, 0},
        {INTERLEAVE | relative_nodes, 6, 0, INTERLEAVE | relative_nodes, 6},
        {20, 1, EINVAL, 0, 0},
        {BIND | 1 << 12, 1, EINVAL, 0, 0},
        {-1, 1, EINVAL, 0, 0},
    };
    for (const auto& row : rows) {
        CHECK_EQ(set_policy(LOCAL), 0);
        const long result = set_policy(row.mode, row.given);
        const int error = errno;
        bool good = CHECK_EQ(result, row.error ? -1 : 0);
        if (row.error) {
            good = CHECK_EQ(error, row.error) && CHECK_EQ(policy(), LOCAL) && good;
        } else {
            good = CHECK_EQ(policy(), row.shown) && CHECK_EQ(nodes(), row.kept) && good;
        }
        if (!good) printf("… mode %#x, nodes %lx\n", unsigned(row.mode), row.given);
    }
    const Mask one = 1;
    CHECK_EQ(syscall(SYS_set_mempolicy, PREFERRED, &one, 1), 0); // no bits at all
    CHECK_EQ(policy(), LOCAL);
    CHECK_EQ(syscall(SYS_set_mempolicy, BIND, &one, 2), 0);
    CHECK_EQ(policy(), BIND);
    CHECK_ERRNO(syscall(SYS_set_mempolicy, BIND, &one, page * 8 + 66), EINVAL);
    CHECK_ERRNO(syscall(SYS_set_mempolicy, BIND, 8, 65), EFAULT);
    CHECK_EQ(set_policy(INTERLEAVE, 1), 0);
    int next = -1;
    CHECK_EQ(get(&next, nullptr, 0, nullptr, by_node), 0); // where it goes on
    CHECK_EQ(next, 0);
}

void* tell_policy(void*) {
    const long found = policy();
    CHECK_EQ(set_policy(BIND, 1), 0); // its own from now on
    return reinterpret_cast<void*>(found);
}

void inheritance() {
    CHECK_EQ(set_policy(PREFERRED, 1), 0);
    CHECK_EQ(code_of(in_child([] { return policy(); })), PREFERRED);
    pthread_t thread;
    void* found = nullptr;
    CHECK_EQ(pthread_create(&thread, nullptr, tell_policy, nullptr), 0);
    pthread_join(thread, &found);
    CHECK_EQ(reinterpret_cast<long>(found), long(PREFERRED));
    CHECK_EQ(policy(), PREFERRED);
    CHECK_EQ(code_of(in_child([] {
                 execl(program, program, "tell", nullptr);
                 return 99;
             })),
             PREFERRED);
    CHECK_EQ(set_policy(DEFAULT), 0);
}

/// What numa_maps says of the mapping that begins there, up to the next blank.
const char* shown_at(const void* address) {
    static char word[64];
    const char* entry = proc_text::entry_of(proc_text::read_file("/proc/self/numa_maps"), address);
    word[0] = 0;
    if (entry) sscanf(entry, "%*s %63s", word);
    return word;
}

void of_mappings() {
    char* const memory = map(8);
    CHECK_EQ(bind(memory + 2 * page, 2 * page, BIND, 1), 0);
    CHECK_EQ(policy_at(memory), DEFAULT);
    CHECK_EQ(policy_at(memory + 2 * page), BIND);
    CHECK_EQ(policy_at(memory + 3 * page), BIND);
    CHECK_EQ(policy_at(memory + 4 * page), DEFAULT);
    Mask found = ~0ul;
    CHECK_EQ(get(nullptr, &found, 65, memory + 2 * page + 5, by_address), 0);
    CHECK_EQ(found, 1ul);
    CHECK_STREQ(shown_at(memory), "default");
    CHECK_STREQ(shown_at(memory + 2 * page), "bind:0");
    CHECK_STREQ(shown_at(memory + 4 * page), "default");
    // numa_maps shows the thread's own policy where a mapping has none.
    CHECK_EQ(set_policy(INTERLEAVE, 1), 0);
    CHECK_EQ(policy_at(memory), DEFAULT);
    CHECK_EQ(policy_at(memory + 2 * page), BIND);
    CHECK_STREQ(shown_at(memory), "interleave:0");
    CHECK_STREQ(shown_at(memory + 2 * page), "bind:0");
    CHECK_EQ(set_policy(DEFAULT), 0);
    const struct {
        int mode;
        Mask nodes;
        const char* text;
    } texts[] = {{PREFERRED, 1, "prefer:0"},
                 {PREFERRED, 0, "local"},
                 {LOCAL, 0, "local"},
                 {INTERLEAVE, 1, "interleave:0"},
                 {PREFERRED_MANY, 1, "prefer"},
                 {BIND | static_nodes, 3, "bind=static:0"},
                 {INTERLEAVE | relative_nodes, 4, "interleave=relative:0"},
                 {DEFAULT, 0, "default"}};
    for (const auto& row : texts) {
        CHECK_EQ(bind(memory + 5 * page, page, BIND, 1), 0);
        CHECK_EQ(bind(memory + 5 * page, page, row.mode, row.nodes), 0);
        // Where it has become like its neighbours it is part of them.
        CHECK_STREQ(shown_at(memory + (row.mode == DEFAULT ? 4 : 5) * page), row.text);
    }
    // Children get a copy; mremap and mprotect leave it.
    CHECK_EQ(code_of(in_child([&] { return policy_at(memory + 2 * page); })), BIND);
    CHECK_OK(mprotect(memory + 2 * page, page, PROT_READ));
    CHECK_EQ(policy_at(memory + 2 * page), BIND);
    char* const moved = static_cast<char*>(mremap(memory + 3 * page, page, 2 * page, MREMAP_MAYMOVE));
    CHECK_EQ(policy_at(moved), BIND);
    CHECK_EQ(policy_at(moved + page), BIND);
    // What takes its place has none.
    CHECK_OK(mmap(memory + 2 * page, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
    CHECK_EQ(policy_at(memory + 2 * page), DEFAULT);
    CHECK_OK(munmap(moved, 2 * page));
    CHECK_OK(munmap(memory, 8 * page));
}

void refused_bindings() {
    char* const memory = map(8);
    CHECK_OK(munmap(memory + 4 * page, page));
    memory[0] = 1;
    CHECK_ERRNO(bind(memory + 1, page, BIND, 1), EINVAL);
    CHECK_ERRNO(bind(memory, page, BIND, 1, 8), EINVAL);
    CHECK_ERRNO(bind(memory, page, BIND, 0), EINVAL);
    CHECK_ERRNO(bind(memory, page, DEFAULT, 1), EINVAL);
    CHECK_ERRNO(bind(memory, ~page + 1, BIND, 1), EINVAL);
    CHECK_EQ(bind(memory, 0, BIND, 1), 0);
    CHECK_EQ(bind(memory, 0, BIND, 0), 0);
    CHECK_EQ(policy_at(memory), DEFAULT);
    CHECK_EQ(bind(memory, page - 1, BIND, 1, strict | move), 0); // what is there is where it should be
    CHECK_EQ(policy_at(memory), BIND);
    CHECK_EQ(policy_at(memory + page), DEFAULT);
    CHECK_EQ(bind(memory, page, BIND, 1, strict | move_all), 0);
    CHECK_ERRNO(bind(memory, 8 * page, BIND, 1), EFAULT); // a hole
    CHECK_ERRNO(bind(memory + 4 * page, 2 * page, BIND, 1), EFAULT);
    CHECK_ERRNO(bind(memory + 4 * page, page, BIND, 1), EFAULT);
    CHECK_EQ(bind(memory, 8 * page, DEFAULT), 0);
    CHECK_EQ(policy_at(memory), DEFAULT);
    CHECK_EQ(bind(memory + 3 * page, page, LOCAL), 0);
    run_in_child([&] {
        CHECK_OK(setuid(65534));
        CHECK_ERRNO(bind(memory, page, BIND, 1, move_all), EPERM);
        CHECK_EQ(bind(memory, page, BIND, 1, move), 0);
    });
    CHECK_OK(munmap(memory, 8 * page));
}

long set_home(void* address, size_t length, unsigned long node, unsigned long flags = 0) {
    return syscall(SYS_set_mempolicy_home_node, address, length, node, flags);
}

/// /sys says what there is.
void nodes_in_sysfs() {
    const struct {
        const char *name, *text;
    } files[] = {{"online", "0\n"},     {"possible", "0\n"},          {"has_cpu", "0\n"},
                 {"has_memory", "0\n"}, {"has_normal_memory", "0\n"}, {"node0/distance", "10\n"}};
    for (const auto& file : files) {
        char path[100];
        snprintf(path, sizeof path, "/sys/devices/system/node/%s", file.name);
        const char* found = proc_text::read_file(path);
        if (CHECK_NE(found, nullptr)) CHECK_STREQ(found, file.text);
    }
    char cpus[100] = {};
    const char* online = proc_text::read_file("/sys/devices/system/cpu/online");
    if (CHECK_NE(online, nullptr)) strncpy(cpus, online, sizeof cpus - 1);
    CHECK_STREQ(proc_text::read_file("/sys/devices/system/node/node0/cpulist"), cpus);
    unsigned map = 0;
    CHECK_EQ(sscanf(proc_text::read_file("/sys/devices/system/node/node0/cpumap"), "%x", &map), 1);
    CHECK_EQ(map, (1u << sysconf(_SC_NPROCESSORS_ONLN)) - 1);
    const char* memory = proc_text::read_file("/sys/devices/system/node/node0/meminfo");
    const long long total = proc_text::number(memory, "Node 0 MemTotal"),
                    used = proc_text::number(memory, "Node 0 MemUsed");
    const long long unused = proc_text::number(memory, "Node 0 MemFree");
    CHECK_EQ(total, used + unused);
    CHECK_EQ(total, proc_text::meminfo("MemTotal"));
}

void home_nodes() {
    char* const memory = map(4);
    CHECK_ERRNO(set_home(memory, page, 0, 1), EINVAL);
    CHECK_ERRNO(set_home(memory + 1, page, 0), EINVAL);
    CHECK_ERRNO(set_home(memory, page, 1), EINVAL);
    CHECK_ERRNO(set_home(memory, page, ~0ul), EINVAL);
    CHECK_EQ(set_home(memory, 0, 0), 0);
    CHECK_ERRNO(set_home(memory, page, 0), ENOENT); // no policy there
    CHECK_EQ(bind(memory, page, BIND, 1), 0);
    CHECK_EQ(bind(memory + page, page, INTERLEAVE, 1), 0);
    CHECK_EQ(set_home(memory, page, 0), 0);
    CHECK_ERRNO(set_home(memory + page, page, 0), EOPNOTSUPP);
    CHECK_EQ(policy_at(memory), BIND);
    CHECK_OK(munmap(memory, 4 * page));
}

void moving_pages() {
    char* const memory = map(4);
    memory[0] = memory[page] = 1;
    void* pages[] = {memory, memory + page + 3, memory + 2 * page, reinterpret_cast<void*>(8)};
    int places[] = {0, 0, 0, 0}, status[] = {99, 99, 99, 99};
    auto move_pages = [&](int pid, unsigned long count, int* to, int flags) {
        return syscall(SYS_move_pages, pid, count, pages, to, status, flags);
    };
    CHECK_EQ(move_pages(0, 4, nullptr, 0), 0); // only asks
    CHECK_EQ(status[0], 0);
    CHECK_EQ(status[1], 0);
    CHECK(status[2] == -ENOENT || status[2] == -EFAULT); // nothing there; EFAULT since Linux 6.12 or so
    CHECK_EQ(status[3], -EFAULT);
    status[0] = 99;
    CHECK_EQ(move_pages(getpid(), 1, places, int(move)), 0);
    CHECK_EQ(status[0], 0);
    CHECK_EQ(move_pages(0, 0, places, int(move)), 0);
    places[0] = 1;
    CHECK_ERRNO(move_pages(0, 1, places, int(move)), ENODEV);
    places[0] = -1;
    CHECK_ERRNO(move_pages(0, 1, places, int(move)), ENODEV);
    CHECK_ERRNO(move_pages(0, 1, places, 1), EINVAL);
    CHECK_ERRNO(move_pages(0, 1, places, 8), EINVAL);
    CHECK_ERRNO(move_pages(0x3fffffff, 1, nullptr, 0), ESRCH);
    CHECK_ERRNO(syscall(SYS_move_pages, 0, 1, 8, nullptr, status, 0), EFAULT);
    CHECK_ERRNO(syscall(SYS_move_pages, 0, 1, pages, 8, status, move), EFAULT);
    CHECK_ERRNO(syscall(SYS_move_pages, 0, 1, pages, nullptr, 8, 0), EFAULT);
    run_in_child([&] {
        const pid_t parent = getppid();
        CHECK_OK(setuid(65534));
        CHECK_ERRNO(move_pages(0, 1, nullptr, int(move_all)), EPERM);
        CHECK_ERRNO(move_pages(parent, 1, nullptr, 0), EPERM);
        CHECK_ERRNO(move_pages(1, 1, nullptr, int(move)), EPERM);
    });
    CHECK_OK(munmap(memory, 4 * page));
}

void migration() {
    Mask here = 1, elsewhere = 2;
    auto migrate = [](int pid, Mask* from, Mask* to) { return syscall(SYS_migrate_pages, pid, 65, from, to); };
    CHECK_EQ(migrate(0, &here, &here), 0);
    CHECK_EQ(migrate(getpid(), &elsewhere, &here), 0);
    CHECK_EQ(migrate(0, nullptr, &here), 0);
    CHECK_ERRNO(migrate(0, &here, nullptr), EINVAL);
    CHECK_ERRNO(migrate(0, &here, &elsewhere), EINVAL);
    CHECK_ERRNO(migrate(0x3fffffff, &here, &here), ESRCH);
    CHECK_ERRNO(migrate(0, reinterpret_cast<Mask*>(8), &here), EFAULT);
    CHECK_ERRNO(syscall(SYS_migrate_pages, 0, page * 8 + 66, &here, &here), EINVAL);
    run_in_child([&] {
        CHECK_OK(setuid(65534));
        CHECK_EQ(migrate(0, &here, &here), 0);
        CHECK_ERRNO(migrate(1, &here, &here), EPERM);
    });
}

} // namespace

int main(int count, char** arguments) {
    if (count > 1 && !strcmp(arguments[1], "tell")) return policy();
    page = size_t(sysconf(_SC_PAGESIZE));
    char self[256] = {};
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    program = self;
    asking();
    nodes_in_sysfs();
    run_in_child(of_threads);
    inheritance();
    of_mappings();
    refused_bindings();
    home_nodes();
    moving_pages();
    migration();
    return result();
}
