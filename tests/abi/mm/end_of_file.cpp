// Mappings of files that shrink and grow: SIGBUS beyond the last page, before and after ftruncate, for shared, private
// and written-to private pages, in a child and in its parent; the rest of a page that a truncation cuts is zero; a read
// by the kernel is EFAULT. Least Linux: 3.17 (memfd_create).
#include "child.hpp"
#include "memory.hpp"
#include <csetjmp>
#include <fcntl.h>
#include <sys/wait.h>

using check::in_child;

namespace {

using memory::page;

sigjmp_buf back;
volatile int seen_signal, seen_code;
void* volatile seen_address;

void on_fault(int signal, siginfo_t* info, void*) {
    seen_signal = signal;
    seen_code = info->si_code;
    seen_address = info->si_addr;
    siglongjmp(back, 1);
}

constexpr int bus = 1000; // what load() says of a SIGBUS that is as it must be

int load(char* place) {
    seen_signal = 0;
    volatile int value = 0;
    if (sigsetjmp(back, 1) == 0)
        value = *static_cast<volatile char*>(place);
    else
        value = seen_signal == SIGBUS && seen_code == BUS_ADRERR && seen_address == place ? bus : -seen_signal;
    return value;
}

int store(char* place, char byte) {
    seen_signal = 0;
    if (sigsetjmp(back, 1) == 0) *static_cast<volatile char*>(place) = byte;
    return seen_signal == 0 ? 0 : seen_signal == SIGBUS && seen_code == BUS_ADRERR && seen_address == place ? bus : -1;
}

struct File {
    int fd = memfd_create("end_of_file", 0);
    char* shared;
    char* copy;

