// Operations on a set, and whom they let go on.
#include "semaphore_set.hpp"

namespace linnet::ipc {

Result<RefPtr<SemaphoreSet>> SemaphoreSet::create(i32 key, u32 count, u32 mode, const vfs::Credentials& creator) {
    auto* made = new (std::nothrow) SemaphoreSet(key, count, mode, creator);
    if (!made) return error(Errno::ENOMEM);
    RefPtr<SemaphoreSet> set = adopt_ref(*made);
    set->semaphores_.reset(new (std::nothrow) Semaphore[count]);
    if (!set->semaphores_) return error(Errno::ENOMEM);
    return set;
}

// ---- one operation ----

Result<Attempt> SemaphoreSet::do_step(const abi::sembuf& step, Adjustments* adjustments) {
    Semaphore& semaphore = semaphores_[step.sem_num];
    if (step.sem_op == 0) return semaphore.value == 0 ? Attempt::Done : Attempt::Blocked;
    const i32 value = semaphore.value + step.sem_op;
    if (value < 0) return Attempt::Blocked;
    if (value > abi::SEMVMX) return error(Errno::ERANGE);
    if (step.sem_flg & abi::SEM_UNDO) {
        const i32 adjustment = adjustments->by_number[step.sem_num] - step.sem_op;
        if (adjustment < -abi::SEMAEM - 1 || adjustment > abi::SEMAEM) return error(Errno::ERANGE);
        adjustments->by_number[step.sem_num] = static_cast<i16>(adjustment);
    }
    semaphore.value = value;
    return Attempt::Done;
}

void SemaphoreSet::undo_step(const abi::sembuf& step, Adjustments* adjustments) {
    semaphores_[step.sem_num].value -= step.sem_op;
    if (step.sem_op != 0 && (step.sem_flg & abi::SEM_UNDO))
        adjustments->by_number[step.sem_num] = static_cast<i16>(adjustments->by_number[step.sem_num] + step.sem_op);
}

Result<Attempt> SemaphoreSet::attempt(Operation& operation) {
    const std::span<const abi::sembuf> steps = operation.steps;
    for (usize i = 0; i < steps.size(); ++i) {
        const Result<Attempt> step = do_step(steps[i], operation.adjustments);
        if (step && *step == Attempt::Done) continue;
        const abi::sembuf& blocking = steps[i];
        while (i-- > 0) undo_step(steps[i], operation.adjustments);
        if (!step) return step;
        if (blocking.sem_flg & abi::IPC_NOWAIT) return error(Errno::EAGAIN);
        operation.blocked_at = blocking.sem_num;
        operation.waits_for_zero = blocking.sem_op == 0;
        return Attempt::Blocked;
    }
    for (const abi::sembuf& step : steps) semaphores_[step.sem_num].last_pid = operation.pid;
    return Attempt::Done;
}

// ---- queues ----

void SemaphoreSet::enqueue(Operation& operation) {
    Semaphore& semaphore = semaphores_[operation.steps[0].sem_num];
    if (!operation.alters)
        return (operation.is_simple() ? semaphore.zero_waiters : zeros_together_).push_back(operation);
    if (!operation.is_simple() && complex_alterers_++ == 0) gather();
    (complex_alterers_ > 0 ? together_ : semaphore.alterers).push_back(operation);
}

void SemaphoreSet::abandon(Operation& operation) {
    operation.node.unlink();
    if (operation.alters && !operation.is_simple() && --complex_alterers_ == 0) scatter();
}

void SemaphoreSet::gather() {
    for (u32 i = 0; i < count_; ++i) together_.splice_back(semaphores_[i].alterers);
}

void SemaphoreSet::scatter() {
    while (Operation* operation = together_.pop_front())
        semaphores_[operation->steps[0].sem_num].alterers.push_back(*operation);
}

i32 SemaphoreSet::waiting_at(u16 number, WaitsFor what) {
    const bool for_zero = what == WaitsFor::Zero;
    i32 count = 0;
    for (Operations* queue :
         {&semaphores_[number].alterers, &semaphores_[number].zero_waiters, &together_, &zeros_together_})
        for (const Operation& operation : *queue)
            count += operation.blocked_at == number && operation.waits_for_zero == for_zero;
    return count;
}

// ---- serving who waits ----

/// Leaves the queues as they are but for the operation itself, for somebody walks along them: settle() tidies up.
void SemaphoreSet::serve(Operation& operation, Errno failure, Served& served) {
    operation.node.unlink();
    if (operation.alters && !operation.is_simple()) --complex_alterers_;
    served.add(operation, failure);
}

void SemaphoreSet::serve_all(Operations& queue, Errno failure, Served& served) {
    while (Operation* operation = queue.first()) serve(*operation, failure, served);
}

/// Done: the operation has changed what it alters; not so when it failed, which serves it too.
Result<Attempt> SemaphoreSet::serve_if_possible(Operation& operation, Served& served) {
    const Result<Attempt> result = attempt(operation);
    if (!result) {
        serve(operation, result.error(), served);
    } else if (*result == Attempt::Done) {
        serve(operation, Errno{}, served);
        note_operation();
    }
    return result;
}

void SemaphoreSet::serve_zero_waiters(Semaphore& semaphore, Served& served) {
    if (semaphore.value != 0) return;
    while (Operation* operation = semaphore.zero_waiters.first()) (void)serve_if_possible(*operation, served);
}

void SemaphoreSet::serve_zero_waiters(std::span<const abi::sembuf> touched, Served& served) {
    for (const abi::sembuf& step : touched) serve_zero_waiters(semaphores_[step.sem_num], served);
    if (touched.empty())
        for (u32 i = 0; i < count_; ++i) serve_zero_waiters(semaphores_[i], served);
    for (Operation *operation = zeros_together_.first(), *next; operation; operation = next) {
        next = zeros_together_.next(*operation);
        (void)serve_if_possible(*operation, served);
    }
}

/// All of them want to decrease this one: where it is 0 nobody can go on.
void SemaphoreSet::serve_alterers(Semaphore& semaphore, Served& served) {
    for (Operation *operation = semaphore.alterers.first(), *next; operation && semaphore.value > 0; operation = next) {
        next = semaphore.alterers.next(*operation);
        if (serve_if_possible(*operation, served) == Attempt::Done) serve_zero_waiters(operation->steps, served);
    }
}

/// Each that goes on may make room for one that was passed over before.
void SemaphoreSet::serve_together(Served& served) {
    for (Operation *operation = together_.first(), *next; operation; operation = next) {
        next = together_.next(*operation);
        if (serve_if_possible(*operation, served) != Attempt::Done) continue;
        serve_zero_waiters(operation->steps, served);
        next = together_.first();
    }
}

void SemaphoreSet::settle(std::span<const abi::sembuf> touched, Served& served) {
    serve_zero_waiters(touched, served);
    if (complex_alterers_ > 0) {
        serve_together(served);
        if (complex_alterers_ == 0) scatter();
        return;
    }
    for (const abi::sembuf& step : touched) serve_alterers(semaphores_[step.sem_num], served);
    if (touched.empty())
        for (u32 i = 0; i < count_; ++i) serve_alterers(semaphores_[i], served);
}

// ---- semctl ----

void SemaphoreSet::set_value(u16 number, i32 value, Served& served) {
    for (Adjustments& adjustments : adjustments_) adjustments.by_number[number] = 0;
    semaphores_[number].value = value;
    semaphores_[number].last_pid = current_pid();
    change_time = now();
    const abi::sembuf touched{number, 0, 0};
    settle({&touched, 1}, served);
}

void SemaphoreSet::set_all(std::span<const u16> values, Served& served) {
    for (Adjustments& adjustments : adjustments_) std::fill_n(adjustments.by_number.get(), count_, i16{0});
    for (u32 i = 0; i < count_; ++i) {
        semaphores_[i].value = values[i];
        semaphores_[i].last_pid = current_pid();
    }
    change_time = now();
    settle({}, served);
}

void SemaphoreSet::tear_down(Served& served) {
    for (u32 i = 0; i < count_; ++i) {
        serve_all(semaphores_[i].alterers, Errno::EIDRM, served);
        serve_all(semaphores_[i].zero_waiters, Errno::EIDRM, served);
    }
    serve_all(together_, Errno::EIDRM, served);
    serve_all(zeros_together_, Errno::EIDRM, served);
    while (Adjustments* adjustments = adjustments_.pop_front()) adjustments->by_number.reset();
    semaphores_.reset();
}

abi::semid_ds SemaphoreSet::status() const {
    abi::semid_ds data{};
    data.sem_perm = permissions();
    data.sem_otime = operation_time_;
    data.sem_ctime = change_time;
    data.sem_nsems = count_;
    return data;
}

void SemaphoreSet::note_operation() { operation_time_ = now(); }

// ---- what ends with a process ----

Result<std::unique_ptr<Adjustments>> Adjustments::create(RefPtr<SemaphoreSet> set) {
    std::unique_ptr<Adjustments> made(new (std::nothrow) Adjustments(std::move(set)));
    if (!made) return error(Errno::ENOMEM);
    SemaphoreSet& of = *made->set_;
    made->by_number.reset(new (std::nothrow) i16[of.count()]());
    if (!made->by_number) return error(Errno::ENOMEM);
    core::MutexGuard guard(of.lock);
    if (of.is_removed()) return error(Errno::EIDRM);
    of.adjustments_.push_back(*made);
    return made;
}

bool Adjustments::is_void() const {
    if (set_->is_listed) return false;
    core::MutexGuard guard(set_->lock);
    return set_->is_removed();
}

void Adjustments::take_back() {
    Served served;
    core::MutexGuard guard(set_->lock);
    if (set_->is_removed()) return;
    set_node.unlink();
    for (u32 i = 0; i < set_->count(); ++i) {
        if (by_number[i] == 0) continue;
        Semaphore& semaphore = set_->semaphores_[i];
        // There is no waiting in an exit: the value goes as far as it can.
        semaphore.value = std::clamp(semaphore.value + by_number[i], 0, abi::SEMVMX);
        semaphore.last_pid = current_pid();
    }
    set_->note_operation();
    set_->settle({}, served);
}

} // namespace linnet::ipc
