// The kernel command line: words mean what Linux's kernel-parameters page says; unknown ones go to init.
#pragma once

#include <lib/array_list.hpp>
#include <string_view>

namespace linnet::init {

/// Where the first file system comes from when no initramfs brings a program to begin with.
struct RootOptions {
    std::string_view device;  // root=, as it was given; empty: none
    std::string_view types;   // rootfstype=: with commas between; empty: all that live on a device
    std::string_view flags;   // rootflags=: the file system's own options
    bool is_read_only = true; // ro, rw: the last one counts
    bool waits = false;       // rootwait
    i64 wait_seconds = 0;     // rootwait=SECONDS; 0: without end
    i64 delay_seconds = 0;    // rootdelay=
};

struct CommandLine {
    std::string_view rdinit = "/init";
    bool rdinit_given = false;
    std::string_view init;    // empty: /sbin/init, /etc/init, /bin/init, /bin/sh in turn
    std::string_view console; // the last console=
    RootOptions root;
    u64 max_cpus = ~u64{0};
    u64 memory_limit = ~u64{0};
    std::string_view planted_fault;        // linnet.fault=
    std::string_view fail_allocations;     // linnet.fail_allocations=
    std::string_view transparent_hugepage; // a word of /sys/kernel/mm/transparent_hugepage/enabled
    u64 huge_pages = 0;                    // in the pool (nr_hugepages)
    bool strace = false;
    ArrayList<std::string_view> init_arguments; // unknown words without '=', and all behind "--"
    ArrayList<std::string_view> environment;    // unknown NAME=VALUE words

    /// Parses `text`, which must stay; also applies what has an immediate effect (loglevel=, quiet, debug, panic=).
    /// ENOMEM.
    static Result<CommandLine> parse(std::string_view text);
};

/// What is needed before the heap exists: mem= …
u64 early_memory_limit(std::string_view text);
/// … and panic=, which a panic over the memory needs.
void apply_early_words(std::string_view text);
/// An unsigned number with an optional suffix K, M or G; false when `text` isn't one.
bool parse_size(std::string_view text, u64& out);

} // namespace linnet::init
