// needs-linux: 5.18
// timeout: 180
//
// execve(2), execveat(2): how long arguments may be, chains of scripts, what can't be executed and why, paths relative
// to descriptors.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "child.hpp"

using namespace check;

namespace {

char self[256];
char* const no_strings[] = {nullptr};

int execveat(int directory, const char* path, char* const* arguments, char* const* environment, int flags) {
    return int(syscall(SYS_execveat, directory, path, arguments, environment, flags));
}

void write_bytes(const char* path, const char* text, size_t size, mode_t mode) {
    unlink(path);
    const int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, mode);
    REQUIRE(fd >= 0);
    CHECK_EQ(write(fd, text, size), ssize_t(size));
    close(fd);
}
void write_file(const char* path, const char* text, mode_t mode = 0755) { write_bytes(path, text, strlen(text), mode); }

/// What a child's execve says: errno, or the exit status of the program plus 1000.
template <typename F>
int said(F execute) {
    const int status = in_child([&] {
        errno = 0;
        execute();
        return errno;
    });
    return code_of(status);
}
int said_of(const char* path) {
    char* arguments[] = {const_cast<char*>("name"), const_cast<char*>("count"), nullptr};
    return said([&] { execv(path, arguments); });
}
constexpr int started = 200; // what the new program returns

/// Whether so many bytes of strings, each of `each` bytes with its NUL, can be passed; the stack limit is the caller's.
int pass_strings(size_t count, size_t each) {
    char* text = static_cast<char*>(malloc(each));
    memset(text, 'a', each - 1);
    text[each - 1] = 0;
    char** arguments = static_cast<char**>(malloc((count + 3) * sizeof(char*)));
    arguments[0] = self;
    arguments[1] = const_cast<char*>("count");
    for (size_t i = 0; i < count; ++i) arguments[2 + i] = text;
    arguments[2 + count] = nullptr;
    const int what = said([&] { execve(self, arguments, no_strings); });
    free(text);
    free(arguments);
    return what;
}

void total_of_strings() {
    struct {
        rlim_t stack;
        size_t total;
    } const cases[] = {
        {8 << 20, 2 << 20},  {4 << 20, 1 << 20},     {RLIM_INFINITY, 6 << 20},
        {64 << 20, 6 << 20}, {256 << 10, 128 << 10}, // never less than the 32 pages that POSIX asks for
    };
    rlimit before = {};
    CHECK_OK(getrlimit(RLIMIT_STACK, &before));
    for (const auto& [stack, total] : cases) {
        const rlimit limit = {stack, before.rlim_max};
        if (limit.rlim_cur > limit.rlim_max || CHECK_OK(setrlimit(RLIMIT_STACK, &limit)) == false) continue;
        // Strings and the pointers to them count together.
        const size_t each = 1024 - sizeof(char*);
        CHECK_EQ(pass_strings(total / 1024 - 4, each), started);
        CHECK_EQ(pass_strings(total / 1024 + 1, each), E2BIG);
        if (total > 1 << 20) continue; // it takes long
        // Many short ones: mostly pointers.
        CHECK_EQ(pass_strings(total / 10 - 500, 2), started);
        CHECK_EQ(pass_strings(total / 10 + 500, 2), E2BIG);
    }
    CHECK_OK(setrlimit(RLIMIT_STACK, &before));
}

void single_string() {
    const size_t most = 32 * size_t(sysconf(_SC_PAGESIZE));
    if (most <= 512 << 10) {
        CHECK_EQ(pass_strings(1, most), started);
        CHECK_EQ(pass_strings(1, most + 1), E2BIG);
    }
    char* text = static_cast<char*>(malloc(most + 1));
    memset(text, 'e', most);
    text[most] = 0;
    char* arguments[] = {self, const_cast<char*>("count"), nullptr};
    char* environment[] = {text, nullptr};
    CHECK_EQ(said([&] { execve(self, arguments, environment); }), E2BIG);
    text[most - 1] = 0;
    CHECK_EQ(said([&] { execve(self, arguments, environment); }), started);
    free(text);
}

