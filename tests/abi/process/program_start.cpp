// What a new program finds: the auxiliary vector against what is known otherwise, different randomness and different
// places each time, how the vDSO and the stack are mapped, and the vectors and names as they were given.
#include <cinttypes>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <sched.h>
#include <set>
#include <string>
#include <sys/auxv.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "asleep.hpp"

using namespace check;

namespace {

char self[256];

/// One line of /proc/self/maps.
struct Mapping {
    uint64_t start = 0, end = 0;
    char rights[8] = "", name[200] = "";
};

/// The mapping for which `wanted(mapping)` holds first; start is 0 when there is none.
template <typename F>
Mapping find_mapping(F wanted) {
    FILE* file = fopen("/proc/self/maps", "r");
    REQUIRE(file);
    char line[512];
    Mapping found;
    while (!found.start && fgets(line, sizeof line, file)) {
        Mapping mapping;
        sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %*s %199s", &mapping.start, &mapping.end, mapping.rights,
               mapping.name);
        if (wanted(mapping)) found = mapping;
    }
    fclose(file);
    return found;
}

Mapping named(const char* name) {
    return find_mapping([name](const Mapping& mapping) { return strcmp(mapping.name, name) == 0; });
}

Mapping around(uint64_t address) {
    return find_mapping(
        [address](const Mapping& mapping) { return mapping.start <= address && address < mapping.end; });
}

int variable = 42;

/// Where things lie in this run, written to descriptor 3 by the child.
struct Places {
    uint64_t stack, mapping, heap, code, vdso, random[2];
};

Places own_places() {
    Places places = {};
    int local;
    places.stack = uint64_t(&local);
    places.mapping = uint64_t(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    places.heap = uint64_t(sbrk(0));
    places.code = uint64_t(getauxval(AT_PHDR));
    places.vdso = uint64_t(getauxval(AT_SYSINFO_EHDR));
    memcpy(places.random, reinterpret_cast<void*>(getauxval(AT_RANDOM)), sizeof places.random);
    return places;
}

Places run_again(bool randomise) {
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
        personality(randomise ? 0 : ADDR_NO_RANDOMIZE);
        dup2(ends[1], 3);
        execl(self, "again", "places", nullptr);
        _exit(1);
    }
    close(ends[1]);
    Places places = {};
    CHECK_EQ(read(ends[0], &places, sizeof places), ssize_t(sizeof places));
    close(ends[0]);
    CHECK_EQ(waitpid(child, nullptr, 0), child);
    return places;
}

void randomness() {
    std::set<uint64_t> stacks, mappings, heaps, vdsos, randoms;
    constexpr unsigned runs = 8;
    for (unsigned i = 0; i < runs; ++i) {
        const Places places = run_again(true);
        stacks.insert(places.stack);
        mappings.insert(places.mapping);
        heaps.insert(places.heap);
        vdsos.insert(places.vdso);
        randoms.insert(places.random[0]);
        randoms.insert(places.random[1]);
    }
    CHECK_GE(stacks.size(), runs - 1);
    CHECK_GE(mappings.size(), runs - 1);
    CHECK_GE(heaps.size(), runs - 1);
    CHECK_GE(vdsos.size(), runs - 1);
    CHECK_EQ(randoms.size(), 2 * runs);
    // Switched off, all lies where it lay; AT_RANDOM stays random.
    const Places one = run_again(false), other = run_again(false);
    CHECK_EQ(one.stack, other.stack);
    CHECK_EQ(one.mapping, other.mapping);
    CHECK_EQ(one.heap, other.heap);
    CHECK_EQ(one.vdso, other.vdso);
    CHECK_NE(one.random[0], other.random[0]);
}

