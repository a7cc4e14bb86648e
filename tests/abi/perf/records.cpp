// perf_event_open(2): the records that say what threads and memory are: COMM, MMAP, MMAP2, FORK, EXIT, SWITCH, and what
// is appended to them. needs-linux: 5.13
#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>

#include <string>

#include "affinity.hpp"
#include "child.hpp"
#include "perf_ring.hpp"

using namespace check;
using namespace memory;
using namespace perf;

namespace {

constexpr uint64_t trailer =
    PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_ID | PERF_SAMPLE_CPU | PERF_SAMPLE_IDENTIFIER;
constexpr size_t trailer_words = 5;

perf_event_attr watching() {
    perf_event_attr attributes = software(PERF_COUNT_SW_DUMMY, 0, trailer);
    attributes.sample_id_all = 1;
    attributes.use_clockid = 1;
    attributes.clockid = CLOCK_MONOTONIC;
    return attributes;
}

uint64_t ids(pid_t process, pid_t thread) { return uint32_t(process) | uint64_t(uint32_t(thread)) << 32; }

uint64_t monotonic_now() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return uint64_t(now.tv_sec) * 1000000000 + now.tv_nsec;
}

/// The text that begins with that word.
std::string text(const Record& record, size_t word) {
    const char* begin = reinterpret_cast<const char*>(record.words.data() + word);
    return std::string(begin, strnlen(begin, (record.words.size() - word) * 8));
}

void check_trailer(const Record& record, int event, uint64_t who, uint64_t since) {
    uint64_t id = 0;
    ioctl(event, PERF_EVENT_IOC_ID, &id);
    const uint64_t* words = record.words.data() + record.words.size() - trailer_words;
    CHECK_EQ(words[0], who);
    CHECK_GE(words[1], since);
    CHECK_LE(words[1], monotonic_now());
    CHECK_EQ(words[2], id);
    CHECK_EQ(words[4], id);
}

void names() {
    perf_event_attr attributes = watching();
    attributes.comm = 1;
    const int event = opened(open_event(&attributes));
    Ring ring(event, 4);
    const uint64_t since = monotonic_now();
    CHECK_OK(prctl(PR_SET_NAME, "seven77"));
    CHECK_OK(prctl(PR_SET_NAME, "as-long-as-it-can-be"));
    const std::vector<Record> records = ring.take(PERF_RECORD_COMM);
    CHECK_EQ(records.size(), 2u);
    for (const Record& record : records) {
        CHECK_EQ(record.words[0], ids(getpid(), gettid()));
        CHECK_EQ(record.header.misc & PERF_RECORD_MISC_COMM_EXEC, 0);
        check_trailer(record, event, ids(getpid(), gettid()), since);
    }
    if (records.size() == 2) {
        CHECK(text(records[0], 1) == "seven77");
        CHECK_EQ(records[0].words.size(), 2 + trailer_words);
        CHECK(text(records[1], 1) == "as-long-as-it-c");
        CHECK_EQ(records[1].words.size(), 3 + trailer_words);
    }
    close(event);
}

