// The end of a list of adjustments (semop(2), SEM_UNDO).
#include <process/semaphore_undo.hpp>

namespace linnet::process {

Result<RefPtr<SemaphoreUndo>> SemaphoreUndo::create() {
    auto* made = new (std::nothrow) SemaphoreUndo;
    if (!made) return error(Errno::ENOMEM);
    return adopt_ref(*made);
}

SemaphoreUndo::~SemaphoreUndo() {
    while (Entry* entry = entries.pop_front()) {
        entry->take_back();
        delete entry;
    }
}

} // namespace linnet::process
