// Which allocations fail on request. Owns the request and its counters; no lock: a thread that sees half of a new
// request decides by it once.
#include <algorithm>
#include <charconv>
#include <core/thread.hpp>
#include <iterator>
#include <mm/allocation_faults.hpp>

namespace linnet::mm {

constinit std::atomic<u32> armed_allocation_classes{0};

namespace {

constexpr std::string_view class_names[] = {"pages", "tables", "heap", "area"};
constexpr u32 all_classes = (1u << std::size(class_names)) - 1;

struct Counters {
    std::atomic<u64> seen{0};
    std::atomic<u64> failed{0};
};
constinit Counters counters[std::size(class_names)];
constinit std::atomic<u64> share{0}; // one in so many fails; 0: none
constinit std::atomic<u64> drawn{0};
constinit std::atomic<bool> marks_programs{false};

/// Spreads consecutive numbers evenly.
u64 scramble(u64 number) {
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9;
    number = (number ^ (number >> 27)) * 0x94d049bb133111eb;
    return number ^ (number >> 31);
}

struct Request {
    u32 classes = 0;
    u64 share = 0;
    u32 nth = 0;
};

bool parse_number(std::string_view text, u64 limit, u64& out) {
    auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
    return code == std::errc{} && end == text.data() + text.size() && out != 0 && out <= limit;
}

bool parse_word(std::string_view word, Request& request) {
    u64 number = 0;
    if (word == "all") return request.classes = all_classes, true;
    if (word.starts_with("every=")) return parse_number(word.substr(6), u64{1} << 40, request.share);
    if (word.starts_with("nth=")) {
        if (!parse_number(word.substr(4), u32(~0), number)) return false;
        return request.nth = static_cast<u32>(number), true;
    }
    auto found = std::find(std::begin(class_names), std::end(class_names), word);
    if (found == std::end(class_names)) return false;
    request.classes |= 1u << (found - std::begin(class_names));
    return true;
}

} // namespace

Result<void> set_allocation_faults(std::string_view words, FaultScope scope) {
    constexpr std::string_view separators = ", \t\n";
    Request request;
    bool off = false;
    for (usize at = words.find_first_not_of(separators); at != words.npos;) {
        usize end = std::min(words.find_first_of(separators, at), words.size());
        std::string_view word = words.substr(at, end - at);
        if (word == "off")
            off = true;
        else if (!parse_word(word, request))
            return error(Errno::EINVAL);
        at = words.find_first_not_of(separators, end);
    }
    bool is_whole = request.classes != 0 && (request.share != 0) != (request.nth != 0);
    if (off ? request.classes != 0 || request.share != 0 || request.nth != 0 : !is_whole) return error(Errno::EINVAL);
    core::Thread& self = core::current_thread();
    armed_allocation_classes.store(0);
    share.store(request.share);
    marks_programs.store(!off && scope == FaultScope::Programs);
    for (Counters& one : counters) one.seen.store(0), one.failed.store(0);
    self.allocation_to_fail = request.nth;
    self.allocations_may_fail = !off && scope == FaultScope::Descendants;
    armed_allocation_classes.store(request.classes);
    return {};
}

void show_allocation_faults(TextSink sink) {
    for (usize i = 0; i < std::size(class_names); ++i)
        format_to(sink, "{} {} {}\n", class_names[i], counters[i].seen.load(), counters[i].failed.load());
    format_to(sink, "nth {}\n", core::current_thread().allocation_to_fail);
}

void mark_new_program() {
    if (marks_programs.load(std::memory_order_relaxed)) core::current_thread().allocations_may_fail = true;
}

bool decide_allocation_fault(AllocationClass which) {
    core::Thread& self = core::current_thread();
    auto index = static_cast<usize>(which);
    if (!self.allocations_may_fail || !(armed_allocation_classes.load(std::memory_order_relaxed) >> index & 1))
        return false;
    counters[index].seen.fetch_add(1, std::memory_order_relaxed);
    u64 one_in = share.load(std::memory_order_relaxed);
    bool fails = one_in != 0 ? scramble(drawn.fetch_add(1, std::memory_order_relaxed)) % one_in == 0
                             : self.allocation_to_fail != 0 && --self.allocation_to_fail == 0;
    if (fails) counters[index].failed.fetch_add(1, std::memory_order_relaxed);
    return fails;
}

} // namespace linnet::mm
