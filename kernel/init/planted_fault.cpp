// Faults planted on request (linnet.fault=), each of which a sanitizer build must answer with a report. The values pass
// through volatile, lest the compiler see what it compiles.
#include "planted_fault.hpp"

#include <core/log.hpp>
#include <cstring>
#include <memory>
#include <new>

namespace linnet::init {

#ifdef LINNET_SANITIZE
namespace {

constexpr usize size = 40;

u8* allocate() {
    u8* volatile object = new (std::nothrow) u8[size];
    return object;
}

[[gnu::noinline]] void touch(u8* object, isize at) {
    volatile isize offset = at;
    *static_cast<volatile u8*>(object + offset) = 1;
}

[[gnu::noinline]] void planted_shift() {
    volatile int by = 40;
    volatile int result = 1 << by;
    (void)result;
}

} // namespace

void plant_fault(std::string_view name) {
    if (name.empty()) return;
    core::log_info("planted fault: {}", name);
    if (name == "shift") return planted_shift();
    u8* object = allocate();
    if (!object) return;
    if (name == "heap-overflow") touch(object, size);
    if (name == "heap-underflow") touch(object, -1);
    if (name == "memset-overflow") std::memset(object, 0, size + 1);
    if (name == "use-after-free" || name == "double-free") delete[] object;
    if (name == "use-after-free") touch(object, 3);
    if (name == "double-free") delete[] object;
}
#else
void plant_fault(std::string_view name) {
    if (!name.empty()) core::log_warning("linnet.fault={} needs a sanitizer build", name);
}
#endif

} // namespace linnet::init
