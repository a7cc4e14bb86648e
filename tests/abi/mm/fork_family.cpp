// A family of processes over fork, each with a model of its own memory: children of children write, unmap, map,
// protect, move and drop parts of a region that lies over several last-level page tables, at the same time as their
// relatives, by stores and through the kernel; all compare with their models again and again. Parents end before their
// children, after them, or call exec. Whatever one does, no other may see it. The models lie in shared memory, so that
// a wrong copy can't spoil them. Least Linux: 4.14.
//
#include "memory.hpp"
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

namespace {

using memory::page;
using memory::span;

constexpr int family = 24; // members in one round
constexpr int deepest = 5;
constexpr int steps_each = 60;
constexpr size_t spans = 3;
constexpr size_t near = 6; // pages on each side of a table's edge that are written and compared
const size_t pages = spans * span / page;
const char* self;

enum Advice : uint8_t { Inherited, NotInherited, Wiped };

struct PageModel {
    uint32_t value;
    int8_t prot; // -1: not mapped
    uint8_t advice;
};

struct Member {
    std::atomic<int> state; // 0 unused, 1 alive, 2 ended right, 3 ended wrong
    char complaint[200];
};

struct Shared {
    std::atomic<int> used;
    std::atomic<long> counted;
    Member members[family];
};

Shared* shared;
PageModel* models;           // of all members, `pages` each
std::atomic<long>* counters; // one in each page of a shared mapping
constexpr size_t counter_pages = 8;
char* base;
int own_memory; // /proc/self/mem

struct Self {
    int number;
    int depth;
    memory::Random random;
    PageModel* model;
    long added = 0;

    Self(int number, int depth, unsigned round)
        : number(number), depth(depth), random(round * 1000003u + unsigned(number)),
          model(models + size_t(number) * pages) {}

    [[noreturn]] void wrong(const char* what, size_t at, uint32_t seen) {
        Member& me = shared->members[number];
        snprintf(me.complaint, sizeof me.complaint, "member %d, depth %d: %s at page %zu: %#x, model value %#x prot %d",
                 number, depth, what, at, seen, model[at].value, model[at].prot);
        me.state = 3;
        _exit(1);
    }

    char* place(size_t at) { return base + at * page; }
    volatile uint32_t* first_word(size_t at) { return reinterpret_cast<uint32_t*>(place(at)); }
    volatile uint32_t* last_word(size_t at) { return reinterpret_cast<uint32_t*>(place(at) + page - 4); }

    size_t page_near_edge() {
        size_t edge = random.below(spans + 1) * (span / page), offset = random.below(2 * near);
        return std::min(pages - 1, edge + offset < near ? offset : edge + offset - near);
    }

    void compare(size_t at) {
        if (model[at].prot < 0) {
            if (memory::is_mapped(place(at))) wrong("mapped", at, 0);
        } else if (model[at].prot == PROT_NONE) {
            if (memory::can_read(place(at))) wrong("readable", at, 0);
        } else {
            uint32_t first = *first_word(at), last = *last_word(at);
            if (first != model[at].value) wrong("first word", at, first);
            if (last != model[at].value) wrong("last word", at, last);
        }
    }
    void compare_all() {
        for (size_t edge = 0; edge <= pages; edge += span / page)
            for (size_t at = edge < near ? 0 : edge - near; at < std::min(pages, edge + near); at++) compare(at);
    }

    bool whole(size_t first, size_t count) {
        for (size_t at = first; at < first + count; at++)
            if (model[at].prot < 0) return false;
        return true;
    }