/// A chain of n scripts, each the interpreter of the one before; the last one's is this program.
int chain(int length) {
    char name[64], text[400];
    for (int i = 0; i < length; ++i) {
        snprintf(name, sizeof name, "/tmp/chain.%d", i);
        if (i + 1 < length)
            snprintf(text, sizeof text, "#!/tmp/chain.%d\n", i + 1);
        else
            snprintf(text, sizeof text, "#!%s count\n", self);
        write_file(name, text);
    }
    const int what = said_of("/tmp/chain.0");
    for (int i = 0; i < length; ++i) {
        snprintf(name, sizeof name, "/tmp/chain.%d", i);
        unlink(name);
    }
    return what;
}

void scripts() {
    CHECK_EQ(chain(1), started);
    CHECK_EQ(chain(4), started);
    CHECK_EQ(chain(5), started);
    CHECK_EQ(chain(6), ELOOP);
    struct {
        const char* text;
        int wanted;
    } const cases[] = {
        {"", ENOEXEC},
        {"#", ENOEXEC},
        {"#!\n", ENOEXEC},
        {"#!   \t \n", ENOEXEC},
        {"#! \n/bin/sh", ENOEXEC},
        {"#!/nonexistent", ENOENT}, // without a newline too
        {"#!/tmp\n", EACCES},
        {"#!/dev/null\n", EACCES},
        {"#!/tmp/unexecutable\n", EACCES},
        {"#!/tmp/text\n", ENOEXEC},
        {"#!/tmp/text/more\n", ENOTDIR},
        {"# !/bin/sh\n", ENOEXEC},
        {"\n#!/bin/sh\n", ENOEXEC},
        {"hello\n", ENOEXEC},
        {"\177ELF", ENOEXEC},
    };
    write_file("/tmp/unexecutable", "#!/bin/sh\n", 0644);
    write_file("/tmp/text", "no program\n");
    for (const auto& each : cases) {
        write_file("/tmp/case", each.text);
        const int what = said_of("/tmp/case");
        if (what != each.wanted) printf("script \"%s\":\n", each.text);
        CHECK_EQ(what, each.wanted);
    }
    // The line ends at its 255th byte: an interpreter's name that is cut there isn't run, a cut argument is.
    char line[400];
    memset(line, 'x', sizeof line);
    memcpy(line, "#!/tmp/", 7);
    write_bytes("/tmp/case", line, sizeof line, 0755);
    CHECK_EQ(said_of("/tmp/case"), ENOEXEC);
    const int length = snprintf(line, sizeof line, "#!%s count", self);
    line[length] = 'x';
    write_bytes("/tmp/case", line, sizeof line, 0755);
    char* arguments[] = {const_cast<char*>("name"), nullptr};
    CHECK_EQ(said([&] { execv("/tmp/case", arguments); }), started);
    for (const char* name : {"/tmp/case", "/tmp/unexecutable", "/tmp/text"}) unlink(name);
}

void refusals() {
    char longest[5000];
    memset(longest, 'x', sizeof longest);
    longest[4999] = 0;
    CHECK_EQ(said_of(longest), ENAMETOOLONG);
    longest[4096] = 0;
    CHECK_EQ(said_of(longest), ENAMETOOLONG);
    longest[256] = 0;
    CHECK_EQ(said_of(longest), ENAMETOOLONG); // one component of more than 255
    longest[255] = 0;
    CHECK_EQ(said_of(longest), ENOENT);
    CHECK_EQ(said_of("/dev/null"), EACCES);
    CHECK_EQ(said_of("/dev"), EACCES);
    CHECK_EQ(said_of("/dev/null/x"), ENOTDIR);
    CHECK_OK(symlink("/tmp/circle", "/tmp/circle"));
    CHECK_EQ(said_of("/tmp/circle"), ELOOP);
    unlink("/tmp/circle");
    CHECK_OK(mkfifo("/tmp/fifo", 0777));
    CHECK_EQ(said_of("/tmp/fifo"), EACCES);
    unlink("/tmp/fifo");
    // Root may execute what anybody may, and not what nobody may; others need the right to search the way.
    write_file("/tmp/secret", "#!/bin/sh\n", 0600);
    CHECK_EQ(said_of("/tmp/secret"), EACCES);
    unlink("/tmp/secret");
    CHECK_OK(mkdir("/tmp/closed", 0700));
    CHECK_OK(symlink(self, "/tmp/closed/program"));
    char* arguments[] = {const_cast<char*>("name"), const_cast<char*>("count"), nullptr};
    CHECK_EQ(said_of("/tmp/closed/program"), started);
    CHECK_EQ(said([&] {
                 CHECK_OK(setuid(1000));
                 execv("/tmp/closed/program", arguments);
             }),
             EACCES);
    unlink("/tmp/closed/program");
    CHECK_OK(mount("none", "/tmp/closed", "tmpfs", MS_NOEXEC, "mode=0777"));
    write_file("/tmp/closed/script", "#!/bin/sh\n");
    CHECK_EQ(said_of("/tmp/closed/script"), EACCES);
    write_file("/tmp/outside", "#!/tmp/closed/script\n");
    CHECK_EQ(said_of("/tmp/outside"), EACCES);
    unlink("/tmp/outside");
    CHECK_OK(umount2("/tmp/closed", MNT_DETACH));
    rmdir("/tmp/closed");
}

