// Forks while threads write all the time, into pages spread over several last-level page tables, by stores and through
// the kernel: a child sees each writer's pages frozen in the middle of a pass (a beginning of new values, the rest
// old), can write them without the parent's seeing it, and no writer ever loses a value. And a page with a thousand
// sharers. Least Linux: 3.2.
//
#include "memory.hpp"
#include <pthread.h>
#include <sys/wait.h>

namespace {

using memory::page;
using memory::span;

constexpr size_t writers = 4;
constexpr size_t per_writer = 40; // pages
constexpr size_t spread = 7;      // of a writer's pages, an eighth of a table lies between every seventh
char* base;
std::atomic<bool> stop{false};

struct Writer {
    size_t number;
    bool wrong = false;
    uint32_t passes = 0;

    volatile uint32_t* word(size_t i) const {
        return reinterpret_cast<uint32_t*>(base + (i / spread) * (span / 8) + (number * spread + i % spread) * page +
                                           16);
    }
    void write_all() {
        uint32_t next = passes + 1;
        for (size_t i = 0; i < per_writer; i++) {
            if (*word(i) != passes) wrong = true;
            if ((i + next) % 16 == 0) {
                // The kernel's copy instead of a store.
                iovec here{&next, 4}, there{const_cast<uint32_t*>(word(i)), 4};
                if (process_vm_writev(getpid(), &here, 1, &there, 1, 0) != 4) wrong = true;
            } else
                *word(i) = next;
        }
        passes = next;
    }
};

Writer all[writers];

void* write_on(void* argument) {
    auto* writer = static_cast<Writer*>(argument);
    while (!stop && !writer->wrong) writer->write_all();
    return nullptr;
}

/// In the child: 0, or a code for what is wrong.
int look_and_write() {
    for (Writer& writer : all) {
        uint32_t first = *writer.word(0);
        bool turned = false;
        for (size_t i = 0; i < per_writer; i++) {
            uint32_t value = *writer.word(i);
            turned |= value != first;
            if (value != first - turned) return 1;
        }
        for (size_t i = 0; i < per_writer; i++) *writer.word(i) = ~uint32_t(i);
        for (size_t i = 0; i < per_writer; i++)
            if (*writer.word(i) != ~uint32_t(i)) return 2;
    }
    return 0;
}

void test_fork_while_writing() {
    base = memory::reserve_aligned(2 * span);
    memory::map_at(base, 2 * span);
    pthread_t threads[writers];
    for (size_t i = 0; i < writers; i++) {
        all[i].number = i;
        CHECK_EQ(pthread_create(&threads[i], nullptr, write_on, &all[i]), 0);
    }
    double end = memory::now() + memory::seconds(6, 120);
    int forks = 0, pending = 0;
    while (memory::now() < end && check::result() == 0) {
        pid_t child = fork();
        if (child == 0) _exit(look_and_write());
        CHECK(child > 0);
        forks++;
        // Up to three live at once, so that pages have several sharers.
        if (++pending < 3) continue;
        int status = -1;
        wait(&status);
        CHECK_EQ(status, 0);
        pending--;
    }
    for (; pending > 0; pending--) {
        int status = -1;
        wait(&status);
        CHECK_EQ(status, 0);
    }
    stop = true;
    for (size_t i = 0; i < writers; i++) {
        pthread_join(threads[i], nullptr);
        CHECK(!all[i].wrong);
        CHECK(all[i].passes > 0);
    }
    printf("%d forks, %u passes\n", forks, all[0].passes);
    munmap(base, 2 * span);
}

/// Each child compares, writes, and compares; each is told apart by what it writes.
void test_thousand_sharers() {
    constexpr int children = 1000;
    // The page lies in a mapping that fills a whole table, which all can have in common until they write.
    char* place = memory::map_at(memory::reserve_aligned(span), span);
    auto* words = reinterpret_cast<int*>(place);
    auto* last = reinterpret_cast<int*>(place + span - page);
    words[0] = 9, *last = 10;
    int go[2], ready[2];
    REQUIRE(pipe(go) == 0 && pipe(ready) == 0);
    int made = 0;
    for (; made < children; made++) {
        pid_t child = fork();
        if (child == 0) {
            char byte = 0;
            close(go[1]);
            (void)!write(ready[1], &byte, 1);
            (void)!read(go[0], &byte, 1); // until the parent closes its end
            bool right = words[0] == 9 && *last == 10;
            words[0] = made;
            _exit(right && words[0] == made && *last == 10 ? 0 : 1);
        }
        if (child < 0) break;
    }
    CHECK_EQ(made, children);
    for (int i = 0; i < made; i++) {
        char byte;
        CHECK_EQ(read(ready[0], &byte, 1), 1);
    }
    words[0] = 77;
    close(go[0]), close(go[1]);
    for (int i = 0; i < made; i++) {
        int status = -1;
        wait(&status);
        CHECK_EQ(status, 0);
    }
    CHECK_EQ(words[0], 77);
    CHECK_EQ(*last, 10);
    // Alone again, and still writable.
    *last = 11;
    CHECK_EQ(*last, 11);
    munmap(place, span);
}

} // namespace

int main() {
    test_fork_while_writing();
    test_thousand_sharers();
    return check::result();
}
