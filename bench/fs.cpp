// What the file calls cost, in instructions under -icount, else in nanoseconds. Prints a line "bench NAME VALUE" for
// each; the least of several rounds. Everything happens in the directory given, or in /tmp.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "counter.hpp"

namespace {

constexpr int rounds = 5;

void must(bool holds, const char* what) {
    if (holds) return;
    perror(what);
    exit(1);
}

template <typename Body>
void measure(const char* name, int count, Body body) {
    double best = 1e18;
    for (int round = 0; round < rounds; round++) {
        uint64_t start = counter::now();
        for (int i = 0; i < count; i++) body();
        best = std::min(best, counter::units(counter::now() - start) / count);
    }
    printf("bench %s %.1f\n", name, best);
    fflush(stdout);
}

constexpr const char* deep = "d1/d2/d3/d4/d5/d6/d7/file";
char block[4096];

void prepare(const char* directory) {
    must(chdir(directory) == 0, directory);
    char path[64];
    for (const char* at = deep; (at = strchr(at, '/')); at++) {
        snprintf(path, sizeof path, "%.*s", int(at - deep), deep);
        mkdir(path, 0755);
    }
    int fd = open(deep, O_CREAT | O_RDWR, 0644);
    must(fd >= 0 && write(fd, block, sizeof block) == (ssize_t)sizeof block, deep);
    close(fd);
    mkdir("thousand", 0755);
    for (int i = 0; i < 1000; i++) {
        snprintf(path, sizeof path, "thousand/%d", i);
        close(open(path, O_CREAT | O_WRONLY, 0644));
    }
}

void list_thousand() {
    DIR* directory = opendir("thousand");
    int count = 0;
    while (readdir(directory)) count++;
    closedir(directory);
    must(count == 1002, "thousand");
}

} // namespace

int main(int argc, char** argv) {
    prepare(argc > 1 ? argv[1] : "/tmp");
    struct stat info;
    measure("null_call", 1000, [] { getppid(); });
    measure("stat_depth_8", 1000, [&] { must(stat(deep, &info) == 0, deep); });
    measure("stat_depth_1", 1000, [&] { must(stat("d1", &info) == 0, deep); });
    measure("stat_missing", 1000, [&] { must(stat("d1/none", &info) != 0, deep); });
    measure("open_close_depth_8", 1000, [] { close(open(deep, O_RDONLY)); });
    measure("open_close_depth_1", 1000, [] { close(open("d1", O_RDONLY)); });
    measure("create_unlink", 500, [] {
        close(open("new", O_CREAT | O_WRONLY, 0644));
        must(unlink("new") == 0, "new");
    });
    measure("mkdir_rmdir", 500, [] {
        must(mkdir("newdir", 0755) == 0, "newdir");
        must(rmdir("newdir") == 0, "newdir");
    });
    measure("rename", 500, [] { must(rename(deep, "r") == 0 && rename("r", deep) == 0, "rename"); });
    measure("readdir_1000", 5, list_thousand);
    int fd = open(deep, O_RDWR);
    measure("fstat", 1000, [&] { fstat(fd, &info); });
    measure("pread_4k", 1000, [&] { must(pread(fd, block, 4096, 0) == 4096, "pread"); });
    measure("pread_1", 1000, [&] { must(pread(fd, block, 1, 0) == 1, "pread"); });
    measure("pwrite_4k", 1000, [&] { must(pwrite(fd, block, 4096, 0) == 4096, "pwrite"); });
    measure("lseek", 1000, [&] { lseek(fd, 0, SEEK_SET); });
    measure("dup_close", 1000, [&] { close(dup(fd)); });
    return 0;
}
