// What is to be taken back when a process ends that used semop(2) with SEM_UNDO. Threads share it by CLONE_SYSVSEM, and
// execve keeps it; the last one that leaves takes everything back. What that is, ipc knows.
//
// Lock: SemaphoreUndo::lock guards the list; what an entry says belongs to the entry.
#pragma once

#include <core/mutex.hpp>
#include <lib/intrusive_list.hpp>
#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>

namespace linnet::process {

class SemaphoreUndo final : public RefCounted<SemaphoreUndo> {
public:
    /// Owned by the list that it is in.
    class Entry {
    public:
        virtual ~Entry() = default;
        /// The process ends; called by its last thread.
        virtual void take_back() = 0;
        ListNode node;
    };

    static Result<RefPtr<SemaphoreUndo>> create();
    ~SemaphoreUndo();

    core::Mutex lock;
    IntrusiveList<Entry, &Entry::node> entries;
};

} // namespace linnet::process
