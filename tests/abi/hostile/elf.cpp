// timeout: 180
// Hostile programs (execve(2), elf(5)): files that are none, single absurd header fields, and a thousand random changes
// of a small static program. Each is executed in a child: whatever becomes of that one, the kernel goes on, the
// undamaged program still runs, and no memory is lost.
#include "check.hpp"
#include "tiny_elf.hpp"

#include <csignal>
#include <cstdint>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using tiny::Program;

struct Random {
    uint64_t state = 0x9e3779b97f4a7c15;
    uint64_t next() {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        return state;
    }
    uint64_t below(uint64_t bound) { return next() % bound; }
};

int report[2]; // the child's errno of execve comes through here

/// Makes `path` anew with these bytes.
void put(const char* path, const void* bytes, size_t size) {
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, bytes, size), static_cast<ssize_t>(size));
    close(fd);
}

struct Outcome {
    int refused = 0; // errno of execve, if it returned
    int status = 0;  // else what waitpid said
    bool ran() const { return refused == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0; }
};

/// Executes the file in a child that lives for a second at most.
Outcome run(const char* path) {
    Outcome outcome;
    pid_t child = fork();
    if (child == 0) {
        alarm(1);
        rlimit none{0, 0}, little{256ul << 20, 256ul << 20};
        setrlimit(RLIMIT_CORE, &none);
        setrlimit(RLIMIT_AS, &little);
        int silence = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; ++fd) dup2(silence, fd);
        char* const words[] = {const_cast<char*>("tiny"), nullptr};
        execve(path, words, words + 1);
        int error = errno;
        if (write(report[1], &error, sizeof error) != sizeof error) _exit(99);
        _exit(98);
    }
    CHECK(child > 0);
    if (child <= 0) return outcome;
    CHECK_EQ(waitpid(child, &outcome.status, 0), child);
    if (read(report[0], &outcome.refused, sizeof outcome.refused) != sizeof outcome.refused) outcome.refused = 0;
    return outcome;
}

template <typename F>
Outcome run_changed(F change, uint16_t type = ET_EXEC) {
    Program program(type);
    change(program);
    put("changed", &program, sizeof program);
    return run("changed");
}

void files_that_are_none() {
    Random random;
    unsigned char bytes[8192];
    for (unsigned char& byte : bytes) byte = static_cast<unsigned char>(random.next() >> 32);
    bytes[0] = 0x80;
    for (size_t size : {size_t{0}, size_t{1}, size_t{4}, size_t{64}, sizeof bytes}) {
        put("noise", bytes, size);
        CHECK_EQ(run("noise").refused, ENOEXEC);
    }
    memcpy(bytes, ELFMAG, SELFMAG); // the magic number does not make a program of it
    put("noise", bytes, sizeof bytes);
    CHECK_EQ(run("noise").refused, ENOEXEC);
    Program program;
    for (size_t size : {size_t{4}, size_t{63}, size_t{64}, size_t{65}, size_t{119}}) {
        put("cut", &program, size);
        CHECK(run("cut").refused != 0);
    }
}

void headers() {
    CHECK(run_changed([](Program&) {}).ran());
    CHECK(run_changed([](Program&) {}, ET_DYN).ran());
    CHECK_EQ(run_changed([](Program& p) { p.header.e_type = ET_REL; }).refused, ENOEXEC);
    CHECK_EQ(run_changed([](Program& p) { p.header.e_type = ET_CORE; }).refused, ENOEXEC);
    CHECK_EQ(run_changed([](Program& p) { p.header.e_machine = EM_S390; }).refused, ENOEXEC);
    CHECK_EQ(run_changed([](Program& p) { p.header.e_phnum = 0; }).refused, ENOEXEC);
    CHECK_EQ(run_changed([](Program& p) { p.header.e_phnum = 0xffff; }).refused, ENOEXEC);
    CHECK_EQ(run_changed([](Program& p) { p.header.e_phentsize = 1; }).refused, ENOEXEC);
    for (uint64_t offset : {uint64_t{1} << 20, uint64_t{1} << 62, uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{63}})
        CHECK(run_changed([=](Program& p) { p.header.e_phoff = offset; }).refused != 0);
    // Sections are no business of the kernel's.
    CHECK(run_changed([](Program& p) { p.header.e_shoff = ~0ull, p.header.e_shnum = 0xffff; }).ran());
    // Where a program begins is its own business; it dies of it.
    for (uint64_t entry : {uint64_t{0}, uint64_t{1}, uint64_t{0x7fffffffe000}, uint64_t{1} << 47, uint64_t{1} << 48,
                           uint64_t{1} << 63, uint64_t{0xffff800000000000}, uint64_t{0xffffffff80000000},
                           uint64_t{0x9000000000200000}, ~uint64_t{0}, ~uint64_t{0} << 12}) {
        Outcome outcome = run_changed([=](Program& p) { p.header.e_entry = entry; });
        CHECK(outcome.refused != 0 || WIFSIGNALED(outcome.status));
    }
}

