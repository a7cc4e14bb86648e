// The table of pids: an ordered tree, so that a look-up is logarithmic and a walk in order needs no lock
// between steps.
//
// Lock: the table's own, a leaf; it masks interrupts because signals are sent from interrupt handlers.
#include <process/pid.hpp>
#include <process/process.hpp>
#include <process/session.hpp>

namespace linnet::process {
namespace {
constinit core::LockClass pid_table_class{"pid table"};
}

class PidTable {
public:
    core::InterruptSpinLock lock{pid_table_class};
    IntrusiveTree<PidRecord, &PidRecord::tree_node, PidRecord::NumberOf> records;
    Pid last = 0;
    u64 given = 0;
    std::atomic<Pid> limit{32768};

    PidRecord* find_locked(Pid number) {
        auto found = records.find(number);
        return found == records.end() ? nullptr : &*found;
    }
    /// The first number after `last` that nobody bears, 0 if there is none.
    Pid next_free_locked() {
        const Pid pid_max = limit.load(std::memory_order_relaxed);
        Pid number = last + 1;
        for (unsigned wraps = 0; wraps < 2; ++wraps) {
            auto place = records.lower_bound(number);
            while (number < pid_max && place != records.end() && place->number_ == number) ++number, ++place;
            if (number < pid_max) return number;
            number = reserved_pids;
        }
        return 0;
    }
};

namespace {

PidTable* pid_table = nullptr;

/// A reference to `object` unless it is null or dying.
template <typename T>
NullableRefPtr<T> take_reference(T* object) {
    return object && object->try_ref() ? NullableRefPtr<T>::adopt(object) : NullableRefPtr<T>{};
}

} // namespace

void initialise_pids() {
    pid_table = new (std::nothrow) PidTable;
    VERIFY(pid_table); // at boot, the heap has room
}

Result<RefPtr<PidRecord>> PidRecord::allocate() {
    auto* record = new (std::nothrow) PidRecord(0);
    if (!record) return error(Errno::ENOMEM);
    core::InterruptSpinGuard guard(pid_table->lock);
    record->number_ = pid_table->next_free_locked();
    if (record->number_ == 0) {
        guard.unlock();
        delete record;
        return error(Errno::EAGAIN);
    }
    pid_table->last = record->number_;
    ++pid_table->given;
    pid_table->records.insert(*record);
    record->is_listed_ = true;
    return adopt_ref(*record);
}

Pid pid_limit() { return pid_table->limit.load(std::memory_order_relaxed); }

Result<void> set_pid_limit(Pid limit) {
    if (limit <= reserved_pids || limit > highest_pid_limit) return error(Errno::EINVAL);
    pid_table->limit.store(limit, std::memory_order_relaxed);
    return {};
}

u64 pids_given() {
    core::InterruptSpinGuard guard(pid_table->lock);
    return pid_table->given;
}

Result<RefPtr<PidRecord>> PidRecord::allocate_exactly(Pid pid) {
    if (pid < 0 || pid >= pid_limit()) return error(Errno::EINVAL);
    auto* record = new (std::nothrow) PidRecord(pid);
    if (!record) return error(Errno::ENOMEM);
    core::InterruptSpinGuard guard(pid_table->lock);
    if (pid_table->find_locked(pid)) {
        guard.unlock();
        delete record;
        return error(Errno::EEXIST);
    }
    pid_table->records.insert(*record);
    record->is_listed_ = true;
    return adopt_ref(*record);
}

void PidRecord::last_reference_dropped() {
    {
        core::InterruptSpinGuard guard(pid_table->lock);
        if (is_listed_) pid_table->records.erase(pid_table->records.iterator_to(*this));
    }
    delete this;
}

/// Whoever keeps the record from then on keeps a number that may be another's. The table's lock is held.
void PidRecord::free_unless_borne_locked() {
    if (!is_listed_ || thread_ || process_ || group_ || session_) return;
    pid_table->records.erase(pid_table->records.iterator_to(*this));
    is_listed_ = false;
}

NullableRefPtr<Thread> PidRecord::thread() {
    core::InterruptSpinGuard guard(pid_table->lock);
    return take_reference(thread_);
}
NullableRefPtr<Process> PidRecord::process() {
    core::InterruptSpinGuard guard(pid_table->lock);
    return take_reference(process_);
}
NullableRefPtr<ProcessGroup> PidRecord::group() {
    core::InterruptSpinGuard guard(pid_table->lock);
    return take_reference(group_);
}
NullableRefPtr<Session> PidRecord::session() {
    core::InterruptSpinGuard guard(pid_table->lock);
    return take_reference(session_);
}

void PidRecord::set_thread(Thread* thread) {
    core::InterruptSpinGuard guard(pid_table->lock);
    thread_ = thread;
    free_unless_borne_locked();
}
void PidRecord::set_process(Process* process) {
    core::InterruptSpinGuard guard(pid_table->lock);
    process_ = process;
    free_unless_borne_locked();
}
void PidRecord::set_group(ProcessGroup* group) {
    core::InterruptSpinGuard guard(pid_table->lock);
    group_ = group;
    free_unless_borne_locked();
}
void PidRecord::set_session(Session* session) {
    core::InterruptSpinGuard guard(pid_table->lock);
    session_ = session;
    free_unless_borne_locked();
}

void PidRecord::forget_group(const ProcessGroup& group) {
    core::InterruptSpinGuard guard(pid_table->lock);
    if (group_ != &group) return;
    group_ = nullptr;
    free_unless_borne_locked();
}
void PidRecord::forget_session(const Session& session) {
    core::InterruptSpinGuard guard(pid_table->lock);
    if (session_ != &session) return;
    session_ = nullptr;
    free_unless_borne_locked();
}

NullableRefPtr<PidRecord> find_pid(Pid number) {
    core::InterruptSpinGuard guard(pid_table->lock);
    return take_reference(pid_table->find_locked(number));
}
NullableRefPtr<Thread> find_thread(Pid tid) {
    core::InterruptSpinGuard guard(pid_table->lock);
    PidRecord* record = pid_table->find_locked(tid);
    return record ? take_reference(record->thread_) : NullableRefPtr<Thread>{};
}
NullableRefPtr<Process> find_process(Pid pid) {
    core::InterruptSpinGuard guard(pid_table->lock);
    PidRecord* record = pid_table->find_locked(pid);
    return record ? take_reference(record->process_) : NullableRefPtr<Process>{};
}
NullableRefPtr<ProcessGroup> find_group(Pid pgid) {
    core::InterruptSpinGuard guard(pid_table->lock);
    PidRecord* record = pid_table->find_locked(pgid);
    return record ? take_reference(record->group_) : NullableRefPtr<ProcessGroup>{};
}
NullableRefPtr<Session> find_session(Pid sid) {
    core::InterruptSpinGuard guard(pid_table->lock);
    PidRecord* record = pid_table->find_locked(sid);
    return record ? take_reference(record->session_) : NullableRefPtr<Session>{};
}

NullableRefPtr<Process> next_process(Pid from) {
    core::InterruptSpinGuard guard(pid_table->lock);
    for (auto place = pid_table->records.lower_bound(from); place != pid_table->records.end(); ++place)
        if (auto process = take_reference(place->process_)) return process;
    return {};
}

Pid last_pid() { return pid_table->last; }

} // namespace linnet::process
