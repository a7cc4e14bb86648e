// Core files as tests look at them: a place for them, children that crash, and the file's notes and memory.
#pragma once

#include <elf.h>
#include <fcntl.h>
#include <functional>
#include <map>
#include <string>
#include <sys/mman.h>
#include <sys/procfs.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <vector>

#include "asleep.hpp"
#include "child.hpp"
#include "proc_text.hpp"

#ifndef NT_SIGINFO
#define NT_SIGINFO 0x53494749
#endif
#ifndef NT_FILE
#define NT_FILE 0x46494c45
#endif

namespace core_file {

/// A setting of /proc/sys that is another for as long as this lives; text of any length.
class Setting {
    std::string path_, before_;

public:
    Setting(const char* path, const std::string& value) : path_(path) {
        const char* text = proc_text::read_file(path);
        before_ = text ? text : "";
        CHECK(proc_text::write_file(path, (value + "\n").c_str()));
    }
    Setting(const Setting&) = delete;
    ~Setting() { CHECK(proc_text::write_file(path_.c_str(), before_.c_str())); }
};
constexpr const char* pattern_file = "/proc/sys/kernel/core_pattern";
constexpr const char* pid_file = "/proc/sys/kernel/core_uses_pid";
constexpr const char* pipe_limit_file = "/proc/sys/kernel/core_pipe_limit";
constexpr const char* suid_file = "/proc/sys/fs/suid_dumpable";

/// A new directory that is the working one, and a core_pattern, as long as this lives.
struct Place {
    std::string folder = "/tmp/core-test-XXXXXX";
    Setting pattern, uses_pid;

    explicit Place(const std::string& name = "core") : pattern(pattern_file, name), uses_pid(pid_file, "0") {
        REQUIRE(mkdtemp(folder.data()));
        REQUIRE(chmod(folder.c_str(), 0777) == 0);
        REQUIRE(chdir(folder.c_str()) == 0);
    }
    ~Place() {
        CHECK_EQ(chdir("/tmp"), 0);
        const std::string command = "rm -rf " + folder;
        CHECK_EQ(system(command.c_str()), 0);
    }
};

inline void limit_core(rlim_t soft) {
    rlimit limit{soft, RLIM_INFINITY};
    CHECK_EQ(setrlimit(RLIMIT_CORE, &limit), 0);
}

/// Runs `body`, which must crash, in a child that may dump core; the child's wait status.
inline int crash(const std::function<void()>& body, rlim_t limit = RLIM_INFINITY) {
    return check::in_child([&] {
        limit_core(limit);
        body();
    });
}

struct Note {
    std::string name;
    uint32_t type;
    const uint8_t* data;
    size_t size;
};

class Core {
public:
    explicit Core(const char* path) {
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (!CHECK(fd >= 0)) return;
        struct stat status{};
        CHECK_EQ(fstat(fd, &status), 0);
        size_ = size_t(status.st_size);
        void* place = size_ ? mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
        close(fd);
        if (place == MAP_FAILED) return;
        bytes_ = static_cast<const uint8_t*>(place);
        if (size_ >= sizeof(Elf64_Ehdr)) parse();
    }
    Core(const Core&) = delete;
    ~Core() {
        if (bytes_) munmap(const_cast<uint8_t*>(bytes_), size_);
    }

    [[nodiscard]] size_t size() const { return size_; }
    [[nodiscard]] const Elf64_Ehdr& header() const { return *reinterpret_cast<const Elf64_Ehdr*>(bytes_); }
    std::vector<Elf64_Phdr> loads;
    std::vector<Note> notes;

