// needs-linux: 5.10
//
// prctl(PR_SET_MM): the marks of code, data, heap, stack, arguments and environment that /proc shows, the auxiliary
// vector and the program's file.
#include <elf.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "child.hpp"
#include "proc_text.hpp"

using namespace check;

namespace {

long set(unsigned long what, const void* address, unsigned long size = 0, unsigned long more = 0) {
    return syscall(SYS_prctl, PR_SET_MM, what, address, size, more);
}
const void* at(unsigned long address) { return reinterpret_cast<const void*>(address); }

/// Field n of /proc/self/stat, counted from 1 as proc(5) does.
unsigned long field(int number) {
    const char* text = strrchr(proc_text::read_file("/proc/self/stat"), ')') + 2;
    for (int i = 3; i < number; ++i) text = strchr(text, ' ') + 1;
    return strtoul(text, nullptr, 10);
}

struct Place {
    unsigned long begin, end; // the sub-options
    int begin_at, end_at;     // the fields of stat
};
constexpr Place places[] = {{PR_SET_MM_START_CODE, PR_SET_MM_END_CODE, 26, 27},
                            {PR_SET_MM_START_DATA, PR_SET_MM_END_DATA, 45, 46},
                            {PR_SET_MM_ARG_START, PR_SET_MM_ARG_END, 48, 49},
                            {PR_SET_MM_ENV_START, PR_SET_MM_ENV_END, 50, 51}};

char* memory;
unsigned long number_of(const void* address) { return reinterpret_cast<unsigned long>(address); }

void marks() {
    for (const Place& place : places) {
        // In order all the time: where the program has it above the memory the beginning goes first.
        const bool is_above = field(place.end_at) > number_of(memory);
        if (is_above) CHECK_EQ(set(place.begin, memory + 4096), 0);
        CHECK_EQ(set(place.end, memory + 8192), 0);
        if (!is_above) CHECK_EQ(set(place.begin, memory + 4096), 0);
        CHECK_EQ(field(place.begin_at), number_of(memory + 4096));
        CHECK_EQ(field(place.end_at), number_of(memory + 8192));
        CHECK_ERRNO(set(place.end, memory + 4095), EINVAL); // out of order
        CHECK_ERRNO(set(place.begin, memory + 8193), EINVAL);
        if (place.begin == PR_SET_MM_START_CODE) {
            CHECK_ERRNO(set(place.begin, memory + 8192), EINVAL); // code isn't empty
        } else {
            CHECK_EQ(set(place.begin, memory + 8192), 0);
        }
        CHECK_ERRNO(set(place.begin, at(1)), EINVAL);
        CHECK_ERRNO(set(place.end, at(~0ul)), EINVAL);
        CHECK_ERRNO(set(place.end, nullptr), EINVAL);
        CHECK_ERRNO(set(place.end, memory + 8192, 1), EINVAL);
        CHECK_ERRNO(set(place.end, memory + 8192, 0, 1), EINVAL);
        CHECK_EQ(field(place.end_at), number_of(memory + 8192));
    }
    CHECK_EQ(set(PR_SET_MM_START_STACK, memory + 100), 0);
    CHECK_EQ(field(28), number_of(memory + 100));
    for (unsigned long what : {0ul, 16ul, 100ul}) CHECK_ERRNO(set(what, memory), EINVAL);
}

/// What cmdline and environ show follows.
void titles() {
    strcpy(memory, "new title");
    CHECK_EQ(set(PR_SET_MM_ARG_START, memory), 0);
    CHECK_EQ(set(PR_SET_MM_ARG_END, memory + 10), 0);
    CHECK_STREQ(proc_text::read_file("/proc/self/cmdline"), "new title");
    strcpy(memory + 100, "A=B");
    CHECK_EQ(set(PR_SET_MM_ENV_START, memory + 100), 0);
    CHECK_EQ(set(PR_SET_MM_ENV_END, memory + 104), 0);
    CHECK_STREQ(proc_text::read_file("/proc/self/environ"), "A=B");
}

void heap() {
    char* const now = static_cast<char*>(sbrk(0));
    CHECK_EQ(set(PR_SET_MM_BRK, now + 4096), 0);
    CHECK_EQ(number_of(sbrk(0)), number_of(now)); // the library's idea
    CHECK_EQ(syscall(SYS_brk, 0), long(now + 4096));
    CHECK_EQ(set(PR_SET_MM_BRK, memory + 4096), 0);
    CHECK_ERRNO(set(PR_SET_MM_START_BRK, memory + 4097), EINVAL);
    CHECK_EQ(set(PR_SET_MM_START_BRK, memory), 0);
    CHECK_EQ(field(47), number_of(memory));
    CHECK_ERRNO(set(PR_SET_MM_BRK, memory - 1), EINVAL);
    // Heap and data together are limited.
    const rlimit limit = {4095, RLIM_INFINITY};
    CHECK_OK(setrlimit(RLIMIT_DATA, &limit));
    CHECK_ERRNO(set(PR_SET_MM_START_BRK, memory), EINVAL);
    CHECK_ERRNO(set(PR_SET_MM_BRK, memory + 4096), EINVAL);
    // A forged heap can be anywhere; brk(2) goes on from there, and doesn't grow over what is mapped.
    const rlimit none = {RLIM_INFINITY, RLIM_INFINITY};
    CHECK_OK(setrlimit(RLIMIT_DATA, &none));
    CHECK_EQ(set(PR_SET_MM_BRK, memory + 32768), 0);
    CHECK_EQ(syscall(SYS_brk, memory + 65536 + 4096), long(memory + 32768));
}

long read_vector(unsigned long (&words)[100]) {
    const int file = open("/proc/self/auxv", O_RDONLY);
    const long size = read(file, words, sizeof words);
    close(file);
    return size;
}

void vector() {
    const unsigned long fresh[80] = {AT_PAGESZ, 77, AT_NULL, 0};
    unsigned long found[100] = {};
    CHECK_EQ(set(PR_SET_MM_AUXV, fresh, 0), 0);
    CHECK_EQ(set(PR_SET_MM_AUXV, fresh, 32), 0);
    CHECK_EQ(read_vector(found), 32);
    CHECK_EQ(found[0], (unsigned long)AT_PAGESZ);
    CHECK_EQ(found[1], 77ul);
    CHECK_ERRNO(set(PR_SET_MM_AUXV, fresh, sizeof fresh), EINVAL);
    CHECK_ERRNO(set(PR_SET_MM_AUXV, at(8), 16), EFAULT);
    CHECK_ERRNO(set(PR_SET_MM_AUXV, nullptr, 16), EFAULT);
}

prctl_mm_map whole_map() {
    auto number = [](const void* address) { return __u64(number_of(address)); };
    prctl_mm_map map = {};
    map.start_code = map.start_data = number(memory);
    map.end_code = number(memory + 4096);
    map.end_data = number(memory + 100);
    map.start_brk = map.brk = number(memory + 8192);
    map.start_stack = number(memory + 5);
    map.arg_start = number(memory + 6), map.arg_end = number(memory + 7);
    map.env_start = number(memory + 8), map.env_end = number(memory + 9);
    map.exe_fd = unsigned(-1);
    return map;
}

/// All at once, which takes no privileges.
void whole() {
    auto set_map = [](const prctl_mm_map& map) { return set(PR_SET_MM_MAP, &map, sizeof map); };
    const prctl_mm_map good = whole_map();
    CHECK_EQ(set_map(good), 0);
    CHECK_EQ(field(26), number_of(memory));
    CHECK_EQ(field(27), number_of(memory + 4096));
    CHECK_EQ(field(28), number_of(memory + 5));
    CHECK_EQ(field(45), number_of(memory));
    CHECK_EQ(field(47), number_of(memory + 8192));
    CHECK_EQ(field(51), number_of(memory + 9));
    unsigned size = 0;
    CHECK_EQ(set(PR_SET_MM_MAP_SIZE, &size), 0);
    CHECK_EQ(size, sizeof good);
    CHECK_ERRNO(set(PR_SET_MM_MAP_SIZE, at(8)), EFAULT);
    CHECK_ERRNO(set(PR_SET_MM_MAP, &good, sizeof good - 8), EINVAL);
    CHECK_ERRNO(set(PR_SET_MM_MAP, &good, sizeof good + 8), EINVAL);
    CHECK_ERRNO(set(PR_SET_MM_MAP, &good, sizeof good, 1), EINVAL);
    CHECK_ERRNO(set(PR_SET_MM_MAP, at(8), sizeof good), EFAULT);
    prctl_mm_map map = good;
    map.start_code = map.end_code;
    CHECK_ERRNO(set_map(map), EINVAL);
    map = good, map.brk = map.start_brk - 1;
    CHECK_ERRNO(set_map(map), EINVAL);
    map = good, map.start_stack = 0;
    CHECK_ERRNO(set_map(map), EINVAL);
    map = good, map.start_code = 1;
    CHECK_ERRNO(set_map(map), EINVAL);
    map = good, map.env_end = ~0ull;
    CHECK_ERRNO(set_map(map), EINVAL);
    map = good, map.auxv_size = 16;
    CHECK_ERRNO(set_map(map), EINVAL);
    unsigned long words[100] = {AT_PAGESZ, 5};
    map.auxv = reinterpret_cast<decltype(map.auxv)>(words);
    CHECK_EQ(set_map(map), 0);
    map.auxv_size = sizeof words;
    CHECK_ERRNO(set_map(map), EINVAL);
    if (geteuid() == 0) { // others may not look any more
        CHECK_EQ(read_vector(words), 32);
        CHECK_EQ(words[1], 5ul);
    }
    map = good, map.exe_fd = 1000;
    CHECK_ERRNO(set_map(map), geteuid() == 0 ? EBADF : EPERM);
}

void unprivileged() {
    CHECK_OK(setuid(65534));
    whole();
    for (unsigned long what : {1, PR_SET_MM_AUXV, PR_SET_MM_EXE_FILE, 99}) CHECK_ERRNO(set(what, memory), EPERM);
    CHECK_ERRNO(set(1, memory, 5), EINVAL);
}

void program_file() {
    auto set_file = [](const char* name, int flags = O_RDONLY) {
        const int file = open(name, flags);
        const long result = set(PR_SET_MM_EXE_FILE, at(unsigned(file)));
        const int error = errno;
        close(file);
        errno = error;
        return result;
    };
    CHECK_ERRNO(set(PR_SET_MM_EXE_FILE, at(1000)), EBADF);
    CHECK_ERRNO(set(PR_SET_MM_EXE_FILE, at(1000), 5), EINVAL);
    CHECK_ERRNO(set_file("/tmp"), EACCES);
    CHECK_ERRNO(set_file("/dev/null"), EACCES);
    const int file = open("/tmp/other", O_CREAT | O_WRONLY | O_TRUNC, 0644);
    CHECK_ERRNO(set_file("/tmp/other"), EACCES);
    CHECK_OK(fchmod(file, 0755));
    close(file);
    CHECK_ERRNO(set_file("/tmp/other"), EBUSY); // the old one is still there
    CHECK_ERRNO(set_file("/proc/self/exe"), EBUSY);
    unlink("/tmp/other");
}

} // namespace

int main() {
    memory = static_cast<char*>(mmap(nullptr, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    run_in_child(marks);
    run_in_child(titles);
    run_in_child(heap);
    run_in_child(vector);
    run_in_child(whole);
    run_in_child(unprivileged);
    run_in_child(program_file);
    return result();
}
