// Four threads that change files, each in a folder of its own, say what has been made durable, and never end. Each step
// follows from the seed and its number alone: test_plug_pulled.py does the same steps to a model, and compares.
//
//   write_until_killed DIRECTORY SEED
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

constexpr int threads = 4;
constexpr unsigned slots = 12;

void must(bool holds, const char* what) {
    if (holds) return;
    perror(what);
    _exit(1);
}

uint64_t next(uint64_t& state) { // splitmix64
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/// `size` bytes: in every 512 the seed and the number of those 512, again and again.
std::string pattern(uint64_t seed, size_t size) {
    std::string bytes(size + 512, 0);
    for (size_t at = 0; at < size; at += 512)
        for (size_t i = 0; i < 512; i += 16) {
            const uint64_t words[] = {seed, at / 512};
            memcpy(&bytes[at + i], words, sizeof words);
        }
    bytes.resize(size);
    return bytes;
}

class Folder {
public:
    explicit Folder(const std::string& path) {
        must(mkdir(path.c_str(), 0755) == 0, path.c_str());
        folder_ = open(path.c_str(), O_RDONLY | O_DIRECTORY);
        must(folder_ >= 0, path.c_str());
    }

    void step(uint64_t random) {
        const std::string a = "f" + std::to_string((random >> 8) % slots),
                          b = "f" + std::to_string((random >> 16) % slots);
        const size_t size = (random >> 62) == 0 ? (random >> 24) % 100'000 : (random >> 24) % 4096;
        switch (random % 9) {
        case 0:
        case 1:
            return write_file(a, O_CREAT | O_TRUNC | O_WRONLY, pattern(random, size)), store_names();
        case 2:
            return write_file(a, O_APPEND | O_WRONLY, pattern(random, size));
        case 3: // as editors and databases do it
            write_file("new", O_CREAT | O_TRUNC | O_WRONLY, pattern(random, size));
            must(renameat(folder_, "new", folder_, a.c_str()) == 0, "rename");
            return store_names();
        case 4:
            (void)unlinkat(folder_, a.c_str(), 0);
            return store_names();
        case 5:
            return change(a, [&](int fd, off_t old) { must(ftruncate(fd, old / 2) == 0, "ftruncate"); });
        case 6:
            if (a != b) (void)unlinkat(folder_, b.c_str(), 0), (void)linkat(folder_, a.c_str(), folder_, b.c_str(), 0);
            return store_names();
        case 7:
            (void)renameat(folder_, a.c_str(), folder_, b.c_str());
            return store_names();
        case 8:
            return change(
                a, [&](int fd, off_t old) { must(posix_fallocate(fd, old, off_t(size) + 1) == 0, "fallocate"); });
        }
    }

private:
    void store_names() const { must(fsync(folder_) == 0, "fsync of a folder"); }

    void write_file(const std::string& name, int flags, const std::string& bytes) const {
        const int fd = openat(folder_, name.c_str(), flags, 0644);
        if (fd < 0) return must(errno == ENOENT, name.c_str());
        must(write(fd, bytes.data(), bytes.size()) == ssize_t(bytes.size()), "write");
        must(fsync(fd) == 0, "fsync");
        close(fd);
    }

    template <typename F>
    void change(const std::string& name, F what) const {
        const int fd = openat(folder_, name.c_str(), O_WRONLY);
        if (fd < 0) return must(errno == ENOENT, name.c_str());
        struct stat status;
        must(fstat(fd, &status) == 0, "fstat");
        what(fd, status.st_size);
        must(fdatasync(fd) == 0, "fdatasync");
        close(fd);
    }

    int folder_ = -1;
};

} // namespace

int main(int argc, char** argv) {
    if (argc != 3) return fprintf(stderr, "usage: write_until_killed DIRECTORY SEED\n"), 2;
    const uint64_t seed = strtoull(argv[2], nullptr, 10);
    must(mkdir(argv[1], 0755) == 0, argv[1]);
    std::vector<std::thread> all;
    for (int i = 0; i < threads; i++)
        all.emplace_back([&, i] {
            Folder folder(std::string(argv[1]) + "/" + std::to_string(i));
            uint64_t state = seed * threads + uint64_t(i);
            sync(); // the folder itself
            for (unsigned long step = 1;; step++) {
                folder.step(next(state));
                char line[64];
                const int length = snprintf(line, sizeof line, "done %d %lu\n", i, step);
                must(write(1, line, size_t(length)) == length, "write");
            }
        });
    for (auto& thread : all) thread.join();
}