    [[nodiscard]] bool is_core() const {
        return bytes_ && size_ >= sizeof(Elf64_Ehdr) && memcmp(bytes_, ELFMAG, SELFMAG) == 0 &&
               header().e_type == ET_CORE;
    }
    [[nodiscard]] const Elf64_Phdr* load_of(const void* address) const {
        const auto at = reinterpret_cast<uint64_t>(address);
        for (const Elf64_Phdr& load : loads)
            if (load.p_vaddr <= at && at < load.p_vaddr + load.p_memsz) return &load;
        return nullptr;
    }
    /// The bytes in the file of `size` at `address`; null when they aren't all in it.
    [[nodiscard]] const uint8_t* memory(const void* address, size_t size) const {
        const Elf64_Phdr* load = load_of(address);
        if (!load) return nullptr;
        const uint64_t offset = reinterpret_cast<uint64_t>(address) - load->p_vaddr;
        if (offset + size > load->p_filesz || load->p_offset + offset + size > size_) return nullptr;
        return bytes_ + load->p_offset + offset;
    }
    [[nodiscard]] bool holds(const void* address, const void* expected, size_t size) const {
        const uint8_t* found = memory(address, size);
        return found && memcmp(found, expected, size) == 0;
    }
    /// Whether nothing of what is mapped at `address` is in the file.
    [[nodiscard]] bool lacks(const void* address) const {
        const Elf64_Phdr* load = load_of(address);
        return load && load->p_filesz == 0;
    }
    [[nodiscard]] const Note* find(uint32_t type) const {
        for (const Note& note : notes)
            if (note.type == type) return &note;
        return nullptr;
    }
    /// One of each thread.
    [[nodiscard]] std::vector<const elf_prstatus*> threads() const {
        std::vector<const elf_prstatus*> found;
        for (const Note& note : notes)
            if (note.type == NT_PRSTATUS && note.size == sizeof(elf_prstatus))
                found.push_back(reinterpret_cast<const elf_prstatus*>(note.data));
        return found;
    }
    /// Every segment that the headers promise is in the file.
    [[nodiscard]] bool is_whole() const {
        if (!is_core() || loads.empty()) return false;
        for (const Elf64_Phdr& load : loads)
            if (load.p_offset + load.p_filesz > size_) return false;
        return true;
    }

private:
    void parse() {
        const Elf64_Ehdr& h = header();
        uint64_t count = h.e_phnum;
        if (count == PN_XNUM && h.e_shoff + sizeof(Elf64_Shdr) <= size_)
            count = reinterpret_cast<const Elf64_Shdr*>(bytes_ + h.e_shoff)->sh_info;
        const auto* segments = reinterpret_cast<const Elf64_Phdr*>(bytes_ + h.e_phoff);
        for (uint64_t i = 0; i < count && h.e_phoff + (i + 1) * sizeof(Elf64_Phdr) <= size_; ++i) {
            if (segments[i].p_type == PT_LOAD) loads.push_back(segments[i]);
            if (segments[i].p_type == PT_NOTE) parse_notes(segments[i]);
        }
    }
    void parse_notes(const Elf64_Phdr& segment) {
        if (segment.p_offset + segment.p_filesz > size_) return;
        const uint8_t* at = bytes_ + segment.p_offset;
        const uint8_t* end = at + segment.p_filesz;
        auto rounded = [](size_t size) { return (size + 3) / 4 * 4; };
        while (at + sizeof(Elf64_Nhdr) <= end) {
            const auto& note = *reinterpret_cast<const Elf64_Nhdr*>(at);
            at += sizeof note;
            const auto* name = reinterpret_cast<const char*>(at);
            at += rounded(note.n_namesz);
            if (at + note.n_descsz > end) return;
            notes.push_back({name, note.n_type, at, note.n_descsz});
            at += rounded(note.n_descsz);
        }
    }

    const uint8_t* bytes_ = nullptr;
    size_t size_ = 0;
};

inline bool exists(const std::string& path) {
    struct stat status;
    return lstat(path.c_str(), &status) == 0;
}

inline bool dumped_by(int status, int signal) {
    return WIFSIGNALED(status) && WTERMSIG(status) == signal && WCOREDUMP(status);
}
inline bool died_without(int status, int signal) {
    return WIFSIGNALED(status) && WTERMSIG(status) == signal && !WCOREDUMP(status);
}

} // namespace core_file
