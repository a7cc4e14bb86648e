// Choosing who dies when memory is gone.
#pragma once

namespace linnet::process {

/// Registers the handler with mm; once at boot.
void initialise_out_of_memory();

} // namespace linnet::process