void auxiliary_vector() {
    CHECK_EQ(getauxval(AT_PAGESZ), (unsigned long)sysconf(_SC_PAGESIZE));
    CHECK_EQ(getauxval(AT_UID), getuid());
    CHECK_EQ(getauxval(AT_EUID), geteuid());
    CHECK_EQ(getauxval(AT_GID), getgid());
    CHECK_EQ(getauxval(AT_EGID), getegid());
    CHECK_EQ(getauxval(AT_CLKTCK), (unsigned long)sysconf(_SC_CLK_TCK));
    CHECK_EQ(getauxval(AT_SECURE), 0u);
    CHECK_EQ(getauxval(AT_BASE), 0u); // no interpreter
    CHECK_STREQ((const char*)getauxval(AT_EXECFN), self);
    utsname system;
    CHECK_OK(uname(&system));
    if (const auto* platform = (const char*)getauxval(AT_PLATFORM)) // RISC-V has none
        CHECK_EQ(strncmp(platform, system.machine, strlen(platform)), 0);

    // The program headers are those of the file, mapped.
    const auto* headers = reinterpret_cast<const ElfW(Phdr)*>(getauxval(AT_PHDR));
    const unsigned long count = getauxval(AT_PHNUM);
    CHECK_EQ(getauxval(AT_PHENT), sizeof *headers);
    ElfW(Ehdr) file;
    const int fd = open(self, O_RDONLY);
    CHECK_EQ(read(fd, &file, sizeof file), ssize_t(sizeof file));
    CHECK_EQ(count, file.e_phnum);
    ElfW(Phdr) copies[64];
    REQUIRE(count > 0 && count <= 64);
    CHECK_EQ(pread(fd, copies, count * sizeof *copies, off_t(file.e_phoff)), ssize_t(count * sizeof *copies));
    CHECK_EQ(memcmp(copies, headers, count * sizeof *copies), 0);
    close(fd);
    const uint64_t shift = getauxval(AT_ENTRY) - file.e_entry; // 0 unless the program moves
    CHECK_EQ(shift % getauxval(AT_PAGESZ), 0u);
    for (unsigned long i = 0; i < count; ++i) {
        if (headers[i].p_type != PT_LOAD) continue;
        const Mapping mapping = around(headers[i].p_vaddr + shift);
        CHECK(mapping.start != 0);
        CHECK_STREQ(mapping.name, self);
        CHECK_EQ(mapping.rights[0] == 'r', bool(headers[i].p_flags & PF_R));
        CHECK_EQ(mapping.rights[2] == 'x', bool(headers[i].p_flags & PF_X));
    }

    // The same words as in /proc/self/auxv, ended by AT_NULL.
    const int auxv = open("/proc/self/auxv", O_RDONLY);
    ElfW(auxv_t) entries[64];
    const ssize_t size = read(auxv, entries, sizeof entries);
    close(auxv);
    REQUIRE(size > 0 && size % ssize_t(sizeof entries[0]) == 0);
    unsigned seen = 0;
    std::set<uint64_t> types;
    for (; entries[seen].a_type != AT_NULL && seen < 63; ++seen) {
        if (entries[seen].a_type != AT_HWCAP) // which glibc changes on x86_64
            CHECK_EQ(getauxval(entries[seen].a_type), entries[seen].a_un.a_val);
        CHECK(types.insert(entries[seen].a_type).second);
    }
    CHECK_EQ(entries[seen].a_type, unsigned(AT_NULL));
    for (unsigned long type : {AT_PHDR, AT_PHENT, AT_PHNUM, AT_PAGESZ, AT_BASE, AT_FLAGS, AT_ENTRY, AT_UID, AT_EUID,
                               AT_GID, AT_EGID, AT_SECURE, AT_RANDOM, AT_EXECFN, AT_HWCAP, AT_CLKTCK, AT_SYSINFO_EHDR})
        CHECK(types.count(type) == 1);
}

void places() {
    const Mapping stack = named("[stack]");
    int local;
    CHECK(stack.start <= uint64_t(&local) && uint64_t(&local) < stack.end);
    CHECK_STREQ(stack.rights, "rw-p");
    for (unsigned long type : {AT_RANDOM, AT_EXECFN}) {
        CHECK_GE(getauxval(type), stack.start);
        CHECK_LT(getauxval(type), stack.end);
    }
    const Mapping vdso = named("[vdso]");
    CHECK_EQ(vdso.start, getauxval(AT_SYSINFO_EHDR));
    CHECK_STREQ(vdso.rights, "r-xp");
    CHECK_EQ(memcmp(reinterpret_cast<void*>(vdso.start), ELFMAG, SELFMAG), 0);
    (void)malloc(100); // so that there is a heap
    const Mapping heap = named("[heap]");
    CHECK(heap.start != 0);
    CHECK_STREQ(heap.rights, "rw-p");
    CHECK_LE(heap.end, uint64_t(sbrk(0)) + getauxval(AT_PAGESZ));
    // Nothing is writable and executable at once.
    const Mapping both = find_mapping([](const Mapping& m) { return m.rights[1] == 'w' && m.rights[2] == 'x'; });
    CHECK_EQ(both.start, 0u);
}

