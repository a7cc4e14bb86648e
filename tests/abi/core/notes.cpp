// The notes of a core file (core(5), elf(5)): their order, every thread with its registers, and what they tell of the
// process; and the program headers of all mappings.
// timeout: 120
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/syscall.h>

#include "core_file.hpp"
#include "machine.hpp"

using namespace core_file;

namespace {

constexpr int thread_count = 4, register_count = 9;

#if defined(__x86_64__)
constexpr int places[register_count] = {0, 1, 2, 3, 5, 6, 7, 8, 9}; // r15 … r12, rbx, r11 … r8
constexpr int pc_place = 16;
constexpr size_t vector_offset = 160;
#define LOAD_REGISTERS                                                                                                 \
    "movq (%%rdi), %%r15; movq 8(%%rdi), %%r14; movq 16(%%rdi), %%r13; movq 24(%%rdi), %%r12; movq 32(%%rdi), %%rbx;"  \
    "movq 40(%%rdi), %%r11; movq 48(%%rdi), %%r10; movq 56(%%rdi), %%r9; movq 64(%%rdi), %%r8; movl $1, (%%rsi);"
#define FIRST "D"
#define SECOND "S"
#define SPIN "1: jmp 1b"
#define TRAP "ud2"
#elif defined(__aarch64__)
constexpr int places[register_count] = {19, 20, 21, 22, 23, 24, 25, 26, 27};
constexpr int pc_place = 32;
constexpr size_t vector_offset = 0;
#define LOAD_REGISTERS                                                                                                 \
    "mov x0, %0; mov x1, %1; ldp x19, x20, [x0]; ldp x21, x22, [x0, 16]; ldp x23, x24, [x0, 32];"                      \
    "ldp x25, x26, [x0, 48]; ldr x27, [x0, 64]; mov w2, 1; str w2, [x1];"
#define FIRST "r"
#define SECOND "r"
#define SPIN "1: b 1b"
#define TRAP "udf 0"
#elif defined(__riscv)
constexpr int places[register_count] = {18, 19, 20, 21, 22, 23, 24, 25, 26};
constexpr int pc_place = 0;
constexpr size_t vector_offset = 0;
#define LOAD_REGISTERS                                                                                                 \
    "mv t0, %0; mv t1, %1; ld s2, 0(t0); ld s3, 8(t0); ld s4, 16(t0); ld s5, 24(t0); ld s6, 32(t0); ld s7, 40(t0);"    \
    "ld s8, 48(t0); ld s9, 56(t0); ld s10, 64(t0); li t2, 1; sw t2, 0(t1);"
#define FIRST "r"
#define SECOND "r"
#define SPIN "1: j 1b"
#define TRAP ".4byte 0xffffffff"
#elif defined(__loongarch__)
constexpr int places[register_count] = {23, 24, 25, 26, 27, 28, 29, 30, 31};
constexpr int pc_place = 33;
constexpr size_t vector_offset = 0;
#define LOAD_REGISTERS                                                                                                 \
    "move $t0, %0; move $t1, %1; ld.d $s0, $t0, 0; ld.d $s1, $t0, 8; ld.d $s2, $t0, 16; ld.d $s3, $t0, 24;"            \
    "ld.d $s4, $t0, 32; ld.d $s5, $t0, 40; ld.d $s6, $t0, 48; ld.d $s7, $t0, 56; ld.d $s8, $t0, 64;"                   \
    "li.w $t2, 1; st.w $t2, $t1, 0;"
#define FIRST "r"
#define SECOND "r"
#define SPIN "1: b 1b"
#define TRAP ".4byte 0xffffffff"
#endif

struct ThreadPatterns {
    pid_t tid;
    int is_ready; // set by the last instruction before it spins
    uint64_t registers[register_count];
    alignas(16) uint8_t vectors[machine::vector_bytes];
};
struct Shared {
    ThreadPatterns threads[thread_count + 1]; // the last one crashes
    char maps[1 << 15];
    uint64_t auxv[128];
    size_t auxv_size;
    pid_t pid, parent, group, session;
};

void fill(ThreadPatterns& patterns, int number) {
    patterns.tid = pid_t(syscall(SYS_gettid));
    for (int i = 0; i < register_count; ++i)
        patterns.registers[i] = 0x1000'0000'0000u * unsigned(number + 1) + unsigned(i);
    for (size_t i = 0; i < sizeof patterns.vectors; ++i)
        patterns.vectors[i] = uint8_t(37 * i + 11 * unsigned(number) + 5);
}

Shared* everything;

void* spin(void* argument) {
    auto& patterns = *static_cast<ThreadPatterns*>(argument);
    fill(patterns, int(&patterns - everything->threads));
    machine::load_vectors(patterns.vectors);
    asm volatile(LOAD_REGISTERS SPIN ::FIRST(patterns.registers), SECOND(&patterns.is_ready) : "memory");
    return nullptr;
}

[[noreturn]] void trap(ThreadPatterns& patterns) {
    fill(patterns, thread_count);
    machine::load_vectors(patterns.vectors);
    asm volatile(LOAD_REGISTERS TRAP ::FIRST(patterns.registers), SECOND(&patterns.is_ready) : "memory");
    __builtin_unreachable();
}

size_t read_whole(const char* path, void* to, size_t size) {
    const int fd = open(path, O_RDONLY);
    size_t done = 0;
    for (ssize_t count; (count = read(fd, static_cast<char*>(to) + done, size - done)) > 0;) done += size_t(count);
    close(fd);
    return done;
}

void crash_with_threads() {
    for (int i = 0; i < thread_count; ++i) {
        pthread_t thread;
        REQUIRE(pthread_create(&thread, nullptr, spin, &everything->threads[i]) == 0);
    }
    for (int i = 0; i < thread_count; ++i)
        REQUIRE(check::eventually(
            [&] { return __atomic_load_n(&everything->threads[i].is_ready, __ATOMIC_ACQUIRE) != 0; }));
    everything->pid = getpid();
    everything->parent = getppid();
    everything->group = getpgrp();
    everything->session = getsid(0);
    everything->auxv_size = read_whole("/proc/self/auxv", everything->auxv, sizeof everything->auxv);
    read_whole("/proc/self/maps", everything->maps, sizeof everything->maps - 1);
    trap(everything->threads[thread_count]);
}

void check_order(const Core& core) {
    const uint32_t first[] = {NT_PRSTATUS, NT_PRPSINFO, NT_SIGINFO, NT_AUXV, NT_FILE, NT_PRFPREG};
    REQUIRE(core.notes.size() > std::size(first));
    for (size_t i = 0; i < std::size(first); ++i) CHECK_EQ(core.notes[i].type, first[i]);
    for (size_t i = std::size(first); i < core.notes.size(); ++i)
        if (core.notes[i].type == NT_PRSTATUS) CHECK_EQ(core.notes[i + 1].type, NT_PRFPREG);
    for (const Note& note : core.notes) {
        const bool is_common = note.type < 0x100 || note.type == NT_SIGINFO || note.type == NT_FILE;
        CHECK_STREQ(note.name.c_str(), is_common ? "CORE" : "LINUX");
    }
}

void check_threads(const Core& core) {
    int seen = 0;
    for (size_t i = 0; i < core.notes.size(); ++i) {
        if (core.notes[i].type != NT_PRSTATUS) continue;
        CHECK_EQ(core.notes[i].size, sizeof(elf_prstatus));
        const auto& status = *reinterpret_cast<const elf_prstatus*>(core.notes[i].data);
        const ThreadPatterns* patterns = nullptr;
        for (ThreadPatterns& each : everything->threads)
            if (each.tid == status.pr_pid) patterns = &each;
        REQUIRE(patterns);
        CHECK_EQ(patterns == &everything->threads[thread_count], seen == 0);
        ++seen;
        const auto* registers = reinterpret_cast<const uint64_t*>(&status.pr_reg);
        for (int r = 0; r < register_count; ++r) CHECK_EQ(registers[places[r]], patterns->registers[r]);
        CHECK_EQ(status.pr_cursig, SIGILL);
        CHECK_EQ(status.pr_info.si_signo, SIGILL);
        CHECK_EQ(status.pr_ppid, everything->parent);
        CHECK_EQ(status.pr_pgrp, everything->group);
        CHECK_EQ(status.pr_sid, everything->session);
        CHECK_EQ(status.pr_fpvalid, 1);
        CHECK_EQ(status.pr_sighold, 0u);
        size_t next = i + 1;
        while (core.notes[next].type != NT_PRFPREG) ++next;
        CHECK_GE(core.notes[next].size, vector_offset + sizeof patterns->vectors);
        CHECK_EQ(memcmp(core.notes[next].data + vector_offset, patterns->vectors, sizeof patterns->vectors), 0);
#if defined(__x86_64__)
        if (core.notes[next + 1].type == 0x202) {
            const uint8_t* image = core.notes[next + 1].data;
            CHECK_EQ(memcmp(image + vector_offset, patterns->vectors, sizeof patterns->vectors), 0);
            uint64_t components, present;
            memcpy(&components, image + 464, 8);
            memcpy(&present, image + 512, 8);
            CHECK_EQ(components & 3, 3u);
            CHECK_EQ(present & ~components, 0u);
        }
#elif defined(__aarch64__)
        for (; next < core.notes.size() && core.notes[next].type != NT_PRSTATUS; ++next)
            if (core.notes[next].type == 0x401) {
                CHECK_EQ(core.notes[next].size, 16u);
            } else if (core.notes[next].type == 0x405) { // SVE: as much as its header says
                uint32_t size;
                memcpy(&size, core.notes[next].data, 4);
                CHECK_EQ(core.notes[next].size, size);
            }
#elif defined(__loongarch__)
        CHECK_EQ(core.notes[next].size, 268u); // without what the structure has behind its last register
        for (; next < core.notes.size() && core.notes[next].type != NT_PRSTATUS; ++next) {
            if (core.notes[next].type != 0xa02) continue; // LSX, of which only the lower halves were used
            uint64_t halves[2];
            memcpy(halves, core.notes[next].data, 16);
            CHECK_EQ(memcmp(halves, patterns->vectors, 8), 0);
        }
#endif
    }
    CHECK_EQ(seen, thread_count + 1);
}

void check_process(const Core& core) {
    const Note* note = core.find(NT_PRPSINFO);
    REQUIRE(note && note->size == sizeof(elf_prpsinfo));
    const auto& info = *reinterpret_cast<const elf_prpsinfo*>(note->data);
    CHECK_EQ(info.pr_sname, 'R');
    CHECK_EQ(info.pr_pid, everything->pid);
    CHECK_EQ(info.pr_ppid, everything->parent);
    CHECK_EQ(info.pr_pgrp, everything->group);
    CHECK_EQ(info.pr_sid, everything->session);
    CHECK_EQ(info.pr_uid, getuid());
    char name[32] = {};
    read_whole("/proc/self/comm", name, sizeof name - 1);
    *strchrnul(name, '\n') = 0;
    CHECK_STREQ(info.pr_fname, name);
    char arguments[81] = {};
    const size_t size = read_whole("/proc/self/cmdline", arguments, 79);
    for (size_t i = 0; i < size; ++i)
        if (!arguments[i]) arguments[i] = ' ';
    CHECK_EQ(memcmp(info.pr_psargs, arguments, size), 0);

    note = core.find(NT_SIGINFO);
    REQUIRE(note && note->size == sizeof(siginfo_t));
    const auto& signal = *reinterpret_cast<const siginfo_t*>(note->data);
    CHECK_EQ(signal.si_signo, SIGILL);
    CHECK_GT(signal.si_code, 0);
    const auto& status = *core.threads().front();
    if (machine::undefined_has_details)
        CHECK_EQ(uint64_t(signal.si_addr), reinterpret_cast<const uint64_t*>(&status.pr_reg)[pc_place]);

    note = core.find(NT_AUXV);
    REQUIRE(note);
    CHECK_EQ(note->size, everything->auxv_size);
    CHECK_EQ(memcmp(note->data, everything->auxv, note->size), 0);
}

/// Every line of maps is a program header, and every file of it in NT_FILE.
void check_mappings(const Core& core) {
    const Note* note = core.find(NT_FILE);
    REQUIRE(note);
    uint64_t head[2];
    memcpy(head, note->data, sizeof head);
    CHECK_EQ(head[1], uint64_t(sysconf(_SC_PAGESIZE)));
    const auto* entries = reinterpret_cast<const uint64_t*>(note->data) + 2;
    const char* name = reinterpret_cast<const char*>(entries + 3 * head[0]);
    uint64_t next_file = 0;
    size_t lines = 0;
    for (char* line = strtok(everything->maps, "\n"); line; line = strtok(nullptr, "\n")) {
        unsigned long begin, end, offset;
        char rights[5], path[200] = "";
        REQUIRE(sscanf(line, "%lx-%lx %4s %lx %*s %*s %199[^\n]", &begin, &end, rights, &offset, path) >= 4);
        if (strstr(path, "[vsyscall]")) continue;
        ++lines;
        const Elf64_Phdr* load = core.load_of(reinterpret_cast<void*>(begin));
        if (!CHECK(load)) continue;
        CHECK_EQ(load->p_vaddr, begin);
        CHECK_EQ(load->p_memsz, end - begin);
        const unsigned flags =
            (rights[0] == 'r' ? PF_R : 0u) | (rights[1] == 'w' ? PF_W : 0u) | (rights[2] == 'x' ? PF_X : 0u);
        CHECK_EQ(load->p_flags, flags);
        if (strstr(path, "[vdso]") || strstr(path, "[vvar")) CHECK_EQ(load->p_filesz, load->p_memsz);
        if (path[0] != '/') continue;
        if (!CHECK_LT(next_file, head[0])) continue;
        CHECK_EQ(entries[3 * next_file], begin);
        CHECK_EQ(entries[3 * next_file + 1], end);
        CHECK_EQ(entries[3 * next_file + 2] * head[1], offset);
        CHECK_STREQ(name, path);
        name += strlen(name) + 1;
        ++next_file;
    }
    CHECK_EQ(next_file, head[0]);
    CHECK_GT(lines, 5u);
    CHECK_GE(core.loads.size(), lines);
}

} // namespace

int main() {
    Place place;
    everything = check::shared<Shared>();
    const int status = crash(crash_with_threads);
    CHECK(dumped_by(status, SIGILL));
    const Core core("core");
    REQUIRE(core.is_core());
    CHECK(core.is_whole());
    CHECK_EQ(core.header().e_ident[EI_CLASS], ELFCLASS64);
    CHECK_EQ(core.header().e_phentsize, sizeof(Elf64_Phdr));
    check_order(core);
    check_threads(core);
    check_process(core);
    check_mappings(core);
    struct stat file;
    REQUIRE(stat("core", &file) == 0);
    CHECK_EQ(file.st_mode, S_IFREG | 0600u);
    return check::result();
}
