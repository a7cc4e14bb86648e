#include <arch/mmu.hpp>
namespace linnet::arch { bool page_memory_types_supported; }