/// Argument and environment strings of every length and byte, exactly as given.
void vectors() {
    std::string odd;
    for (int c = 1; c < 256; ++c) odd += char(c);
    const std::string big(100000, 'b');
    char* arguments[] = {(char*)"", (char*)"vectors", (char*)"", odd.data(), (char*)big.data(), nullptr};
    char* environment[] = {(char*)"A=1", (char*)"no equals sign", (char*)"", (char*)"A=2", nullptr};
    const pid_t child = fork();
    if (child == 0) {
        execve(self, arguments, environment);
        _exit(100);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

const char* self_name() {
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    return self;
}

int check_vectors(int count, char** arguments, char** environment) {
    CHECK_EQ(count, 5);
    CHECK_STREQ(arguments[0], "");
    CHECK_STREQ(arguments[2], "");
    CHECK_EQ(strlen(arguments[3]), 255u);
    for (int c = 1; c < 256; ++c) CHECK_EQ((unsigned char)arguments[3][c - 1], c);
    CHECK_EQ(strlen(arguments[4]), 100000u);
    CHECK(arguments[5] == nullptr);
    CHECK_STREQ(environment[0], "A=1");
    CHECK_STREQ(environment[1], "no equals sign");
    CHECK_STREQ(environment[2], "");
    CHECK_STREQ(environment[3], "A=2");
    CHECK(environment[4] == nullptr);
    char text[4096];
    const int fd = open("/proc/self/environ", O_RDONLY);
    const ssize_t size = read(fd, text, sizeof text);
    CHECK_EQ(size, 24);
    CHECK_EQ(memcmp(text, "A=1\0no equals sign\0\0A=2\0", 24), 0);
    close(fd);
    char name[16] = {};
    prctl(PR_GET_NAME, name);
    const char* base = strrchr(self_name(), '/') + 1;
    CHECK_EQ(strncmp(name, base, 15), 0); // of the file, not of argv[0]
    return result();
}

void no_arguments() {
    // An empty argv becomes one empty string (since Linux 5.18).
    const pid_t child = fork();
    if (child == 0) {
        char* nothing[] = {nullptr};
        execve(self, nothing, nothing);
        _exit(100);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 55 << 8);
}

void set_user_id() {
    struct stat info;
    CHECK_OK(stat(self, &info));
    const char* copy = "/tmp/program_start_suid";
    int from = open(self, O_RDONLY), to = open(copy, O_WRONLY | O_CREAT | O_TRUNC, 0700);
    static char block[65536];
    ssize_t count;
    while ((count = read(from, block, sizeof block)) > 0) CHECK_EQ(write(to, block, size_t(count)), count);
    CHECK_OK(fchown(to, 1234, 5678));
    CHECK_OK(fchmod(to, 06755));
    close(from), close(to);
    const int status = in_child([copy] {
        execl(copy, copy, "suid", nullptr);
        _exit(100);
    });
    CHECK_EQ(status, 0);
    const int refused = in_child([copy] {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        execl(copy, copy, "not suid", nullptr);
        _exit(100);
    });
    CHECK_EQ(refused, 0);
    unlink(copy);
}

int check_suid() {
    CHECK_EQ(getuid(), 0u);
    CHECK_EQ(geteuid(), 1234u);
    CHECK_EQ(getegid(), 5678u);
    uid_t real, effective, saved;
    CHECK_OK(getresuid(&real, &effective, &saved));
    CHECK_EQ(saved, 1234u);
    CHECK_EQ(getauxval(AT_SECURE), 1u);
    CHECK_EQ(getauxval(AT_EUID), 1234u);
    CHECK_EQ(prctl(PR_GET_DUMPABLE), 0);
    return result();
}

} // namespace

int main(int count, char** arguments, char** environment) {
    if (count == 1 && arguments[0][0] == 0) return 55;
    if (count > 1 && !strcmp(arguments[1], "places")) {
        const Places places = own_places();
        return write(3, &places, sizeof places) == ssize_t(sizeof places) ? 0 : 1;
    }
    if (count > 1 && !strcmp(arguments[1], "vectors")) return check_vectors(count, arguments, environment);
    if (count > 1 && !strcmp(arguments[1], "suid")) return check_suid();
    if (count > 1 && !strcmp(arguments[1], "not suid")) return geteuid() == 0 && getauxval(AT_SECURE) == 0 ? 0 : 1;
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    if (count == 1) {
        execl(self, self, "main", nullptr); // so that AT_EXECFN is the path known here
        return 1;
    }
    CHECK_EQ(variable, 42);
    auxiliary_vector();
    places();
    randomness();
    vectors();
    no_arguments();
    set_user_id();
    return result();
}
