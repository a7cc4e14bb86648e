// Thousands of lines for kprobe_events and uprobe_events, most of them nonsense: each is refused or makes an event, and
// what is made can be taken away again.
//
// needs-linux: 5.13
// timeout: 300
#include <random>

#include "child.hpp"
#include "kprobe.hpp"
#include "tracefs.hpp"

using namespace check;
using namespace tracefs;

namespace {

std::mt19937 random_number(20261122);

size_t below(size_t limit) { return random_number() % limit; }

/// A line put together from what lines are made of, with a few bytes changed.
std::string line(const std::string& function, const std::string& place) {
    const std::string heads[] = {"p",  "r",        "p:mine/a", "r:mine/b",   "r10:mine/c",
                                 "p:", "-:mine/a", "-:",       "r99999:x/y", "p:d"};
    const std::string values[] = {"$stack",
                                  "$stack3",
                                  "$retval",
                                  "$comm",
                                  "@0xffffffff80000000",
                                  "@0",
                                  "+8($stack)",
                                  "-8(+16($stack)):string",
                                  "+u0($stack):ustring",
                                  "\\123",
                                  "\\\"text\"",
                                  "%sp",
                                  "$arg1",
                                  "x=$stack:u8[4]",
                                  "b=$stack:b3@4/32",
                                  "+0(+0(+0(+0(+0($stack))))):x16",
                                  "n=$comm:string",
                                  "=",
                                  ":",
                                  "%",
                                  "@",
                                  "+",
                                  "+(",
                                  "\\",
                                  "$",
                                  "a=b",
                                  "+0($stack):string[3]"};
    std::string text = heads[below(std::size(heads))] + " ";
    switch (below(4)) {
    case 0:
        text += place;
        break;
    case 1:
        text += function + "+" + std::to_string(below(40));
        break;
    default:
        text += function;
    }
    for (size_t i = below(6); i > 0; --i) text += " " + values[below(std::size(values))];
    for (size_t i = below(4); i > 1; --i) text[below(text.size())] = char(below(127) + 1);
    if (below(50) == 0) text += std::string(below(5000), 'a');
    return text;
}

} // namespace

int main() {
    mount();
    proc_text::needs(access(path("kprobe_events").c_str(), F_OK) == 0, "no dynamic events");
    const kprobe::Symbol target = kprobe::getpgid_function();
    const bool is_linnet = proc_text::is_linnet();
    const std::string place = "/proc/self/exe:0x" + std::to_string(below(9000));
    int made = 0;
    const int lines = getenv("LINNET_LONG") ? 200'000 : is_linnet ? 20'000 : 500;
    for (int i = 0; i < lines; ++i) {
        const char* file = below(3) ? "kprobe_events" : "uprobe_events";
        if (write_text(file, line(target.name, place) + "\n", O_APPEND) == 0) ++made;
        if (i % 50 != 0) continue;
        if (is_linnet && below(4) == 0) {
            write_text("events/kprobes/enable", "1");
            getpgid(0);
            read_all("trace");
            write_text("events/enable", "0");
        }
        CHECK(read_all("kprobe_events") != "?");
        CHECK(read_all("kprobe_profile") != "?");
        CHECK_EQ(write_text("kprobe_events", "\n", O_TRUNC), 0);
        CHECK_EQ(write_text("uprobe_events", "\n", O_TRUNC), 0);
    }
    CHECK(made > lines / 100);
    CHECK_EQ(write_text("kprobe_events", "\n", O_TRUNC), 0);
    CHECK_EQ(write_text("uprobe_events", "\n", O_TRUNC), 0);
    CHECK(says("kprobe_events", ""));
    unmount();
    return result();
}