    /// Both words of a page, by one of the ways that memory is written.
    void write_page(size_t at) {
        if (model[at].prot < 0) return;
        uint32_t value = random.next() | 1;
        bool may = model[at].prot & PROT_WRITE;
        char* places[] = {place(at), place(at) + page - 4};
        switch (random.below(5)) {
        case 0:
            // The kernel writes by force: rights are passed over, copies are not.
            for (char* word : places)
                if (pwrite(own_memory, &value, 4, off_t(reinterpret_cast<uintptr_t>(word))) != 4)
                    wrong("/proc/self/mem refused, errno", at, uint32_t(errno));
            break;
        case 1: {
            iovec here{&value, 4};
            for (char* word : places) {
                iovec there{word, 4};
                if ((process_vm_writev(getpid(), &here, 1, &there, 1, 0) == 4) != may) wrong("writev", at, value);
            }
            if (!may) return;
            break;
        }
        case 2: {
            uint32_t both[2] = {value, value};
            int ends[2];
            if (pipe(ends) != 0 || write(ends[1], both, 8) != 8) wrong("pipe", at, 0);
            for (char* word : places)
                if ((read(ends[0], word, 4) == 4) != may) wrong("read into it", at, value);
            close(ends[0]), close(ends[1]);
            if (!may) return;
            break;
        }
        default:
            if (!may) return;
            *first_word(at) = value;
            *last_word(at) = value;
        }
        model[at].value = value;
    }

    void set(size_t first, size_t count, PageModel to) { std::fill_n(model + first, count, to); }

    void move(size_t from, size_t to, size_t count) {
        if (!whole(from, count) || (from < to + count && to < from + count)) return;
        munmap(place(to), count * page);
        set(to, count, {0, -1, Inherited});
        // Several mappings can't be moved at once: then nothing happens.
        if (mremap(place(from), count * page, count * page, MREMAP_MAYMOVE | MREMAP_FIXED, place(to)) == MAP_FAILED)
            return;
        std::copy_n(model + from, count, model + to);
        set(from, count, {0, -1, Inherited});
    }

    void advise(size_t first, size_t count) {
        static const int advices[] = {MADV_DONTFORK, MADV_DOFORK, 18 /* WIPEONFORK */, 19 /* KEEPONFORK */};
        if (!whole(first, count)) return;
        // One property at a time keeps the model simple: not inherited wins over wiped.
        unsigned which = random.below(4);
        for (size_t at = first; at < first + count; at++)
            if (model[at].advice != (which < 2 ? Wiped : NotInherited))
                continue;
            else
                return;
        if (madvise(place(first), count * page, advices[which]) != 0) wrong("advice refused", first, which);
        for (size_t at = first; at < first + count; at++)
            model[at].advice = which == 0 ? NotInherited : which == 2 ? Wiped : Inherited;
    }

    void change_range() {
        size_t first = page_near_edge();
        static const size_t sizes[] = {1, 2, near, span / page - near, span / page, span / page + near};
        size_t count = std::min(sizes[random.below(6)], pages - first);
        static const int rights[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE};
        int prot = rights[random.below(4)];
        switch (random.below(8)) {
        case 0:
            if (munmap(place(first), count * page) != 0) wrong("munmap refused", first, 0);
            set(first, count, {0, -1, Inherited});
            break;
        case 1:
        case 2:
            memory::map_at(place(first), count * page, prot);
            set(first, count, {0, int8_t(prot), Inherited});
            break;
        case 3:
        case 4:
            if (!whole(first, count)) break;
            if (mprotect(place(first), count * page, prot) != 0) wrong("mprotect refused", first, 0);
            for (size_t at = first; at < first + count; at++) model[at].prot = int8_t(prot);
            break;
        case 5:
            if (!whole(first, count)) break;
            if (madvise(place(first), count * page, MADV_DONTNEED) != 0) wrong("DONTNEED refused", first, 0);
            for (size_t at = first; at < first + count; at++) model[at].value = 0;
            break;
        case 6:
            move(first,
                 random.below(2) ? page_near_edge() % (pages - count + 1) : random.below(spans - 1) * (span / page),
                 count);
            break;
        default:
            advise(first, count);
        }
    }

