// Whether the kernel's struct sigaction has the field sa_restorer between flags and mask.
#pragma once

namespace linnet::abi {
inline constexpr bool sigaction_has_restorer = true;
}
