// Functions of the kernel that tests probe, by names from /proc/kallsyms.
#pragma once

#include <string>
#include <vector>

#include "uprobe.hpp"

namespace kprobe {

struct Symbol {
    unsigned long address;
    std::string name;
};

/// Functions, as far as their addresses are shown.
inline std::vector<Symbol> functions() {
    std::vector<Symbol> found;
    FILE* file = fopen("/proc/kallsyms", "r");
    char line[1024], name[900], kind;
    unsigned long address;
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%lx %c %899s", &address, &kind, name) == 3 && (kind == 't' || kind == 'T') && address != 0 &&
            !strchr(line, '['))
            found.push_back({address, name});
    if (file) fclose(file);
    return found;
}

/// The function that a system call is: of one kernel or another.
/// It may have several names.
inline std::vector<Symbol> functions_of_call(const std::string& call) {
    std::vector<Symbol> found;
    const std::vector<Symbol> all = functions();
    for (const char* prefix :
         {"linnet::syscalls::sys_", "__x64_sys_", "__arm64_sys_", "__riscv_sys_", "__se_sys_", "sys_"})
        for (const Symbol& symbol : all)
            if (symbol.name == prefix + call) found.push_back(symbol);
    proc_text::needs(!found.empty(), "the kernel does not show its functions");
    return found;
}

inline Symbol function_of_call(const std::string& call) { return functions_of_call(call).front(); }

inline Symbol getpgid_function() { return function_of_call("getpgid"); }

/// An event that counts hits of a function by name, or, without, by address.
inline perf_event_attr attributes(int type, const char* name, uint64_t offset, bool is_return = false) {
    return uprobe::attributes(type, name, offset, is_return);
}

} // namespace kprobe