void segments() {
    auto dies = [](auto change) { return !run_changed(change).ran() && !run_changed(change, ET_DYN).ran(); };
    CHECK(dies([](Program& p) { p.segments[0].p_type = PT_NULL, p.segments[1].p_type = PT_NULL; }));
    CHECK(dies([](Program& p) { p.segments[0].p_memsz = p.segments[0].p_filesz - 1; }));
    CHECK(dies([](Program& p) { p.segments[1].p_memsz = ~uint64_t{0}; }));
    CHECK(dies([](Program& p) { p.segments[1].p_memsz = uint64_t{1} << 46; })); // larger than the limit
    CHECK(dies([](Program& p) { p.segments[1].p_filesz = ~uint64_t{0}; }));
    CHECK(dies([](Program& p) { p.segments[1].p_vaddr = ~uint64_t{0xffff}; }));
    CHECK(dies([](Program& p) { p.segments[1].p_vaddr = uint64_t{0xffff800000000000} + offsetof(Program, data); }));
    CHECK(dies([](Program& p) { p.segments[0].p_offset = 1; })); // not congruent
    CHECK(dies([](Program& p) { p.segments[0].p_offset = uint64_t{1} << 63; }));
    CHECK(dies([](Program& p) { p.segments[0].p_offset = ~uint64_t{0xffff}; }));
    CHECK(dies([](Program& p) { p.segments[0].p_flags = 0; })); // nothing to execute
    // What may end either way.
    auto survives = [](auto change) { run_changed(change), run_changed(change, ET_DYN); };
    survives([](Program& p) { p.segments[1].p_vaddr = p.segments[0].p_vaddr + offsetof(Program, data); }); // overlap
    survives([](Program& p) { p.segments[1] = p.segments[0]; });
    survives([](Program& p) { p.segments[1].p_memsz = 64ul << 20; });
    survives([](Program& p) { p.segments[1].p_filesz = 1ul << 20; }); // beyond the end of the file
    survives([](Program& p) { p.segments[0].p_vaddr = 0; });
    survives([](Program& p) { p.segments[1].p_flags = PF_R; }); // zeros go into a read-only page
    for (uint64_t alignment :
         {uint64_t{0}, uint64_t{1}, uint64_t{3}, uint64_t{1} << 30, uint64_t{1} << 47, uint64_t{1} << 63, ~uint64_t{0}})
        survives([=](Program& p) { p.segments[0].p_align = p.segments[1].p_align = alignment; });
}

void interpreters() {
    auto with = [](const char* path, size_t size, uint64_t offset = offsetof(Program, data)) {
        return run_changed([=](Program& p) {
            memcpy(p.data, path, strlen(path) + 1);
            p.segments[2].p_type = PT_INTERP;
            p.segments[2].p_offset = offset, p.segments[2].p_filesz = size;
        });
    };
    put("script", "#!/bin/sh\n", 10);
    CHECK_EQ(with("/nowhere", 9).refused, ENOENT);
    CHECK_EQ(with("/tmp", 5).refused, EACCES);
    CHECK_EQ(with("/nowhere", 8).refused, ENOEXEC); // without its NUL
    CHECK_EQ(with("/nowhere", 0).refused, ENOEXEC);
    CHECK_EQ(with("/nowhere", 1).refused, ENOEXEC);
    CHECK_EQ(with("/nowhere", 4097).refused, ENOEXEC);
    CHECK(with("/nowhere", 9, 1 << 20).refused != 0); // beyond the end
    CHECK(with("/nowhere", 9, ~uint64_t{0}).refused != 0);
    CHECK(with("/nowhere", 9, ~uint64_t{0} >> 1).refused != 0);
    CHECK(with("script", 7).refused != 0); // an interpreter must be a program itself
    // A program may interpret itself: it is mapped twice at one place, or begins there.
    with("changed", 8);
}