    explicit File(size_t size) {
        REQUIRE(fd >= 0);
        resize(size);
        char byte = 'f';
        for (size_t at = 0; at < size; at += page / 4) CHECK_EQ(pwrite(fd, &byte, 1, off_t(at)), 1);
        shared = map(MAP_SHARED), copy = map(MAP_PRIVATE);
    }
    ~File() {
        munmap(shared, 8 * page), munmap(copy, 8 * page);
        close(fd);
    }
    char* map(int type) {
        void* got = mmap(nullptr, 8 * page, PROT_READ | PROT_WRITE, type, fd, 0);
        REQUIRE(got != MAP_FAILED);
        return static_cast<char*>(got);
    }
    void resize(size_t size) { CHECK_EQ(ftruncate(fd, off_t(size)), 0); }
};

void test_shrink_and_grow() {
    File file(4 * page);
    CHECK_EQ(load(file.shared + 3 * page), 'f');
    CHECK_EQ(load(file.shared + 4 * page), bus);
    CHECK_EQ(store(file.shared + 4 * page + 3, 1), bus);
    CHECK_EQ(load(file.copy + 5 * page), bus);
    CHECK_EQ(store(file.copy + 4 * page, 1), bus);
    CHECK_EQ(store(file.copy + 3 * page, 'c'), 0);
    CHECK_EQ(store(file.copy + page, 'c'), 0);
    file.resize(2 * page + page / 2 + 10);
    CHECK_EQ(load(file.shared + 3 * page), bus);
    // What was written to a private page goes too when the file ends before it.
    CHECK_EQ(load(file.copy + 3 * page), bus);
    CHECK_EQ(load(file.copy + page), 'c');
    CHECK_EQ(load(file.shared + 2 * page + page / 2), 'f');
    CHECK_EQ(load(file.shared + 2 * page + page / 4 * 3), 0);
    file.resize(6 * page);
    CHECK_EQ(load(file.shared + 2 * page + page / 4 * 3), 0);
    CHECK_EQ(load(file.shared + 3 * page), 0);
    CHECK_EQ(load(file.copy + 3 * page), 0);
    CHECK_EQ(load(file.shared + 5 * page), 0);
    CHECK_EQ(store(file.shared + 5 * page + 1, 'x'), 0);
    char byte = 0;
    CHECK_EQ(pread(file.fd, &byte, 1, off_t(5 * page + 1)), 1);
    CHECK_EQ(byte, 'x');
    CHECK_EQ(load(file.copy + page), 'c');
    file.resize(0);
    CHECK_EQ(load(file.shared), bus);
    CHECK_EQ(load(file.copy), bus);
    CHECK_EQ(load(file.copy + page), bus);
}

void test_kernel_access() {
    File file(2 * page);
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    CHECK_ERRNO(write(ends[1], file.shared + 2 * page, 1), EFAULT);
    CHECK_EQ(write(ends[1], file.shared + page, 1), 1);
    CHECK_ERRNO(read(ends[0], file.shared + 2 * page, 1), EFAULT);
    file.resize(page);
    CHECK_ERRNO(write(ends[1], file.shared + page, 1), EFAULT);
    CHECK_ERRNO(write(ends[1], file.copy + page, 1), EFAULT);
    CHECK(!memory::can_read(file.shared + page));
    CHECK(memory::can_read(file.shared));
    close(ends[0]), close(ends[1]);
}

void test_over_fork() {
    File file(4 * page);
    CHECK_EQ(load(file.shared + 3 * page), 'f');
    CHECK_EQ(store(file.copy + 3 * page, 'c'), 0);
    CHECK_EQ(store(file.copy, 'c'), 0);
    // A child truncates, and it is so for both.
    CHECK_EQ(in_child([&] {
                 CHECK_EQ(load(file.copy + 3 * page), 'c');
                 file.resize(page);
                 CHECK_EQ(load(file.shared + 3 * page), bus);
                 CHECK_EQ(load(file.copy + 3 * page), bus);
                 CHECK_EQ(load(file.copy), 'c');
                 CHECK_EQ(store(file.copy, 'd'), 0);
             }),
             0);
    CHECK_EQ(load(file.shared + 3 * page), bus);
    CHECK_EQ(load(file.copy + 3 * page), bus);
    CHECK_EQ(load(file.copy), 'c');
    file.resize(4 * page);
    CHECK_EQ(load(file.copy + 3 * page), 0);
    // A child that was there before the truncation.
    int go[2];
    REQUIRE(pipe(go) == 0);
    CHECK_EQ(store(file.shared + 2 * page, 's'), 0);
    CHECK_EQ(store(file.copy + 2 * page, 'c'), 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        (void)!read(go[0], &byte, 1);
        CHECK_EQ(load(file.shared + 2 * page), bus);
        CHECK_EQ(load(file.copy + 2 * page), bus);
        CHECK_EQ(load(file.copy), 'c');
        fflush(stdout);
        _exit(check::result());
    }
    file.resize(2 * page);
    CHECK_EQ(load(file.copy + 2 * page), bus);
    CHECK_EQ(write(go[1], "g", 1), 1);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    close(go[0]), close(go[1]);
}

/// Children that fault and a parent that truncates: each access is right or SIGBUS, nothing else.
void test_truncate_meanwhile() {
    File file(6 * page);
    pid_t children[3];
    int stop_ends[2];
    REQUIRE(pipe(stop_ends) == 0);
    fcntl(stop_ends[0], F_SETFL, O_NONBLOCK);
    fflush(stdout);
    for (pid_t& child : children) {
        child = fork();
        if (child > 0) continue;
        close(stop_ends[1]);
        char byte;
        for (int i = 0; read(stop_ends[0], &byte, 1) != 0; i++) {
            int value = load(file.shared + size_t(i % 6) * page);
            if (value != 'f' && value != 0 && value != bus) _exit(1);
            value = store(file.copy + size_t(i % 6) * page, 'p');
            if (value != 0 && value != bus) _exit(2);
            value = load(file.copy + size_t(i % 6) * page);
            if (value != 'p' && value != 'f' && value != 0 && value != bus) _exit(3);
        }
        _exit(0);
    }
    for (int i = 0; i < (memory::long_run() ? 20000 : 1000); i++) {
        file.resize(size_t(i % 6) * page);
        file.resize(6 * page);
    }
    close(stop_ends[1]), close(stop_ends[0]);
    for (pid_t child : children) {
        int status = -1;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
    }
}

} // namespace

int main() {
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    CHECK_EQ(sigaction(SIGSEGV, &action, nullptr), 0);
    CHECK_EQ(sigaction(SIGBUS, &action, nullptr), 0);
    test_shrink_and_grow();
    test_kernel_access();
    test_over_fork();
    test_truncate_meanwhile();
    return check::result();
}
