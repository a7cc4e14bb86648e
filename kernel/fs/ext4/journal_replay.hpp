// Replaying the journal: what was committed there, but had not reached its place when the machine stopped, is put
// there.
#pragma once

#include "volume.hpp"
#include <lib/function_ref.hpp>

namespace linnet::ext4 {

/// Whether the volume's journal says that something is to be replayed. It should do so only where the file system is
/// marked (Volume::needs_recovery()), but the disk may say otherwise. False for a journal that can't be read.
bool has_log_to_replay(Volume& volume);

/// Replays the journal inside `volume` into the page cache of the device, marks it empty and the file system recovered.
/// `store` stores the page cache and makes the disk keep it; it is called before and after each mark. The volume is to
/// be opened anew afterwards, for all of it may have changed. EUCLEAN, EBADMSG, EIO, ENOMEM; EOPNOTSUPP: the journal is
/// on another device, or has fast commits in it.
Result<void> replay_journal(Volume& volume, mm::FileObject& device, FunctionRef<Result<void>()> store);

} // namespace linnet::ext4
