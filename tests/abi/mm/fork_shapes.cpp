// One change after a fork, and nobody else sees it: mappings smaller than what a last-level page table maps, as large,
// and lying over its edges; each kind of change, in the parent and in a child; a sibling, the other side and a
// grandchild born after the change compare with what they must see. Least Linux: 5.14 (MADV_POPULATE_WRITE).
//
// needs-linux: 5.14
#include "memory.hpp"
#include <fcntl.h>
#include <sys/wait.h>

namespace {

using memory::page;
using memory::span;

/// What is expected of the pages of a mapping that are compared.
struct Expected {
    static constexpr int most = 24;
    int count = 0;
    size_t at[most]; // page numbers
    int value[most]; // -1: not mapped, -2: mapped but not readable
    bool writable[most];
};

char* window;     // three spans and more, aligned
char* start;      // of the mapping
size_t pages;     // of it
size_t elsewhere; // where a moved mapping goes, in pages from `start`

void add(Expected& expected, size_t at) {
    for (int i = 0; i < expected.count; i++)
        if (expected.at[i] == at) return;
    REQUIRE(expected.count < Expected::most);
    int i = expected.count++;
    expected.at[i] = at;
    expected.value[i] = at < pages ? int(at % 100) + 1 : -1;
    expected.writable[i] = true;
}

/// The first and last pages, and those around the edges of tables; and the same where it may be moved to.
Expected untouched() {
    Expected expected;
    for (size_t offset : {size_t(0), elsewhere}) {
        for (size_t at : {size_t(0), size_t(1), pages - 1}) add(expected, offset + at);
        size_t edge = (span - reinterpret_cast<uintptr_t>(start) % span) % span / page;
        for (; edge < pages; edge += span / page) {
            add(expected, offset + edge);
            if (edge > 0) add(expected, offset + edge - 1);
        }
    }
    return expected;
}

char* place(size_t at) { return start + at * page; }

/// 0, or the number of the first page that is not as it must be, plus 1.
int compare(const Expected& expected) {
    for (int i = 0; i < expected.count; i++) {
        char* here = place(expected.at[i]);
        if (expected.value[i] < 0) {
            if (memory::can_read(here) || memory::is_mapped(here) != (expected.value[i] == -2)) return i + 1;
            continue;
        }
        if (here[7] != expected.value[i] || here[page - 1] != expected.value[i]) return i + 1;
        if (memory::can_write(here) != expected.writable[i]) return i + 1;
        if (here[7] != expected.value[i]) return i + 1;
    }
    return 0;
}

void fill(size_t at, int value) { place(at)[7] = place(at)[page - 1] = char(value); }

// -- the changes: each does one, with `target` the process whose memory it is (0: our own), and says what is expected
// then

void for_range(Expected& expected, size_t first, size_t count, int value, bool writable) {
    for (int i = 0; i < expected.count; i++)
        if (expected.at[i] >= first && expected.at[i] < first + count)
            expected.value[i] = value, expected.writable[i] = writable;
}

using Change = bool (*)(Expected&, pid_t target);

bool store(Expected& expected, pid_t) {
    fill(0, 111), fill(pages - 1, 112);
    for_range(expected, 0, 1, 111, true), for_range(expected, pages - 1, 1, 112, true);
    return true;
}
bool store_all(Expected& expected, pid_t) {
    for (size_t at = 0; at < pages; at++) fill(at, 99);
    for_range(expected, 0, pages, 99, true);
    return true;
}
bool kernel_store(Expected& expected, pid_t) {
    int ends[2];
    bool done = pipe(ends) == 0 && write(ends[1], "zz", 2) == 2 && read(ends[0], place(0) + 7, 1) == 1 &&
                read(ends[0], place(0) + page - 1, 1) == 1;
    close(ends[0]), close(ends[1]);
    for_range(expected, 0, 1, 'z', true);
    return done;
}
bool foreign_store(Expected& expected, pid_t target) {
    char byte = 'f';
    iovec here[2]{{&byte, 1}, {&byte, 1}}, there[2]{{place(1 % pages) + 7, 1}, {place(1 % pages) + page - 1, 1}};
    for_range(expected, 1 % pages, 1, 'f', true);
    return process_vm_writev(target ? target : getpid(), here, 2, there, 2, 0) == 2;
}
bool memory_file_store(Expected& expected, pid_t target) {
    char name[40];
    snprintf(name, sizeof name, "/proc/%d/mem", int(target ? target : getpid()));
    int fd = open(name, O_RDWR);
    bool done = fd >= 0;
    for (char* word : {place(pages - 1) + 7, place(pages - 1) + page - 1})
        done = done && pwrite(fd, "m", 1, off_t(reinterpret_cast<uintptr_t>(word))) == 1;
    close(fd);
    for_range(expected, pages - 1, 1, 'm', true);
    return done;
}
bool unmap_part(Expected& expected, pid_t) {
    size_t count = (pages + 1) / 2;
    for_range(expected, 0, count, -1, true);
    return munmap(place(0), count * page) == 0;
}
bool unmap_whole(Expected& expected, pid_t) {
    for_range(expected, 0, pages, -1, true);
    return munmap(start, pages * page) == 0;
}
bool make_read_only(Expected& expected, pid_t) {
    for (int i = 0; i < expected.count; i++)
        if (expected.at[i] < pages && expected.at[i] >= pages / 2) expected.writable[i] = false;
    return mprotect(place(pages / 2), (pages - pages / 2) * page, PROT_READ) == 0;
}
bool make_inaccessible(Expected& expected, pid_t) {
    for_range(expected, pages - 1, 1, -2, true);
    return mprotect(place(pages - 1), page, PROT_NONE) == 0;
}
bool toggle_and_store(Expected& expected, pid_t target) {
    return mprotect(start, pages * page, PROT_READ) == 0 &&
           mprotect(start, pages * page, PROT_READ | PROT_WRITE) == 0 && store(expected, target);
}
bool move(Expected& expected, pid_t target) {
    for (int i = 0; i < expected.count; i++)
        if (expected.at[i] < pages) {
            for (int j = 0; j < expected.count; j++)
                if (expected.at[j] == expected.at[i] + elsewhere) expected.value[j] = expected.value[i];
            expected.value[i] = -1;
        }
    if (mremap(start, pages * page, pages * page, MREMAP_MAYMOVE | MREMAP_FIXED, place(elsewhere)) != place(elsewhere))
        return false;
    // And there it is written to.
    fill(elsewhere, 55);
    for_range(expected, elsewhere, 1, 55, true);
    return target == 0;
}
bool shrink(Expected& expected, pid_t) {
    if (pages == 1) return true;
    for_range(expected, pages - 1, 1, -1, true);
    return mremap(start, pages * page, (pages - 1) * page, 0) == start;
}
bool drop(Expected& expected, pid_t) {
    for_range(expected, 0, pages / 2 + 1, 0, true);
    return madvise(start, (pages / 2 + 1) * page, MADV_DONTNEED) == 0;
}
bool replace(Expected& expected, pid_t) {
    for_range(expected, 0, 1, 0, true);
    return mmap(start, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == start;
}
bool populate(Expected& expected, pid_t target) {
    return madvise(start, pages * page, 23 /* MADV_POPULATE_WRITE */) == 0 && store(expected, target);
}
bool give_up_later(Expected&, pid_t) {
    // Only the next fork shall heed these: what was inherited already stays.
    return madvise(start, page, 18 /* MADV_WIPEONFORK */) == 0 && madvise(place(pages - 1), page, MADV_DONTFORK) == 0;
}

struct Named {
    const char* name;
    Change change;
    bool from_outside; // can be done to another process
    bool heeds_fork;   // a grandchild doesn't see what its parent sees
};

constexpr Named changes[] = {
    {"store", store, false, false},
    {"store to all", store_all, false, false},
    {"read(2) into it", kernel_store, false, false},
    {"process_vm_writev", foreign_store, true, false},
    {"/proc/PID/mem", memory_file_store, true, false},
    {"munmap a part", unmap_part, false, false},
    {"munmap", unmap_whole, false, false},
    {"mprotect read-only", make_read_only, false, false},
    {"mprotect none", make_inaccessible, false, false},
    {"mprotect to and fro, store", toggle_and_store, false, false},
    {"mremap", move, false, false},
    {"mremap smaller", shrink, false, false},
    {"MADV_DONTNEED", drop, false, false},
    {"mmap over it", replace, false, false},
    {"MADV_POPULATE_WRITE", populate, false, false},
    {"DONTFORK and WIPEONFORK", give_up_later, false, true},
};

// -- who does it and who looks on
// --------------------------------------------------------------------------------------

int grandchild_compares(Expected expected, const Named& named) {
    if (named.heeds_fork)
        for (int i = 0; i < expected.count; i++) {
            if (expected.at[i] == 0) expected.value[i] = 0;
            if (expected.at[i] == pages - 1) expected.value[i] = -1; // wins over being wiped
        }
    pid_t child = fork();
    if (child == 0) _exit(compare(expected));
    int status = -1;
    waitpid(child, &status, 0);
    return status == 0 ? 0 : 100 + WEXITSTATUS(status);
}

struct Bystander {
    pid_t pid;
    int go, answer;
};

/// A child that, at each byte it is sent, compares with `expected` and answers; it ends when nothing more comes.
template <typename Answer>
Bystander bystander(Answer answer) {
    int there[2], back[2];
    REQUIRE(pipe(there) == 0 && pipe(back) == 0);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        close(there[1]), close(back[0]);
        unsigned char byte;
        while (read(there[0], &byte, 1) == 1) {
            byte = static_cast<unsigned char>(answer(byte));
            if (write(back[1], &byte, 1) != 1) break;
        }
        _exit(0);
    }
    close(there[0]), close(back[1]);
    return {child, there[1], back[0]};
}

int ask(Bystander& who, char what) {
    unsigned char answer = 255;
    if (write(who.go, &what, 1) != 1 || read(who.answer, &answer, 1) != 1) return 254;
    return answer;
}

void dismiss(Bystander& who) {
    close(who.go), close(who.answer);
    int status = -1;
    waitpid(who.pid, &status, 0);
    CHECK_EQ(status, 0);
}

enum class Actor { Parent, Child, ParentOnChild };

void map_filled() {
    memory::map_at(window, 8 * span, PROT_NONE);
    munmap(window, 8 * span);
    memory::map_at(start, pages * page);
    for (size_t at = 0; at < pages; at++) fill(at, int(at % 100) + 1);
}

void play(const char* shape, const Named& named, Actor actor) {
    map_filled();
    Expected before = untouched(), after = before;
    auto looker = bystander([&](char) { return compare(before); });
    auto other = bystander([&](char what) {
        if (what == 'c') return named.change(after, 0) ? 0 : 253;
        if (what == 'g') return grandchild_compares(after, named);
        return compare(after);
    });
    // 'other' is the one whose memory changes when the parent's doesn't.
    bool ours = actor == Actor::Parent;
    int done = ours                    ? !named.change(after, 0)
               : actor == Actor::Child ? ask(other, 'c')
                                       : !named.change(after, other.pid);
    int seen_by_looker = ask(looker, '?');
    int seen_by_us = compare(ours ? after : before);
    // Changed from outside, or not at all, `other` doesn't know `after`: it is told by a look from here.
    int seen_by_other = actor == Actor::Child ? ask(other, '?') : ours ? ask(other, '?') : 0;
    int grandchild = ours ? grandchild_compares(after, named) : actor == Actor::Child ? ask(other, 'g') : 0;
    if (actor == Actor::ParentOnChild)
        for (int i = 0; i < after.count; i++) {
            char byte = 0;
            iovec here{&byte, 1}, there{place(after.at[i]) + 7, 1};
            if (after.value[i] >= 0 &&
                (process_vm_readv(other.pid, &here, 1, &there, 1, 0) != 1 || byte != after.value[i]))
                seen_by_other = i + 1;
        }
    if (done || seen_by_looker || seen_by_us || seen_by_other || grandchild) {
        printf("%s, %s, actor %d: done %d, sibling %d, parent %d, child %d, grandchild %d\n", shape, named.name,
               int(actor), done, seen_by_looker, seen_by_us, seen_by_other, grandchild);
        CHECK(!"as expected");
    }
    // The parent's memory outlives them, and is its own.
    dismiss(other), dismiss(looker);
    CHECK_EQ(compare(ours ? after : before), 0);
    munmap(start, pages * page), munmap(place(elsewhere), pages * page);
}

struct Shape {
    const char* name;
    size_t first, count; // pages from the beginning of a table
};

} // namespace

int main() {
    const size_t table = span / page;
    const Shape shapes[] = {
        {"one page", 3, 1},
        {"some pages", 5, 9},
        {"a table less a page", 0, table - 1},
        {"a table", 0, table},
        {"a table, shifted", table / 2, table},
        {"two pages over an edge", table - 1, 2},
        {"a table and a page", 0, table + 1},
        {"over two edges", table - 3, table + 6},
    };
    // Room for the widest, and for where it moves to: a whole number of tables away, or not.
    window = memory::reserve_aligned(8 * span);
    for (const Shape& shape : shapes) {
        start = window + shape.first * page;
        pages = shape.count;
        for (const Named& named : changes) {
            elsewhere = (&named - changes) % 2 ? 4 * table : 4 * table + 7;
            play(shape.name, named, Actor::Parent);
            play(shape.name, named, Actor::Child);
            if (named.from_outside) play(shape.name, named, Actor::ParentOnChild);
        }
    }
    return check::result();
}
