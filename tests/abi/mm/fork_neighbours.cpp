// Several mappings with holes between them in what one last-level page table maps, most of it touched, and a fork: what
// happens to one of them, or in a hole, is nobody else's. Mappings that a fork treats in another way lie among them
// too. Least Linux: 4.14 (MADV_WIPEONFORK).
//
// needs-linux: 4.14
#include "child.hpp"
#include "memory.hpp"
#include <atomic>
#include <pthread.h>

namespace {

using memory::page;
using memory::span;

const size_t pages = span / page;
char* window; // one span, aligned

// Of the span: a first part, a hole, a second part, a hole up to the end.
const size_t first_end = pages / 2, second = pages / 2 + 16, second_end = pages - 16;

char* place(size_t at) { return window + at * page; }
char mark(size_t at) { return char(at % 120 + 1); }

void fill(size_t from, size_t to) {
    for (size_t at = from; at < to; at++) place(at)[9] = mark(at);
}
bool is_filled(size_t from, size_t to) {
    for (size_t at = from; at < to; at++)
        if (place(at)[9] != mark(at)) return false;
    return true;
}
bool is_all_filled() { return is_filled(0, first_end) && is_filled(second, second_end); }

void prepare() {
    munmap(window, span);
    madvise(memory::map_at(place(0), first_end * page), first_end * page, MADV_NOHUGEPAGE);
    memory::map_at(place(second), (second_end - second) * page);
    fill(0, first_end), fill(second, second_end);
}

/// Runs `change` in a child whose sibling, born before, and whose parent see nothing of it; then in the parent, and the
/// sibling sees nothing of that.
template <typename Change>
void play(const char* name, Change change) {
    fprintf(stderr, "%s\n", name);
    prepare();
    int go[2];
    REQUIRE(pipe(go) == 0);
    const pid_t sibling = fork();
    if (sibling == 0) {
        char byte;
        close(go[1]);
        (void)!read(go[0], &byte, 1);
        _exit(is_all_filled() ? 0 : 1);
    }
    close(go[0]);
    check::run_in_child([&] {
        change();
        CHECK(is_filled(1, first_end - 1));
        // What has changed is inherited in its turn.
        check::run_in_child([&] { CHECK(is_filled(1, first_end - 1)); });
    });
    CHECK(is_all_filled());
    change();
    CHECK(is_filled(1, first_end - 1));
    close(go[1]);
    int status = -1;
    CHECK_EQ(waitpid(sibling, &status, 0), sibling);
    CHECK_EQ(status, 0);
}

int memory_file(size_t size) {
    const int fd = memfd_create("neighbour", 0);
    REQUIRE(fd >= 0 && ftruncate(fd, off_t(size)) == 0);
    return fd;
}

void write_edges() {
    place(0)[9] = place(first_end - 1)[9] = 'x';
    place(second)[9] = 'y';
    CHECK(is_filled(second + 1, second_end));
}

/// A file's mapping comes up in the hole and is cut short before anybody looks into it.
void cut_file_in_hole(int type) {
    const int fd = memory_file(8 * page);
    char* file = place(first_end + 2);
    REQUIRE(mmap(file, 8 * page, PROT_READ | PROT_WRITE, type | MAP_FIXED, fd, 0) == file);
    CHECK_OK(ftruncate(fd, 0));
    CHECK_OK(ftruncate(fd, off_t(4 * page)));
    file[page] = 'f';
    CHECK_EQ(int(file[page]), 'f');
    CHECK_EQ(int(file[2 * page]), 0);
    CHECK_OK(ftruncate(fd, off_t(page)));
    CHECK(!memory::can_read(file + page));
    CHECK_OK(munmap(file, 8 * page));
    CHECK(is_filled(second, second_end));
    close(fd);
}

void move_into_hole() {
    char* other = memory::map(4 * page);
    other[9] = 'a', other[3 * page + 9] = 'b';
    char* target = place(second_end + 1);
    CHECK(mremap(other, 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_FIXED, target) == target);
    CHECK_EQ(int(target[9]), 'a');
    CHECK_EQ(int(target[page + 9]), 0);
    CHECK_EQ(int(target[3 * page + 9]), 'b');
    // A part of the table's own pages moves too.
    char* moved = place(first_end + 4);
    CHECK(mremap(place(second), 4 * page, 4 * page, MREMAP_MAYMOVE | MREMAP_FIXED, moved) == moved);
    CHECK_EQ(int(moved[9]), int(mark(second)));
    CHECK(!memory::is_mapped(place(second)));
    CHECK(is_filled(second + 4, second_end));
}

void unmap_one() {
    CHECK_OK(munmap(place(second), (second_end - second) * page));
    memory::map_at(place(second), (second_end - second) * page);
    for (size_t at = second; at < second_end; at++) CHECK_EQ(int(place(at)[9]), 0);
}

void drop_one() {
    CHECK_OK(madvise(place(second), (second_end - second) * page, MADV_DONTNEED));
    CHECK_EQ(int(place(second)[9]), 0);
    CHECK_EQ(int(place(second_end - 1)[9]), 0);
}

void protect_one() {
    CHECK_OK(mprotect(place(second), 2 * page, PROT_READ));
    CHECK(!memory::can_write(place(second)) && memory::can_write(place(second + 2)));
    CHECK(is_filled(second, second_end));
}

void unmap_all_but_first() {
    CHECK_OK(munmap(place(first_end), span - first_end * page));
    CHECK(!memory::is_mapped(place(second)));
}

/// Some pages of the span are not inherited, or come as zeros, or are the file's.
void mixed() {
    prepare();
    CHECK_OK(madvise(place(4), 2 * page, MADV_DONTFORK));
    CHECK_OK(madvise(place(second + 4), 2 * page, MADV_WIPEONFORK));
    const int fd = memory_file(4 * page);
    char* file = place(first_end + 2);
    REQUIRE(mmap(file, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0) == file);
    file[9] = 'p';
    check::run_in_child([&] {
        CHECK(!memory::is_mapped(place(4)) && !memory::is_mapped(place(5)));
        CHECK(is_filled(0, 4) && is_filled(6, first_end));
        CHECK(is_filled(second, second + 4) && is_filled(second + 6, second_end));
        CHECK_EQ(int(place(second + 4)[9]), 0);
        CHECK_EQ(int(file[9]), 'p');
        file[9] = 'q', place(0)[9] = 'q';
    });
    CHECK(is_all_filled());
    CHECK_EQ(int(file[9]), 'p');
    close(fd);
}

std::atomic<bool> is_over;
void* cut_and_grow(void* argument) {
    const int fd = *static_cast<int*>(argument);
    while (!is_over) {
        CHECK_OK(ftruncate(fd, 0));
        CHECK_OK(ftruncate(fd, off_t(8 * page)));
    }
    return nullptr;
}

/// A file in the hole is cut short while the table it would lie in goes from hand to hand: nobody's pages are taken for
/// the file's.
void race() {
    int fd = memory_file(8 * page);
    pthread_t thread;
    is_over = false;
    CHECK_EQ(pthread_create(&thread, nullptr, cut_and_grow, &fd), 0);
    const double begin = memory::now();
    while (memory::now() - begin < memory::seconds(2, 30)) {
        prepare();
        const pid_t child = fork();
        char* hole = place(first_end + 2);
        if (child == 0) {
            memory::map_at(hole, 8 * page);
            for (size_t i = 0; i < 8; i++) hole[i * page] = 'c';
            place(0)[9] = 'c';
            for (size_t i = 0; i < 8; i++) CHECK_EQ(int(hole[i * page]), 'c');
            CHECK(is_filled(1, first_end) && is_filled(second, second_end));
            _exit(check::result());
        }
        REQUIRE(mmap(hole, 8 * page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == hole);
        place(second)[9] = 'p';
        CHECK(is_filled(0, first_end) && is_filled(second + 1, second_end));
        int status = -1;
        CHECK_EQ(waitpid(child, &status, 0), child);
        CHECK_EQ(status, 0);
    }
    is_over = true;
    pthread_join(thread, nullptr);
    close(fd);
}

} // namespace

int main() {
    window = memory::reserve_aligned(span);
    play("writes", write_edges);
    play("a shared file's mapping in the hole", [] { cut_file_in_hole(MAP_SHARED); });
    play("a private file's mapping in the hole", [] { cut_file_in_hole(MAP_PRIVATE); });
    play("moves into the hole", move_into_hole);
    play("one mapping goes", unmap_one);
    play("one mapping's pages go", drop_one);
    play("one mapping's rights change", protect_one);
    play("all but the first go", unmap_all_but_first);
    mixed();
    race();
    return check::result();
}
