// Finding the functions of the vDSO (vdso(7)).
#pragma once

#include <cstdint>
#include <elf.h>
#include <link.h>
#include <sys/auxv.h>

#include "check.hpp"

namespace check {

#if defined(__aarch64__)
constexpr const char* vdso_prefix = "__kernel_";
#else
constexpr const char* vdso_prefix = "__vdso_";
#endif

/// The vDSO's function for a call, looked up in its dynamic symbols as glibc does; null when it has none.
inline void* vdso_function(const char* call) {
    char name[64];
    snprintf(name, sizeof name, "%s%s", vdso_prefix, call);
    const auto base = getauxval(AT_SYSINFO_EHDR);
    REQUIRE(base != 0);
    const auto* file = reinterpret_cast<const ElfW(Ehdr)*>(base);
    const auto* headers = reinterpret_cast<const ElfW(Phdr)*>(base + file->e_phoff);
    const ElfW(Dyn)* dynamic = nullptr;
    uint64_t shift = base;
    for (int i = 0; i < file->e_phnum; ++i) {
        if (headers[i].p_type == PT_DYNAMIC) dynamic = reinterpret_cast<const ElfW(Dyn)*>(base + headers[i].p_offset);
        if (headers[i].p_type == PT_LOAD) shift = base + headers[i].p_offset - headers[i].p_vaddr;
    }
    REQUIRE(dynamic != nullptr);
    const ElfW(Sym)* symbols = nullptr;
    const char* strings = nullptr;
    const uint32_t *hash = nullptr, *gnu_hash = nullptr;
    for (; dynamic->d_tag != DT_NULL; ++dynamic) {
        const uint64_t at = shift + dynamic->d_un.d_ptr;
        if (dynamic->d_tag == DT_SYMTAB) symbols = reinterpret_cast<const ElfW(Sym)*>(at);
        if (dynamic->d_tag == DT_STRTAB) strings = reinterpret_cast<const char*>(at);
        if (dynamic->d_tag == DT_HASH) hash = reinterpret_cast<const uint32_t*>(at);
        if (dynamic->d_tag == DT_GNU_HASH) gnu_hash = reinterpret_cast<const uint32_t*>(at);
    }
    REQUIRE(symbols && strings && (hash || gnu_hash));
    // The symbol table has no length of its own: it ends where its strings begin, or as the hash table says.
    const uint64_t count = hash ? hash[1] : (uint64_t(strings) - uint64_t(symbols)) / sizeof *symbols;
    for (uint64_t i = 1; i < count; ++i)
        if (symbols[i].st_value && !strcmp(strings + symbols[i].st_name, name))
            return reinterpret_cast<void*>(shift + symbols[i].st_value);
    return nullptr;
}

} // namespace check