void mappings() {
    const int file = opened(open("/proc/self/exe", O_RDONLY));
    struct stat status;
    CHECK_OK(fstat(file, &status));
    char path[4096] = {};
    readlink("/proc/self/exe", path, sizeof path - 1);
    for (bool longer : {false, true}) {
        perf_event_attr attributes = watching();
        attributes.mmap = 1;
        attributes.mmap2 = longer;
        const int event = opened(open_event(&attributes));
        Ring ring(event, 4);
        const uint64_t since = monotonic_now();
        void* code = mmap(nullptr, 2 * page, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
        void* data = mmap(nullptr, 2 * page, PROT_READ, MAP_PRIVATE, file, 0); // not wanted
        const std::vector<Record> records = ring.take();
        CHECK_EQ(records.size(), 1u);
        if (records.empty()) continue;
        const Record& record = records[0];
        CHECK_EQ(record.header.type, uint32_t(longer ? PERF_RECORD_MMAP2 : PERF_RECORD_MMAP));
        CHECK_EQ(record.header.misc & PERF_RECORD_MISC_MMAP_DATA, 0);
        CHECK_EQ(record.header.misc & PERF_RECORD_MISC_CPUMODE_MASK, PERF_RECORD_MISC_USER);
        CHECK_EQ(record.words[0], ids(getpid(), gettid()));
        CHECK_EQ(record.words[1], uint64_t(code));
        CHECK_EQ(record.words[2], 2 * page);
        CHECK_EQ(record.words[3], 0u);
        if (longer) {
            CHECK_EQ(uint32_t(record.words[4]), major(status.st_dev));
            CHECK_EQ(record.words[4] >> 32, minor(status.st_dev));
            CHECK_EQ(record.words[5], status.st_ino);
            CHECK_EQ(uint32_t(record.words[7]), uint32_t(PROT_READ | PROT_EXEC));
            CHECK_EQ(record.words[7] >> 32 & MAP_TYPE, uint64_t(MAP_PRIVATE));
        }
        CHECK(text(record, longer ? 8 : 4) == path);
        check_trailer(record, event, ids(getpid(), gettid()), since);
        munmap(code, 2 * page), munmap(data, 2 * page);
        close(event);
    }
    perf_event_attr attributes = watching();
    attributes.mmap = attributes.mmap_data = 1;
    const int event = opened(open_event(&attributes));
    Ring ring(event, 4);
    void* memory = mmap(nullptr, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool found = false;
    for (const Record& record : ring.take(PERF_RECORD_MMAP)) {
        if (record.words[1] > uint64_t(memory) || record.words[1] + record.words[2] < uint64_t(memory) + 3 * page)
            continue;
        found = true;
        CHECK(record.header.misc & PERF_RECORD_MISC_MMAP_DATA);
        CHECK(text(record, 4) == "//anon");
    }
    CHECK(found);
    CHECK_OK(mprotect(memory, 3 * page, PROT_READ | PROT_EXEC));
    found = false;
    for (const Record& record : ring.take(PERF_RECORD_MMAP))
        if (record.words[1] == uint64_t(memory)) found = !(record.header.misc & PERF_RECORD_MISC_MMAP_DATA);
    CHECK(found);
    munmap(memory, 3 * page), close(event), close(file);
}

void forks() {
    stay_on(0);
    perf_event_attr attributes = watching();
    attributes.task = 1;
    attributes.comm = 1;
    attributes.inherit = 1;
    const int event = opened(open_event(&attributes, 0, 0));
    Ring ring(event, 8);
    ring.take();
    const uint64_t since = monotonic_now();
    const pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_NAME, "the-child");
        _Exit(0);
    }
    CHECK_EQ(waitpid(child, nullptr, 0), child);
    int step = 0;
    for (const Record& record : ring.take()) {
        if (record.header.type == PERF_RECORD_FORK) {
            CHECK_EQ(step++, 0);
            CHECK_EQ(record.words[0], ids(child, getpid()));
            CHECK_EQ(record.words[1], ids(child, gettid()));
            CHECK_GE(record.words[2], since);
            check_trailer(record, event, ids(getpid(), gettid()), since);
        } else if (record.header.type == PERF_RECORD_COMM) {
            CHECK_EQ(step++, 1);
            CHECK(text(record, 1) == "the-child");
            check_trailer(record, event, ids(child, child), since);
        } else if (record.header.type == PERF_RECORD_EXIT) {
            CHECK_EQ(step++, 2);
            CHECK_EQ(record.words[0], ids(child, getpid()));
            CHECK_EQ(uint32_t(record.words[1]), uint32_t(child));
        }
    }
    CHECK_EQ(step, 3);
    close(event);
}

