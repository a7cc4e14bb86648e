// Page faults as events: a program's, and the kernel's on its behalf. Only x86_64 has them.
#include <csetjmp>
#include <csignal>
#include <sys/mman.h>

#include "tracefs.hpp"

using namespace tracefs;

namespace {

const std::string user = "events/exceptions/page_fault_user/";

#if defined(__x86_64__)

std::string hex(const volatile void* address) {
    char text[32];
    snprintf(text, sizeof text, "0x%lx", (unsigned long)address);
    return text;
}

char* pages;
size_t page;
sigjmp_buf back;

void of_a_program() {
    CHECK_EQ(write_text(user + "enable", "1"), 0);
    const volatile char first = pages[0]; // reads
    (void)first;
    static_cast<volatile char*>(pages)[page] = 1; // writes
    static_cast<volatile char*>(pages)[0] = 1;    // what could only be read
    CHECK_EQ(write_text(user + "enable", "0"), 0);
    static_cast<volatile char*>(pages)[2 * page] = 1;
    const std::string text = entries();
    CHECK(contains(text, ": page_fault_user: address=" + hex(pages) + " ip=0x"));
    const auto line_of = [&](const char* address, const char* code) {
        size_t at = 0;
        int found = 0;
        while ((at = text.find("address=" + hex(address) + " ", at)) != std::string::npos) {
            const size_t end = text.find('\n', at);
            found += contains(text.substr(at, end - at), std::string(" error_code=") + code);
            at = end;
        }
        return found;
    };
    CHECK_EQ(line_of(pages, "0x4"), 1);
    CHECK_EQ(line_of(pages, "0x7"), 1);
    CHECK_EQ(line_of(pages + page, "0x6"), 1);
    CHECK(!contains(text, hex(pages + 2 * page)));
    CHECK(!contains(text, "page_fault_kernel"));
}

/// A place that no program may have is an event all the same.
void of_nobody() {
    reset();
    signal(SIGSEGV, [](int) { siglongjmp(back, 1); });
    CHECK_EQ(write_text(user + "enable", "1"), 0);
    volatile const char* const nowhere = reinterpret_cast<const char*>(0xffff'ffff'ffff'e000);
    if (sigsetjmp(back, 1) == 0) (void)*nowhere;
    CHECK_EQ(write_text(user + "enable", "0"), 0);
    signal(SIGSEGV, SIG_DFL);
    CHECK(contains(entries(), ": page_fault_user: address=" + hex(nowhere) + " ip=0x"));
}

void of_the_kernel() {
    reset();
    const int zero = open("/dev/zero", O_RDONLY);
    CHECK_EQ(write_text("events/exceptions/enable", "1"), 0);
    CHECK_EQ(read(zero, pages + 3 * page, page), ssize_t(page));
    CHECK_EQ(write_text("events/exceptions/enable", "0"), 0);
    const std::string text = entries();
    const std::string begin = ": page_fault_kernel: address=" + hex(pages + 3 * page) + " ip=";
    const size_t at = text.find(begin);
    CHECK(at != std::string::npos);
    const std::string rest = text.substr(at + begin.size(), text.find('\n', at) - at - begin.size());
    CHECK(contains(rest, " error_code=0x2"));
    CHECK(rest.substr(0, 2) != "0x"); // a function's name
    close(zero);
}

void filtered() {
    reset();
    CHECK_EQ(write_text(user + "filter", "address == " + hex(pages + 5 * page)), 0);
    CHECK_EQ(write_text(user + "enable", "1"), 0);
    for (size_t i = 4; i < 8; ++i) static_cast<volatile char*>(pages)[i * page] = 1;
    CHECK_EQ(write_text(user + "enable", "0"), 0);
    CHECK_EQ(write_text(user + "filter", "0"), 0);
    CHECK_EQ(count(entries(), "page_fault_user"), 1u);
}

#endif

} // namespace

int main() {
    tracefs::mount();
    reset();
#if defined(__x86_64__)
    page = size_t(getpagesize());
    pages = static_cast<char*>(mmap(nullptr, 16 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    CHECK_OK(madvise(pages, 16 * page, MADV_NOHUGEPAGE));
    of_a_program();
    of_nobody();
    of_the_kernel();
    filtered();
#else
    CHECK_ERRNO(access(path(user).c_str(), F_OK), ENOENT);
#endif
    reset();
    tracefs::unmount();
    return check::result();
}