/// Open for writing: nobody executes it, by any way, and who executes keeps writers out.
void busy_texts() {
    char copy[] = "/tmp/busy.copy";
    const int from = open(self, O_RDONLY), to = open(copy, O_CREAT | O_RDWR | O_TRUNC, 0755);
    static char bytes[65536];
    for (ssize_t got; (got = read(from, bytes, sizeof bytes)) > 0;) CHECK_EQ(write(to, bytes, size_t(got)), got);
    close(from);
    CHECK_EQ(said_of(copy), ETXTBSY);
    write_file("/tmp/busy.script", "#!/tmp/busy.copy count\n");
    CHECK_EQ(said_of("/tmp/busy.script"), ETXTBSY);
    const int reading = open(copy, O_RDONLY);
    CHECK_EQ(said([&] { execveat(reading, "", no_strings, no_strings, AT_EMPTY_PATH); }), ETXTBSY);
    close(to);
    CHECK_EQ(said_of(copy), started);
    int pipes[2];
    CHECK_OK(pipe(pipes));
    const pid_t child = fork();
    if (child == 0) {
        dup2(pipes[0], 0);
        close(pipes[1]);
        execl(copy, copy, "wait", nullptr);
        _exit(1);
    }
    close(pipes[0]);
    char name[64], target[64] = {};
    snprintf(name, sizeof name, "/proc/%d/exe", child);
    while (!(readlink(name, target, sizeof target) == sizeof copy - 1 && !memcmp(target, copy, sizeof copy - 1)))
        usleep(1000);
    CHECK_ERRNO(open(copy, O_WRONLY), ETXTBSY);
    CHECK_ERRNO(truncate(copy, 0), ETXTBSY);
    CHECK_ERRNO(open(copy, O_RDONLY | O_TRUNC), ETXTBSY);
    const int again = open(copy, O_RDONLY);
    CHECK_OK(again);
    close(again);
    close(pipes[1]); // ends it
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, started << 8);
    const int writing = open(copy, O_WRONLY);
    CHECK_OK(writing);
    close(writing);
    close(reading);
    unlink(copy);
    unlink("/tmp/busy.script");
}

