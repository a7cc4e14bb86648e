// execve(2): errors, scripts, limits, threads, close-on-exec, hostile files.
#include <csignal>
#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.hpp"

static char self[256];

static int run(char* const* arguments, const char* path) {
    pid_t child = fork();
    if (child == 0) {
        execv(path, arguments);
        _exit(errno);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void write_file(const char* path, const void* bytes, size_t size) {
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0755);
    REQUIRE(fd >= 0);
    CHECK_EQ(write(fd, bytes, size), ssize_t(size));
    close(fd);
}

static void check_errors() {
    CHECK_ERRNO(execl("/nonexistent", "x", nullptr), ENOENT);
    CHECK_ERRNO(execl("/", "x", nullptr), EACCES);
    CHECK_ERRNO(execl("", "x", nullptr), ENOENT);
    char* no_arguments[] = {nullptr};
    CHECK_ERRNO(execv((const char*)1, no_arguments), EFAULT);
    char* bad_vector[] = {(char*)1, nullptr};
    CHECK_ERRNO(execv(self, bad_vector), EFAULT);
    int fd = open("/tmp/busy", O_CREAT | O_WRONLY | O_TRUNC, 0755);
    CHECK_EQ(write(fd, "#!/bin/sh\n", 10), 10);
    CHECK_ERRNO(execl("/tmp/busy", "x", nullptr), ETXTBSY);
    close(fd);
    chmod("/tmp/busy", 0644);
    CHECK_ERRNO(execl("/tmp/busy", "x", nullptr), EACCES);
    CHECK_ERRNO(open(self, O_WRONLY), ETXTBSY);
    unlink("/tmp/busy");
}

static void check_limits() {
    size_t size = 32 * size_t(sysconf(_SC_PAGESIZE)); // MAX_ARG_STRLEN, with the NUL
    char* text = (char*)malloc(size + 1);
    memset(text, 'x', size);
    text[size] = 0;
    CHECK_ERRNO(execl(self, "exec", text, nullptr), E2BIG);
    text[size - 1] = 0;
    char* one[] = {self, (char*)"length", text, nullptr};
    CHECK_EQ(run(one, self), 77);
    // All together: a quarter of the stack limit.
    char* many[100];
    for (int i = 0; i < 98; i++) many[i] = text;
    many[98] = nullptr;
    CHECK_ERRNO(execv(self, many), E2BIG);
    free(text);
}

static void check_scripts() {
    char text[400];
    int length = snprintf(text, sizeof text, "#! %s  script one two  \necho no\n", self);
    write_file("/tmp/script", text, size_t(length));
    char* arguments[] = {(char*)"ignored", (char*)"last", nullptr};
    CHECK_EQ(run(arguments, "/tmp/script"), 55);
    write_file("/tmp/script", "#!/nonexistent\n", 15);
    CHECK_EQ(run(arguments, "/tmp/script"), ENOENT);
    write_file("/tmp/script", "#!\n", 3);
    CHECK_EQ(run(arguments, "/tmp/script"), ENOEXEC);
    write_file("/tmp/script", "#!/tmp/script\n", 14);
    CHECK_EQ(run(arguments, "/tmp/script"), ELOOP);
    unlink("/tmp/script");
}

static void* exec_as_thread(void*) {
    execl(self, self, "thread", nullptr);
    return nullptr;
}

static void* sleep_forever(void*) {
    for (;;) pause();
}

// The other threads die and the caller takes over the leader's id.
static void check_thread() {
    pid_t child = fork();
    if (child == 0) {
        char id[16];
        snprintf(id, sizeof id, "%d", getpid());
        setenv("LEADER", id, 1);
        pthread_t one, other;
        pthread_create(&one, nullptr, sleep_forever, nullptr);
        pthread_create(&other, nullptr, exec_as_thread, nullptr);
        sleep_forever(nullptr);
    }
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 66 << 8);
}