/// Random changes of header and segments, one to six at a time, and random cuts.
void random_changes(int count) {
    static const uint64_t telling[] = {0,          1,          2,          3,
                                       4,          6,          7,          0xff,
                                       0x100,      0xfff,      0x1000,     0xffff,
                                       0x10000,    0x400000,   0x7fffffff, 0x80000000,
                                       0xffffffff, 1ull << 32, 1ull << 46, (1ull << 47) - 0x10000,
                                       1ull << 47, 1ull << 48, 1ull << 62, (1ull << 63) - 1,
                                       1ull << 63, ~0xffffull, ~0ull};
    Random random;
    for (int i = 0; i < count; ++i) {
        Program program(i % 3 ? ET_EXEC : ET_DYN);
        unsigned char bytes[sizeof program];
        memcpy(bytes, &program, sizeof bytes);
        const size_t headers_size = offsetof(Program, text);
        for (uint64_t changes = random.below(6) + 1; changes > 0; --changes) {
            size_t at = sizeof program.header.e_ident + random.below(headers_size - sizeof program.header.e_ident);
            uint64_t value = telling[random.below(sizeof telling / sizeof *telling)];
            switch (random.below(4)) {
            case 0:
                bytes[at] ^= static_cast<unsigned char>(1u << random.below(8));
                break;
            case 1:
                memcpy(bytes + (at & ~size_t{3}), &value, 4);
                break;
            case 2:
                at &= ~size_t{7}, memcpy(bytes + at, &value, headers_size - at < 8 ? 4 : 8);
                break;
            default:
                memmove(bytes + (at & ~size_t{7}), bytes + 24 + random.below(24) * 8, 4);
                break;
            }
        }
        put("changed", bytes, random.below(8) ? sizeof bytes : random.below(sizeof bytes));
        Outcome outcome = run("changed");
        CHECK(outcome.refused >= 0 && outcome.refused < 4096);
        CHECK(!(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 99));
    }
}

/// QEMU's LoongArch CPU is fragile: some instructions (dbcl, misaligned ll) end QEMU itself.
bool cpu_survives_everything() {
    utsname name;
    uname(&name);
    return strcmp(name.machine, "loongarch64") != 0;
}

/// Both kinds of damage are in one page of code, so this is about the CPU: random instructions.
void random_code(int count) {
    Random random;
    for (int i = 0; i < count; ++i) {
        run_changed([&](Program& p) {
            for (uint32_t& word : p.text) word = static_cast<uint32_t>(random.next() >> 16);
        });
    }
}

long free_kilobytes() {
    char text[4096] = {};
    int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) <= 0) return -1;
    close(fd);
    const char* line = strstr(text, "MemFree:");
    return line ? strtol(line + 8, nullptr, 10) : -1;
}

} // namespace

int main() {
    char folder[] = "/tmp/elfXXXXXX";
    CHECK(mkdtemp(folder) && chdir(folder) == 0);
    CHECK_EQ(pipe2(report, O_CLOEXEC | O_NONBLOCK), 0);
    const bool is_long = getenv("LINNET_LONG") != nullptr;
    files_that_are_none();
    headers();
    segments();
    interpreters();
    random_changes(100); // caches are filled now
    long before = free_kilobytes();
    random_changes(is_long ? 30'000 : 1000);
    if (cpu_survives_everything()) random_code(is_long ? 3000 : 50);
    long after = free_kilobytes();
    CHECK(before > 0 && after > 0);
    // An address space that stays behind is some forty KiB; Linux's own caches still grow by half of that here.
    const long allowed = 24 * 1000;
    if (before - after > allowed) printf("free before: %ld KiB, after: %ld KiB\n", before, after);
    CHECK(before - after <= allowed);
    CHECK(run_changed([](Program&) {}).ran());
    for (const char* name : {"changed", "noise", "cut", "script"}) unlink(name);
    CHECK_EQ(rmdir(folder), 0);
    return check::result();
}