void by_descriptor() {
    char* count[] = {const_cast<char*>("name"), const_cast<char*>("count"), nullptr};
    char* shown[] = {const_cast<char*>("name"), const_cast<char*>("shown"), nullptr};
    const int program = open(self, O_RDONLY | O_CLOEXEC), place = open(self, O_PATH | O_CLOEXEC);
    auto at = [&](int fd, const char* path, int flags) {
        return said([&] { execveat(fd, path, count, no_strings, flags); });
    };
    CHECK_EQ(at(program, "", AT_EMPTY_PATH), started);
    CHECK_EQ(at(place, "", AT_EMPTY_PATH), started);
    CHECK_EQ(at(program, "", 0), ENOENT);
    CHECK_EQ(at(program, "x", 0), ENOTDIR);
    CHECK_EQ(at(-1, self, 0), started); // absolute: not looked at
    CHECK_EQ(at(-1, "x", 0), EBADF);
    CHECK_EQ(at(-1, "", AT_EMPTY_PATH), EBADF);
    CHECK_EQ(at(AT_FDCWD, "", AT_EMPTY_PATH), EACCES); // a directory
    CHECK_EQ(at(AT_FDCWD, "", 0), ENOENT);
    for (int bit = 0; bit < 32; ++bit) {
        const int flag = int(1u << bit);
        if (flag == AT_EMPTY_PATH || flag == AT_SYMLINK_NOFOLLOW || flag == 0x10000 /* AT_EXECVE_CHECK, 6.14 */)
            continue;
        CHECK_EQ(at(program, "", AT_EMPTY_PATH | flag), EINVAL);
    }
    CHECK_EQ(said([&] { execveat(program, reinterpret_cast<char*>(8), count, no_strings, AT_EMPTY_PATH); }), EFAULT);
    const int directory = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK_OK(symlinkat(self, directory, "link"));
    CHECK_EQ(at(directory, "link", 0), started);
    CHECK_EQ(at(directory, "link", AT_SYMLINK_NOFOLLOW), ELOOP);
    const int link = open("/tmp/link", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    CHECK_EQ(at(link, "", AT_EMPTY_PATH), ELOOP);
    close(link);

    // A script's interpreter opens /dev/fd/N: with O_CLOEXEC there's nothing.
    char text[400];
    snprintf(text, sizeof text, "#!%s count\n", self);
    write_file("/tmp/by.script", text);
    const int closing = open("/tmp/by.script", O_RDONLY | O_CLOEXEC), staying = open("/tmp/by.script", O_RDONLY);
    CHECK_EQ(at(closing, "", AT_EMPTY_PATH), ENOENT);
    CHECK_EQ(at(staying, "", AT_EMPTY_PATH), started);
    CHECK_EQ(at(directory, "by.script", 0), ENOENT);
    snprintf(text, sizeof text, "#!%s shown\n", self);
    write_file("/tmp/by.script", text);
    // What the interpreter is told: /dev/fd/N, or /dev/fd/N/PATH.
    CHECK_OK(dup3(open("/tmp/by.script", O_RDONLY), 70, 0));
    CHECK_OK(dup3(directory, 71, 0));
    CHECK_EQ(said([&] { execveat(70, "", shown, no_strings, AT_EMPTY_PATH); }), 70);
    CHECK_EQ(said([&] { execveat(71, "by.script", shown, no_strings, 0); }), 71);
    unlink("/tmp/by.script");
    unlink("/tmp/link");

    // A program in memory that no name leads to.
    const int memory = memfd_create("program", MFD_CLOEXEC);
    static char bytes[65536];
    lseek(program, 0, SEEK_SET);
    for (ssize_t got; (got = read(program, bytes, sizeof bytes)) > 0;) CHECK_EQ(write(memory, bytes, size_t(got)), got);
    CHECK_EQ(at(memory, "", AT_EMPTY_PATH), started); // open for writing by nobody but its maker: not busy
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
    const int reopened = open(path, O_RDONLY | O_CLOEXEC);
    CHECK_OK(reopened);
    close(memory);
    CHECK_EQ(at(reopened, "", AT_EMPTY_PATH), started);
    for (const int fd : {program, place, directory, closing, staying, reopened}) close(fd);
}

/// No argument at all becomes one empty string (since Linux 5.18).
void no_arguments() {
    CHECK_EQ(said([] { execve(self, no_strings, no_strings); }), 201);
    CHECK_EQ(said([] { syscall(SYS_execve, self, nullptr, nullptr); }), 201);
}

int as_program(int count, char** arguments) {
    if (arguments[0] && arguments[0][0] == 0) return count == 1 ? 201 : 1;
    const char* what = count > 1 ? arguments[1] : "";
    if (!strncmp(what, "shown", 5))
        return !strcmp(arguments[2], "/dev/fd/70") ? 70 : !strcmp(arguments[2], "/dev/fd/71/by.script") ? 71 : 1;
    if (!strcmp(what, "wait")) {
        char byte;
        return read(0, &byte, 1) == 0 ? started : 1;
    }
    return !strncmp(what, "count", 5) ? started : 1;
}

} // namespace

int main(int count, char** arguments) {
    if (count > 1 || !arguments[0] || arguments[0][0] == 0) return as_program(count, arguments);
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    total_of_strings();
    single_string();
    scripts();
    refusals();
    busy_texts();
    by_descriptor();
    no_arguments();
    return result();
}