// Any damage to the headers ends in an errno or a signal to the program.
static void check_damaged_files() {
    int fd = open(self, O_RDONLY);
    static char good[65536], bad[65536];
    ssize_t size = read(fd, good, sizeof good);
    close(fd);
    REQUIRE(size > 1000);
    srandom(1);
    char* arguments[] = {self, (char*)"quick", nullptr};
    for (int i = 0; i < 60; i++) {
        memcpy(bad, good, size_t(size));
        for (int damage = 0; damage < 3; damage++) {
            long offset = 8 * (random() % 64) + (i % 2 ? 16 : 0);
            long value = random() % 3 ? random() << (random() % 40) : -1L << (random() % 64);
            memcpy(bad + offset, &value, sizeof value);
        }
        write_file("/tmp/damaged", bad, size_t(i % 5 ? size : random() % size));
        run(arguments, "/tmp/damaged");
    }
    auto* header = (Elf64_Ehdr*)bad;
    memcpy(bad, good, size_t(size));
    header->e_phnum = 0xffff;
    write_file("/tmp/damaged", bad, size_t(size));
    CHECK_EQ(run(arguments, "/tmp/damaged"), ENOEXEC);
    memcpy(bad, good, size_t(size));
    header->e_machine = 0xabcd;
    write_file("/tmp/damaged", bad, size_t(size));
    CHECK_EQ(run(arguments, "/tmp/damaged"), ENOEXEC);
    write_file("/tmp/damaged", good, 30);
    CHECK_EQ(run(arguments, "/tmp/damaged"), ENOEXEC);
    unlink("/tmp/damaged");
}

static void check_auxiliary_vector() {
    CHECK_EQ(getauxval(AT_PAGESZ), (unsigned long)sysconf(_SC_PAGESIZE));
    CHECK_EQ(getauxval(AT_PHENT), sizeof(Elf64_Phdr));
    CHECK_GT(getauxval(AT_PHNUM), 0u);
    CHECK_NE(getauxval(AT_PHDR), 0u);
    CHECK_NE(getauxval(AT_ENTRY), 0u);
    CHECK_EQ(getauxval(AT_UID), getuid());
    CHECK_EQ(getauxval(AT_EGID), getegid());
    CHECK_EQ(getauxval(AT_CLKTCK), 100u);
    CHECK_EQ(getauxval(AT_SECURE), 0u);
    if (const unsigned long least = getauxval(AT_MINSIGSTKSZ)) CHECK_GE(least, 1024u); // LoongArch has none
    CHECK_NE(getauxval(AT_RANDOM), 0u);
    CHECK_NE(getauxval(AT_SYSINFO_EHDR), 0u);
    CHECK_STREQ((const char*)getauxval(AT_EXECFN), self);
}

int main(int count, char** arguments) {
    if (count > 1) {
        if (!strcmp(arguments[1], "quick")) return 0;
        if (!strcmp(arguments[1], "length"))
            return strlen(arguments[2]) == 32 * size_t(sysconf(_SC_PAGESIZE)) - 1 ? 77 : 1;
        if (!strcmp(arguments[1], "thread"))
            return getpid() == atoi(getenv("LEADER")) && syscall(SYS_gettid) == getpid() ? 66 : 1;
        bool right = count == 4 && !strcmp(arguments[1], "script one two") && !strcmp(arguments[2], "/tmp/script") &&
                     !strcmp(arguments[3], "last");
        if (right) return 55;
        if (!strcmp(arguments[1], "again")) {
            snprintf(self, sizeof self, "%s", arguments[0]);
            check_auxiliary_vector();
            return check::result();
        }
        return 1;
    }
    REQUIRE(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    check_errors();
    check_limits();
    check_scripts();
    check_thread();
    check_damaged_files();
    char* again[] = {self, (char*)"again", nullptr};
    CHECK_EQ(run(again, self), 0);
    return check::result();
}