    void step() {
        if (random.below(4) == 0)
            change_range();
        else
            for (int i = 0; i < 6; i++) write_page(page_near_edge());
        size_t counter = random.below(counter_pages);
        counters[counter * page / sizeof(counters[0])]++;
        added++;
    }

    void have_child(unsigned round);
    void live(unsigned round);
};

void Self::have_child(unsigned round) {
    int other = shared->used.fetch_add(1);
    if (other >= family) return;
    PageModel* copy = models + size_t(other) * pages;
    for (size_t at = 0; at < pages; at++) {
        copy[at] = model[at];
        if (model[at].advice == NotInherited) copy[at] = {0, -1, Inherited};
        if (model[at].advice == Wiped) copy[at].value = 0;
    }
    shared->members[other].state = 1;
    pid_t child = fork();
    if (child < 0) wrong("fork", 0, uint32_t(errno));
    if (child > 0) return;
    Self me(other, depth + 1, round);
    close(own_memory);
    own_memory = open("/proc/self/mem", O_RDWR);
    if (own_memory < 0) me.wrong("/proc/self/mem can't be opened, errno", 0, uint32_t(errno));
    me.live(round);
}

void Self::live(unsigned round) {
    compare_all();
    for (int i = 0; i < steps_each; i++) {
        step();
        if (i % 8 == 7) compare_all();
        if (depth < deepest && random.below(20) == 0) have_child(round);
    }
    compare_all();
    shared->counted += added;
    shared->members[number].state = 2;
    switch (random.below(3)) {
    case 0:
        while (wait(nullptr) > 0) {
        }
        break;
    case 1:
        execl(self, self, "--exit", nullptr);
        break;
    default:
        break;
    }
    _exit(0);
}

void run_round(unsigned round) {
    for (Member& member : shared->members) member.state = 0, member.complaint[0] = 0;
    shared->used = 1, shared->counted = 0;
    for (size_t i = 0; i < counter_pages; i++) counters[i * page / sizeof(counters[0])] = 0;
    fflush(stdout);
    shared->members[0].state = 1;
    if (fork() == 0) {
        close(own_memory);
        own_memory = open("/proc/self/mem", O_RDWR);
        memory::map_at(base, pages * page);
        std::fill_n(models, pages, PageModel{0, PROT_READ | PROT_WRITE, Inherited});
        Self first(0, 0, round);
        for (int i = 0; i < 100; i++) first.write_page(first.page_near_edge());
        for (int i = 0; i < 3; i++) first.have_child(round);
        first.live(round);
    }
    int status;
    while (waitpid(-1, &status, 0) > 0) CHECK_EQ(status, 0); // the orphans too: we are their reaper
    long sum = 0;
    for (size_t i = 0; i < counter_pages; i++) sum += counters[i * page / sizeof(counters[0])];
    CHECK_EQ(sum, shared->counted.load());
    for (Member& member : shared->members) {
        if (member.complaint[0]) printf("round %u: %s\n", round, member.complaint);
        CHECK(member.state == 0 || member.state == 2);
    }
}

} // namespace

int main(int count, char** arguments) {
    if (count > 1) return 0;
    self = arguments[0];
    CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1));
    shared = reinterpret_cast<Shared*>(memory::map(sizeof(Shared), MAP_SHARED));
    models = reinterpret_cast<PageModel*>(memory::map(family * pages * sizeof(PageModel), MAP_SHARED));
    counters = reinterpret_cast<std::atomic<long>*>(memory::map(counter_pages * page, MAP_SHARED));
    base = memory::reserve_aligned(spans * span);
    own_memory = open("/proc/self/mem", O_RDWR);
    REQUIRE(own_memory >= 0);
    double end = memory::now() + memory::seconds(6, 180);
    unsigned round = 0, members = 0;
    while (memory::now() < end && check::result() == 0) {
        run_round(round++);
        members += unsigned(std::min(family, shared->used.load()));
    }
    printf("%u rounds, %u processes\n", round, members);
    return check::result();
}
