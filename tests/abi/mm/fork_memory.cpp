// Memory over fork: private pages are copies however they are written, shared ones are one; MADV_DONTFORK and
// MADV_WIPEONFORK; a page with hundreds of sharers; threads that write while others fork. Least Linux: 4.14.
#include "child.hpp"
#include <pthread.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

using check::in_child;

namespace {

const size_t page = size_t(sysconf(_SC_PAGESIZE));

char* map(size_t pages, int type = MAP_PRIVATE) {
    void* place = mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, type | MAP_ANONYMOUS, -1, 0);
    CHECK(place != MAP_FAILED);
    return static_cast<char*>(place);
}

void test_isolation() {
    char* copied = map(4);
    char* shared = map(2, MAP_SHARED);
    copied[0] = 1, shared[0] = 1;
    CHECK_EQ(in_child([&] {
                 if (copied[0] != 1 || copied[page] != 0) return 1;
                 copied[0] = 2, copied[page] = 2, shared[0] = 2, shared[page] = 3;
                 return copied[0] == 2 ? 0 : 2;
             }),
             0);
    CHECK_EQ(copied[0], 1);
    CHECK_EQ(copied[page], 0);
    CHECK_EQ(shared[0], 2);
    CHECK_EQ(shared[page], 3);
    // The kernel writes for the child; the parent must not see it.
    CHECK_EQ(in_child([&] {
                 int ends[2];
                 if (pipe(ends) != 0 || write(ends[1], "zz", 2) != 2) return 1;
                 if (read(ends[0], copied, 2) != 2) return 2;
                 return copied[0] == 'z' ? 0 : 3;
             }),
             0);
    CHECK_EQ(copied[0], 1);
    // And process_vm_writev to a child only the child.
    int ready[2], go[2];
    CHECK_EQ(pipe(ready), 0);
    CHECK_EQ(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        (void)!write(ready[1], "r", 1);
        (void)!read(go[0], &byte, 1);
        _exit(copied[0]);
    }
    char byte = 42;
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    byte = 42;
    iovec here{&byte, 1}, there{copied, 1};
    CHECK_EQ(process_vm_writev(child, &here, 1, &there, 1, 0), 1);
    CHECK_EQ(copied[0], 1);
    byte = 0;
    CHECK_EQ(process_vm_readv(child, &here, 1, &there, 1, 0), 1);
    CHECK_EQ(byte, 42);
    there.iov_base = reinterpret_cast<void*>(8);
    CHECK_ERRNO(process_vm_readv(child, &here, 1, &there, 1, 0), EFAULT);
    CHECK_ERRNO(process_vm_readv(child, &here, 1, &there, 1, 1), EINVAL);
    CHECK_EQ(write(go[1], "g", 1), 1);
    int status;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(WEXITSTATUS(status), 42);
    munmap(copied, 4 * page), munmap(shared, 2 * page);
}

void test_advice() {
    char* place = map(3);
    memset(place, 5, 3 * page);
    CHECK_EQ(madvise(place, page, MADV_DONTFORK), 0);
    CHECK_EQ(madvise(place + page, page, 18 /* MADV_WIPEONFORK */), 0);
    CHECK_EQ(in_child([&] {
                 unsigned char resident;
                 if (mincore(place, page, &resident) != -1 || errno != ENOMEM) return 1;
                 if (place[page] != 0) return 2;
                 return place[2 * page] == 5 ? 0 : 3;
             }),
             0);
    CHECK_EQ(place[0], 5);
    CHECK_EQ(place[page], 5);
    munmap(place, 3 * page);
}

void test_many_sharers() {
    char* place = map(1);
    place[0] = 9;
    constexpr int children = 300;
    int go[2];
    CHECK_EQ(pipe(go), 0);
    int made = 0;
    for (; made < children; made++) {
        pid_t child = fork();
        if (child == 0) {
            char byte;
            close(go[1]);
            (void)!read(go[0], &byte, 1); // until the parent closes its end
            bool right = place[0] == 9;
            place[0] = 1;
            _exit(right && place[0] == 1 ? 0 : 1);
        }
        if (child < 0) break;
    }
    CHECK_EQ(made, children);
    place[0] = 77;
    close(go[0]), close(go[1]);
    for (int i = 0; i < made; i++) {
        int status = -1;
        wait(&status);
        CHECK_EQ(status, 0);
    }
    CHECK_EQ(place[0], 77);
    munmap(place, page);
}

struct Writer {
    std::atomic<bool> stop{false};
    volatile unsigned long* words;
    size_t count;
    bool wrong = false;
};

/// Every word counts up; a lost write shows as a step back.
void* write_on(void* argument) {
    auto* writer = static_cast<Writer*>(argument);
    for (unsigned long n = 1; !writer->stop; n++)
        for (size_t i = 0; i < writer->count; i++) {
            if (writer->words[i * page / sizeof(long)] != n - 1) writer->wrong = true;
            writer->words[i * page / sizeof(long)] = n;
        }
    return nullptr;
}

void test_fork_while_writing() {
    constexpr int writers = 3;
    constexpr size_t pages = 20;
    Writer all[writers];
    pthread_t threads[writers];
    for (int i = 0; i < writers; i++) {
        all[i].words = reinterpret_cast<unsigned long*>(map(pages));
        all[i].count = pages;
        CHECK_EQ(pthread_create(&threads[i], nullptr, write_on, &all[i]), 0);
    }
    for (int round = 0; round < 15; round++)
        CHECK_EQ(in_child([&] {
                     // A child sees a frozen picture: neighbours differ by one at most, and nothing moves.
                     for (auto& writer : all)
                         for (size_t i = 0; i < pages; i++) {
                             unsigned long first = writer.words[0], word = writer.words[i * page / sizeof(long)];
                             if (word != first && word + 1 != first) return 1;
                             writer.words[i * page / sizeof(long)] = 0;
                             if (writer.words[i * page / sizeof(long)] != 0) return 2;
                             if (i == 0) writer.words[0] = first;
                         }
                     return 0;
                 }),
                 0);
    for (int i = 0; i < writers; i++) {
        all[i].stop = true;
        pthread_join(threads[i], nullptr);
        CHECK(!all[i].wrong);
    }
}

} // namespace

int main() {
    test_isolation();
    test_advice();
    test_many_sharers();
    test_fork_while_writing();
    return check::result();
}
