// /proc/sys/kernel/core_pattern written by the thousand: names with every specifier and with none that there is, pipes,
// texts that are too long, NULs; and a program without rights that crashes for every so many of them, while the next
// are written. What was written is what is read; a core file is its program's, and never where that may not write.
#pragma once

#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <string>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <atomic>

#include "child.hpp"
#include "nasty_words.hpp"
#include "proc_text.hpp"

namespace pattern_fuzz {

using namespace check;
using nasty::random_word;

constexpr const char* setting = "/proc/sys/kernel/core_pattern";
constexpr size_t longest = 127; // that the kernel keeps
constexpr int writes_to_a_crash = 200;
constexpr uid_t nobody = 60000;
constexpr const char* helper_word = "drain";

inline std::string root, open_folder, closed_folder, program;

/// What a pipe leads to: takes the core, or goes without.
inline int help(int count, char** arguments) {
    char buffer[4096];
    if (count > 2 && strlen(arguments[2]) % 2) return 0;
    while (read(0, buffer, sizeof buffer) > 0) {
    }
    return 0;
}

inline std::string word() {
    static constexpr const char* words[] = {
        "core", "a",  "link", "../", "/",  ".",  "%",  "%%", "%z", " ",  "\t", "|",  "\\", "%p", "%P",   "%i", "%I",
        "%u",   "%g", "%d",   "%s",  "%t", "%h", "%e", "%f", "%E", "%c", "%C", "%F", "\n", "@",  "\xff", "//", "%\n"};
    switch (random_word() % 32) {
    case 0:
        return std::string(1, char(random_word()));
    case 1:
        return std::string(random_word() % 200, 'b');
    case 2:
        return std::string(1, '\0');
    case 3:
        return random_word() % 16 ? "c" : std::string(random_word() % 9000, '%');
    default:
        return words[random_word() % (sizeof words / sizeof *words)];
    }
}

inline std::string pattern() {
    std::string text;
    switch (random_word() % 8) {
    case 0:
        text = "|" + program + " " + helper_word + " ";
        break;
    case 1:
        text = "|";
        break;
    case 2:
        text = closed_folder + "/";
        break;
    case 3:
        text = open_folder + "/";
        break;
    case 4:
        return random_word() % 2 ? "link" : closed_folder + "/%e.%p";
    case 5:
        text = "core.%p";
        break;
    }
    for (uint64_t i = random_word() % 10; i > 0; --i) text += word();
    return text;
}

/// Writes it and sees what has come of it.
inline void write_pattern(int file, const std::string& text, std::string& kept) {
    const ssize_t written = pwrite(file, text.data(), text.size(), 0);
    if (written < 0) {
        const int why = errno;
        CHECK_EQ(why, EINVAL); // of thousands of bytes, and newer ones of Linux look at what they say
    } else {
        CHECK_EQ(size_t(written), text.size());
        if (!text.empty()) kept = text.substr(0, std::min(text.find_first_of(std::string("\n\0", 2)), longest));
    }
    char buffer[300];
    const ssize_t got = pread(file, buffer, sizeof buffer, 0);
    if (got >= 0 && std::string(buffer, size_t(got)) == kept + "\n") return;
    CHECK(false);
    printf("wrote %zu bytes: \"%s\"\nread \"%.*s\"\n", text.size(), text.c_str(), int(got), buffer);
}

[[noreturn]] inline void crash(int signal, uint64_t limit) {
    const rlimit most = {limit, RLIM_INFINITY};
    CHECK_OK(setrlimit(RLIMIT_CORE, &most));
    CHECK_OK(setgid(nobody));
    CHECK_OK(setuid(nobody));
    CHECK_OK(prctl(PR_SET_DUMPABLE, 1));
    if (failures) _exit(1);
    raise(signal);
    _exit(2);
}

/// Every core file is one of who has crashed; they are taken away. How many there were.
inline int collect_files() {
    int found = 0;
    DIR* folder = opendir(".");
    REQUIRE(folder);
    while (dirent* entry = readdir(folder)) {
        struct stat status;
        if (entry->d_name[0] == '.' && strspn(entry->d_name, ".") == strlen(entry->d_name)) continue;
        if (strcmp(entry->d_name, "link") == 0) continue;
        CHECK_OK(lstat(entry->d_name, &status));
        CHECK(S_ISREG(status.st_mode));
        CHECK_EQ(status.st_uid, nobody);
        CHECK_EQ(status.st_mode & 0777, 0600u);
        CHECK_OK(unlink(entry->d_name));
        ++found;
    }
    closedir(folder);
    return found;
}

inline bool is_empty(const std::string& folder) {
    DIR* entries = opendir(folder.c_str());
    REQUIRE(entries);
    int found = 0;
    while (readdir(entries)) ++found;
    closedir(entries);
    return found == 2;
}

struct Progress {
    std::atomic<int> ordered, done, files, flags;
};
inline Progress* progress;

/// Crashes as often as is ordered, until it has been that often.
inline void crash_on_order(int all) {
    static constexpr int signals[] = {SIGSEGV, SIGABRT, SIGBUS, SIGQUIT, SIGSYS, SIGXCPU};
    static constexpr uint64_t limits[] = {0, 1, 4096, 70'000, RLIM_INFINITY, RLIM_INFINITY};
    nasty::seed(4711);
    while (progress->done < all) {
        if (progress->done == progress->ordered) {
            sched_yield();
            continue;
        }
        const int signal = signals[random_word() % 6];
        const uint64_t limit = limits[random_word() % 6];
        const int status = in_child([&] { crash(signal, limit); });
        CHECK(died_of(status, signal));
        if (WIFSIGNALED(status) && WCOREDUMP(status)) progress->flags++;
        progress->files += collect_files();
        CHECK(is_empty(closed_folder));
        progress->done++;
    }
}

inline void make_folders() {
    char name[] = "/tmp/cores.XXXXXX";
    REQUIRE(mkdtemp(name));
    root = name;
    open_folder = root + "/open";
    closed_folder = root + "/closed";
    CHECK_OK(chmod(name, 0755));
    CHECK_OK(mkdir(open_folder.c_str(), 0755));
    CHECK_OK(chown(open_folder.c_str(), nobody, nobody));
    CHECK_OK(mkdir(closed_folder.c_str(), 0700));
    CHECK_OK(chdir(open_folder.c_str()));
    CHECK_OK(symlink((closed_folder + "/led").c_str(), "link"));
    char buffer[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", buffer, sizeof buffer);
    REQUIRE(length > 0);
    program.assign(buffer, size_t(length));
}

inline void remove_folders() {
    CHECK_EQ(collect_files(), 0);
    CHECK_OK(unlink("link"));
    CHECK_OK(chdir("/tmp"));
    CHECK_OK(rmdir(open_folder.c_str()));
    CHECK_OK(rmdir(closed_folder.c_str()));
    CHECK_OK(rmdir(root.c_str()));
}

inline int run(int count) {
    progress = static_cast<Progress*>(
        mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    REQUIRE(progress != MAP_FAILED);
    const std::string before = proc_text::read_file(setting);
    make_folders();
    const int crashes = count / writes_to_a_crash;
    fflush(stdout);
    const pid_t crasher = fork();
    if (crasher == 0) {
        failures = 0;
        crash_on_order(crashes);
        fflush(stdout);
        _exit(result());
    }
    const int file = open(setting, O_RDWR);
    REQUIRE(file >= 0);
    std::string kept = before.substr(0, before.find('\n'));
    for (int i = 0; i < count; ++i) {
        nasty::seed(uint64_t(i));
        write_pattern(file, pattern(), kept);
        if (i % writes_to_a_crash == 0 && progress->ordered < crashes) progress->ordered++;
        while (progress->ordered > progress->done + 1) sched_yield(); // or all would crash with the last one
    }
    int status;
    CHECK_EQ(waitpid(crasher, &status, 0), crasher);
    CHECK_EQ(status, 0);
    close(file);
    CHECK(proc_text::write_file(setting, before.c_str()));
    remove_folders();
    CHECK_GT(progress->files.load(), crashes / 20); // or it would prove nothing
    printf("%d patterns, %d crashes: %d core files, %d said to have dumped\n", count, crashes, progress->files.load(),
           progress->flags.load());
    return result();
}

} // namespace pattern_fuzz
