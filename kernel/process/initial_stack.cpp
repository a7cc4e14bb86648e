// The stack that a new program starts on: argc, argv, envp, the auxiliary vector, and above them the strings
// they point to (System V ABI, "Process Initialization"; getauxval(3)). Written into the new address space
// before anybody runs there.
#include <abi/linux/auxv.hpp>
#include <abi/linux/elf.hpp>
#include <abi/linux/mman.hpp>
#include <abi/linux/prctl.hpp>
#include <abi/linux/resource.hpp>
#include <arch/cpu.hpp>
#include <arch/signal_frame.hpp>
#include <core/random.hpp>

#include "program.hpp"

namespace linnet::process {
namespace {

constexpr u64 max_stack_offset = 8192;

/// Fills the stack from its top downwards.
class StackWriter {
public:
    StackWriter(mm::AddressSpace& space, VirtAddr top) : space_(space), sp_(top.value) {}

    Result<VirtAddr> push(const void* bytes, usize size) {
        sp_ -= size;
        auto from = std::span(static_cast<const u8*>(bytes), size);
        if (TRY(space_.write_memory({sp_}, from)) != size) return error(Errno::EFAULT);
        return VirtAddr{sp_};
    }
    Result<VirtAddr> push_text(std::string_view text) {
        TRY(push("", 1));
        return text.empty() ? Result<VirtAddr>(VirtAddr{sp_}) : push(text.data(), text.size());
    }
    void skip(usize size) { sp_ -= size; }
    void align(u64 alignment) { sp_ &= ~(alignment - 1); }
    [[nodiscard]] u64 position() const { return sp_; }

private:
    mm::AddressSpace& space_;
    u64 sp_;
};

/// The words below the strings, collected before they are written in one piece.
class WordList {
public:
    Result<void> add(u64 word) { return words_.try_push(word); }
    Result<void> add_auxiliary(u64 type, u64 value) {
        TRY(add(type));
        return add(value);
    }
    /// One pointer for each NUL-terminated string of `block`, laid out from `address`, and a null.
    Result<void> add_pointers(const StringBlock& block, VirtAddr address) {
        std::span<const char> bytes = block.bytes();
        for (usize i = 0, count = 0; count < block.count(); ++count) {
            TRY(add(address.value + i));
            while (bytes[i] != '\0') ++i;
            ++i;
        }
        return add(0);
    }
    [[nodiscard]] std::span<const u64> words() const { return words_.span(); }

private:
    ArrayList<u64> words_;
};

struct Places {
    VirtAddr path, environment, arguments, platform, random, vdso;
};

Result<void> add_auxiliary_vector(WordList& list, const Program& program, const Places& places) {
    using namespace abi;
    const arch::HardwareCapabilities& hardware = arch::hardware_capabilities();
    const vfs::Credentials& who = *program.credentials;
    if (places.vdso.value) TRY(list.add_auxiliary(AT_SYSINFO_EHDR, places.vdso.value));
    TRY(list.add_auxiliary(AT_MINSIGSTKSZ, arch::minimum_signal_stack()));
    TRY(list.add_auxiliary(AT_HWCAP, hardware.hwcap));
    TRY(list.add_auxiliary(AT_PAGESZ, arch::page_size));
    TRY(list.add_auxiliary(AT_CLKTCK, user_hz));
    TRY(list.add_auxiliary(AT_PHDR, program.program_headers.value));
    TRY(list.add_auxiliary(AT_PHENT, sizeof(Elf64_Phdr)));
    TRY(list.add_auxiliary(AT_PHNUM, program.program_header_count));
    TRY(list.add_auxiliary(AT_BASE, program.interpreter_base.value));
    constexpr u64 flags_preserve_argv0 = 1;
    TRY(list.add_auxiliary(AT_FLAGS, program.keeps_first_argument ? flags_preserve_argv0 : 0));
    TRY(list.add_auxiliary(AT_ENTRY, program.program_entry.value));
    TRY(list.add_auxiliary(AT_UID, who.uid));
    TRY(list.add_auxiliary(AT_EUID, who.euid));
    TRY(list.add_auxiliary(AT_GID, who.gid));
    TRY(list.add_auxiliary(AT_EGID, who.egid));
    TRY(list.add_auxiliary(AT_SECURE, program.is_secure));
    TRY(list.add_auxiliary(AT_RANDOM, places.random.value));
    TRY(list.add_auxiliary(AT_HWCAP2, hardware.hwcap2));
    TRY(list.add_auxiliary(AT_RSEQ_FEATURE_SIZE, __builtin_offsetof(abi::rseq, padding)));
    TRY(list.add_auxiliary(AT_RSEQ_ALIGN, sizeof(abi::rseq)));
    TRY(list.add_auxiliary(AT_EXECFN, places.path.value));
    if (places.platform.value) TRY(list.add_auxiliary(AT_PLATFORM, places.platform.value));
    if (program.descriptor) TRY(list.add_auxiliary(AT_EXECFD, 0)); // known when the old program's are closed
    return list.add_auxiliary(AT_NULL, 0);
}

Result<Places> push_strings(StackWriter& writer, Program& program, std::string_view display_path,
                            const StringBlock& arguments, const StringBlock& environment) {
    mm::ExecLayout& layout = program.space->layout;
    Places places{};
    u64 zero = 0;
    TRY(writer.push(&zero, sizeof(zero))); // the end marker above everything
    places.path = TRY(writer.push_text(display_path));
    layout.env_end = places.path;
    places.environment = TRY(writer.push(environment.bytes().data(), environment.bytes().size()));
    layout.env_begin = layout.arg_end = places.environment;
    places.arguments = TRY(writer.push(arguments.bytes().data(), arguments.bytes().size()));
    layout.arg_begin = places.arguments;

    // The stack's top is drawn by the page; this draws within one.
    if (program.randomisation != mm::Randomisation::Off) writer.skip(core::random_below(max_stack_offset) & ~u64{15});
    if (const char* platform = arch::hardware_capabilities().platform)
        places.platform = TRY(writer.push_text(platform));
    u8 random[16];
    core::random_bytes(random);
    places.random = TRY(writer.push(random, sizeof(random)));
    return places;
}

} // namespace

Result<void> build_stack(Program& program, std::string_view display_path, const StringBlock& arguments,
                         const StringBlock& environment) {
    mm::ExecLayout& layout = program.space->layout;
    StackWriter writer(*program.space, program.stack);
    Places places = TRY(push_strings(writer, program, display_path, arguments, environment));
    places.vdso = layout.vdso;

    WordList list;
    TRY(list.add(arguments.count()));
    TRY(list.add_pointers(arguments, places.arguments));
    TRY(list.add_pointers(environment, places.environment));
    usize auxiliary_begin = list.words().size();
    TRY(add_auxiliary_vector(list, program, places));

    std::span<const u64> auxiliary = list.words().subspan(auxiliary_begin);
    layout.auxv_words = auxiliary.size() < mm::ExecLayout::max_auxv ? auxiliary.size() : mm::ExecLayout::max_auxv;
    for (usize i = 0; i < layout.auxv_words; ++i) layout.auxv[i] = auxiliary[i];

    writer.align(16);
    if (list.words().size() % 2) TRY(writer.push("\0\0\0\0\0\0\0", 8)); // argc ends up aligned to 16
    program.stack = TRY(writer.push(list.words().data(), list.words().size_bytes()));
    layout.stack_begin = program.stack;
    for (usize i = 0; i < auxiliary.size(); i += 2) {
        if (auxiliary[i] != abi::AT_EXECFD) continue;
        program.descriptor_index = i + 1;
        program.descriptor_word = program.stack + (auxiliary_begin + i + 1) * sizeof(u64);
    }
    return {};
}

} // namespace linnet::process
