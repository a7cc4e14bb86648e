// Keeps the image and the data page as pages that every process maps.
#include <abi/linux/mman.hpp>
#include <arch/cpu.hpp>
#include <core/clock_data.hpp>
#include <core/panic.hpp>
#include <core/random.hpp>
#include <core/time.hpp>
#include <core/vdso_hardware.hpp>
#include <core/vdso_random.hpp>
#include <cstring>
#include <lib/assert.hpp>
#include <mm/page.hpp>
#include <vdso/vdso.hpp>

#include <vdso_symbols.hpp>

extern "C" const char vdso_image_begin[];
extern "C" const char vdso_image_end[];

namespace linnet::vdso {
namespace {

constinit NullableRefPtr<mm::VmObject> object; // page 0: data; then the image
constinit u64 image_size = 0;
constinit mm::ConstantLabel data_label("[vvar]");
constinit mm::ConstantLabel image_label("[vdso]");

void copy_hardware_properties(core::VdsoHardware& out) {
    const auto known = arch::hardware_capabilities().properties;
    VERIFY(known.size() <= core::VdsoHardware::capacity);
    for (const arch::HardwareProperty& property : known) out.properties[out.count++] = {property.key, property.value};
}

} // namespace

Result<void> initialise() {
    auto bytes = static_cast<u64>(vdso_image_end - vdso_image_begin);
    image_size = align_up(bytes, arch::page_size);
    RefPtr<mm::AnonObject> pages =
        TRY(mm::AnonObject::create(arch::page_size + image_size, mm::VmObject::Commitment::None));
    mm::PageRef first = TRY(pages->get_page(0, arch::Access::Write));
    for (u64 at = 0; at < bytes; at += arch::page_size) {
        mm::PageRef page = TRY(pages->get_page(1 + at / arch::page_size, arch::Access::Write));
        memcpy(page.data(), vdso_image_begin + at, bytes - at < arch::page_size ? bytes - at : arch::page_size);
    }
    core::mirror_clock_data(*static_cast<core::ClockData*>(first.data()));
    static_assert(sizeof(core::ClockData) <= core::vdso_random_offset);
    auto* bytes_of_page = static_cast<u8*>(first.data());
    core::mirror_random_generation(*reinterpret_cast<core::VdsoRandom*>(bytes_of_page + core::vdso_random_offset));
    static_assert(core::vdso_random_offset + sizeof(core::VdsoRandom) <= core::vdso_hardware_offset);
    static_assert(core::vdso_hardware_offset + sizeof(core::VdsoHardware) <= arch::page_size);
    copy_hardware_properties(*reinterpret_cast<core::VdsoHardware*>(bytes_of_page + core::vdso_hardware_offset));
    object = pages;
    return {};
}

Result<Placement> map_into(mm::AddressSpace& space) {
    mm::MapRequest request;
    request.length = arch::page_size + image_size;
    request.prot = abi::PROT_READ;
    request.max_prot = abi::PROT_READ;
    request.flags = abi::MAP_PRIVATE;
    request.object = object;
    request.label = NullableRefPtr<mm::MappingLabel>(&data_label);
    request.vma_flags = mm::vma_special | mm::vma_dont_dump;
    request.limits = mm::MapRequest::Limits::Ignored;
    VirtAddr base = TRY(space.map(request));
    // The image takes the place of all but the first page. Private, so that a debugger's breakpoint stays in its
    // process.
    request.address = base + arch::page_size;
    request.length = image_size;
    request.prot = abi::PROT_READ | abi::PROT_EXEC;
    request.max_prot = abi::PROT_READ | abi::PROT_WRITE | abi::PROT_EXEC;
    request.flags = abi::MAP_PRIVATE | abi::MAP_FIXED;
    request.offset = arch::page_size;
    request.label = NullableRefPtr<mm::MappingLabel>(&image_label);
    request.vma_flags = mm::vma_special;
    Placement placement;
    placement.image = TRY(space.map(request));
    if (trampoline_offset) placement.signal_trampoline = placement.image + trampoline_offset;
    return placement;
}

} // namespace linnet::vdso
