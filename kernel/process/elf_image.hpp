// An ELF program as its headers describe it (elf(5)), with every number checked: what the loader may map where. No file
// and no address space is touched here, so that it is tested on the host. Private to process.
#pragma once

#include <abi_arch/elf.hpp>
#include <arch/page.hpp>
#include <lib/array_list.hpp>
#include <optional>

namespace linnet::process {

/// Where the parts of one PT_LOAD go, all in bytes. Page-aligned but for `file_end`.
struct SegmentPlacement {
    u64 begin = 0;
    u64 file_end = 0;     // behind the last byte that the file gives; the rest of its page reads as zeros
    u64 file_map_end = 0; // `begin` when the file gives nothing
    u64 end = 0;          // [file_map_end, end) is anonymous
    u64 offset = 0;       // in the file, of `begin`
    [[nodiscard]] bool has_file_part() const { return file_map_end > begin; }
};

class ElfImage {
public:
    /// ENOEXEC when the header isn't that of a program of this machine.
    static Result<void> check_header(const abi::Elf64_Ehdr& header);
    /// Bytes of the program header table that follow at `header.e_phoff`; `header` has been checked.
    static usize table_size(const abi::Elf64_Ehdr& header) { return header.e_phnum * sizeof(abi::Elf64_Phdr); }
    /// Takes the headers of a program. EINVAL when a segment can't be; ENOEXEC when nothing would be mapped.
    static Result<ElfImage> create(const abi::Elf64_Ehdr& header, ArrayList<abi::Elf64_Phdr> segments);

    [[nodiscard]] bool is_position_independent() const { return header_.e_type == abi::ET_DYN; }
    [[nodiscard]] std::span<const abi::Elf64_Phdr> segments() const { return segments_.span(); }
    [[nodiscard]] usize segment_count() const { return segments_.size(); }
    /// Page-aligned bounds of all PT_LOAD, as linked.
    [[nodiscard]] u64 low() const { return low_; }
    [[nodiscard]] u64 high() const { return high_; }
    [[nodiscard]] u64 size() const { return high_ - low_; }
    /// The largest that a segment asks for, at least a page.
    [[nodiscard]] u64 alignment() const { return alignment_; }

    /// The file range of PT_INTERP's path with its NUL, if there is one: at most `longest` bytes.
    struct FileRange {
        u64 offset = 0;
        usize size = 0;
    };
    [[nodiscard]] Result<std::optional<FileRange>> interpreter(usize longest) const;

    /// Decides where the image goes: `base` is the run-time address of low(). ENOMEM when it doesn't fit.
    Result<void> place(u64 base);
    // Below: after place().
    [[nodiscard]] u64 bias() const { return bias_; } // run-time minus linked address
    [[nodiscard]] u64 entry() const { return header_.e_entry + bias_; }
    [[nodiscard]] u64 end() const { return high_ + bias_; }
    [[nodiscard]] SegmentPlacement placement(const abi::Elf64_Phdr& segment) const;
    /// Where the program headers lie in memory; 0 when no segment holds them.
    [[nodiscard]] u64 headers_address() const;

private:
    Result<void> add_segment(const abi::Elf64_Phdr& segment);

    abi::Elf64_Ehdr header_{};
    ArrayList<abi::Elf64_Phdr> segments_;
    u64 low_ = ~u64{0};
    u64 high_ = 0;
    u64 alignment_ = arch::page_size;
    u64 bias_ = 0;
};

} // namespace linnet::process