/// Readers forget a thread's name with its end, so no sample may come behind that.
void last_samples() {
    stay_on(0);
    perf_event_attr attributes = software(PERF_COUNT_SW_CPU_CLOCK, 10'000, PERF_SAMPLE_TID);
    attributes.task = attributes.inherit = 1;
    const int event = opened(open_event(&attributes, 0, 0));
    Ring ring(event, 64);
    int ends = 0;
    for (int round = 0; round < 200; round++) {
        ring.take();
        const pid_t child = fork();
        if (child == 0) _Exit(0);
        CHECK_EQ(waitpid(child, nullptr, 0), child);
        bool has_ended = false;
        for (const Record& record : ring.take()) {
            if (record.words.empty() ||
                record.words[0] != (record.header.type == PERF_RECORD_EXIT ? ids(child, getpid()) : ids(child, child)))
                continue;
            CHECK(!has_ended);
            if (record.header.type == PERF_RECORD_EXIT) has_ended = true, ends++;
        }
    }
    CHECK_GE(ends, 100); // some find no room
    close(event);
}

void executions() {
    stay_on(0);
    perf_event_attr attributes = watching();
    attributes.comm = attributes.comm_exec = attributes.mmap = attributes.mmap2 = attributes.inherit = 1;
    attributes.disabled = attributes.enable_on_exec = 1;
    int go[2];
    CHECK_OK(pipe(go));
    const pid_t child = fork();
    if (child == 0) {
        char byte;
        read(go[0], &byte, 1);
        prctl(PR_SET_NAME, "not-yet-watched");
        execl("/proc/self/exe", "records", "leave", nullptr);
        _Exit(1);
    }
    const int event = opened(open_event(&attributes, child, 0));
    Ring ring(event, 16);
    write(go[1], "", 1);
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    char path[4096] = {};
    readlink("/proc/self/exe", path, sizeof path - 1);
    size_t names = 0, programs = 0, vdsos = 0;
    for (const Record& record : ring.take()) {
        if (record.header.type == PERF_RECORD_EXIT) continue; // comes with the others, whether asked for or not
        CHECK_EQ(record.words[0], ids(child, child));
        if (record.header.type == PERF_RECORD_COMM) {
            CHECK(record.header.misc & PERF_RECORD_MISC_COMM_EXEC);
            ++names;
        } else if (record.header.type == PERF_RECORD_MMAP2) {
            CHECK_EQ(names, 1u); // the name comes first
            programs += text(record, 8) == path;
            vdsos += text(record, 8) == "[vdso]";
        }
    }
    CHECK_EQ(names, 1u);
    CHECK_GE(programs, 1u);
    CHECK_EQ(vdsos, 1u);
    close(event), close(go[0]), close(go[1]);
}

void switches() {
    perf_event_attr attributes = watching();
    attributes.context_switch = 1;
    const int mine = opened(open_event(&attributes)), of_cpu = opened(open_event(&attributes, -1, 1));
    Ring my_ring(mine, 8), cpu_ring(of_cpu, 8);
    stay_on(1);
    my_ring.take(), cpu_ring.take();
    for (int i = 0; i < 10; ++i) usleep(2000);
    size_t in = 0, out = 0;
    for (const Record& record : my_ring.take()) {
        CHECK_EQ(record.header.type, uint32_t(PERF_RECORD_SWITCH));
        CHECK_EQ(record.words.size(), trailer_words);
        CHECK_EQ(record.words[0], ids(getpid(), gettid()));
        (record.header.misc & PERF_RECORD_MISC_SWITCH_OUT ? out : in) += 1;
    }
    CHECK_GE(out, 8u);
    CHECK_GE(in, 8u);
    in = out = 0;
    for (const Record& record : cpu_ring.take()) {
        CHECK_EQ(record.header.type, uint32_t(PERF_RECORD_SWITCH_CPU_WIDE));
        CHECK_EQ(record.words.size(), 1 + trailer_words);
        if (record.words[1] != ids(getpid(), gettid())) continue;
        (record.header.misc & PERF_RECORD_MISC_SWITCH_OUT ? out : in) += 1;
    }
    CHECK_GE(out, 8u);
    CHECK_GE(in, 8u);
    close(mine), close(of_cpu);
}

} // namespace

int main(int arguments, char**) {
    if (arguments > 1) return 0;
    names();
    mappings();
    forks();
    last_samples();
    executions();
    switches();
    return result();
}
