// The table of a kind of System V objects: which id and which key is whose. Indices are handed out in a circle.
//
// Who has an id finds the object by one short lock of its own index and gets a reference; so users of different objects
// don't meet. Keys, coming and going are the business of the table's lock:
//
//     IdTable::lock
//       the object's own lock
//       IdTable::Slot::lock (leaf)
//
// No reference that may be the last is dropped with any of them held.
#pragma once

#include <algorithm>
#include <atomic>
#include <core/mutex.hpp>
#include <ipc/keyed_object.hpp>
#include <lib/ref_ptr.hpp>

namespace linnet::ipc {

template <typename T>
class IdTable {
public:
    using Object = T;
    static constexpr i32 index_of(i32 id) { return id & (most_indices - 1); }

    core::Mutex lock;

    // ---- no lock needed ----
    /// EINVAL when there is no object of this id, or no longer.
    Result<RefPtr<T>> get(i32 id) const {
        if (id < 0) return error(Errno::EINVAL);
        NullableRefPtr<T> object = get_at(index_of(id));
        if (!object || object->id != id) return error(Errno::EINVAL);
        return RefPtr<T>(std::move(object));
    }
    Result<RefPtr<T>> get(i32 number, Lookup lookup) const {
        if (lookup == Lookup::ById) return get(number);
        NullableRefPtr<T> object = get_at(index_of(number));
        if (!object) return error(Errno::EINVAL);
        return RefPtr<T>(std::move(object));
    }
    /// Null for an index that is free.
    NullableRefPtr<T> get_at(i32 index) const {
        Slot* slot = slot_at(index);
        if (!slot) return {};
        core::SpinGuard guard(slot->lock);
        return slot->object;
    }

    // ---- lock held ----
    /// Null for an index that is free.
    [[nodiscard]] T* at(i32 index) const {
        Slot* slot = slot_at(index);
        return slot ? slot->object.get() : nullptr;
    }
    Result<T*> find(i32 id) const {
        if (id < 0) return error(Errno::EINVAL);
        T* object = at(index_of(id));
        if (!object || object->id != id) return error(Errno::EINVAL);
        return object;
    }
    [[nodiscard]] T* find_key(i32 key) {
        for (KeyedObject& object : keys_[bucket_of(key)])
            if (object.key == key) return static_cast<T*>(&object);
        return nullptr;
    }
    /// At most `most` of them. ENOSPC, ENOMEM.
    Result<void> add(RefPtr<T> object, u64 most);
    /// Takes it out; the caller drops the reference without the lock.
    NullableRefPtr<T> remove(T& object);
    /// The key leads here no more, and becomes IPC_PRIVATE.
    void forget_key(T& object) {
        object.key_node.unlink();
        object.key = abi::IPC_PRIVATE;
    }
    [[nodiscard]] i32 count() const { return count_; }
    /// -1 when there is none.
    [[nodiscard]] i32 highest_index() const;

private:
    struct Slot {
        core::SpinLock lock;
        NullableRefPtr<T> object; // read with either lock, written with both
    };
    static constexpr i32 chunk_size = 64; // slots come in chunks, which stay
    static constexpr usize bucket_count = 256;
    static usize bucket_of(i32 key) { return (static_cast<u32>(key) * 0x9e37'79b1u) >> 24; }

    Slot* slot_at(i32 index) const {
        if (index < 0 || index >= most_indices) return nullptr;
        Slot* chunk = chunks_[index / chunk_size].load(std::memory_order_acquire);
        return chunk ? &chunk[index % chunk_size] : nullptr;
    }
    Result<i32> choose_index() const;

    std::atomic<Slot*> chunks_[most_indices / chunk_size]{};
    IntrusiveList<KeyedObject, &KeyedObject::key_node> keys_[bucket_count];
    i32 count_ = 0;
    i32 last_index_ = -1;
    i32 sequence_ = 0;
};

/// The next free index in the circle, whose length follows the number of objects, as Linux's does.
template <typename T>
Result<i32> IdTable<T>::choose_index() const {
    constexpr i32 shortest_circle = 64;
    const i32 circle = std::min(std::max(count_ + count_ / 2, shortest_circle), most_indices);
    for (i32 step = 1; step <= circle; ++step) {
        const i32 index = (last_index_ + step) % circle;
        if (!at(index)) return index;
    }
    return error(Errno::ENOSPC);
}

template <typename T>
Result<void> IdTable<T>::add(RefPtr<T> object, u64 most) {
    constexpr i32 most_sequences = 0x7fff'ffff >> index_bits;
    if (static_cast<u64>(count_) >= most) return error(Errno::ENOSPC);
    const i32 index = TRY(choose_index());
    std::atomic<Slot*>& chunk = chunks_[index / chunk_size];
    if (!chunk.load()) {
        Slot* fresh = new (std::nothrow) Slot[chunk_size];
        if (!fresh) return error(Errno::ENOMEM);
        chunk.store(fresh, std::memory_order_release);
    }
    if (index <= last_index_) sequence_ = sequence_ + 1 < most_sequences ? sequence_ + 1 : 0;
    last_index_ = index;
    object->id = (sequence_ << index_bits) + index;
    object->is_listed = true;
    if (object->key != abi::IPC_PRIVATE) keys_[bucket_of(object->key)].push_back(*object);
    ++count_;
    Slot* slot = slot_at(index);
    core::SpinGuard guard(slot->lock);
    slot->object = NullableRefPtr<T>(std::move(object));
    return {};
}

template <typename T>
NullableRefPtr<T> IdTable<T>::remove(T& object) {
    object.is_listed = false;
    object.key_node.unlink();
    --count_;
    Slot* slot = slot_at(index_of(object.id));
    core::SpinGuard guard(slot->lock);
    return std::move(slot->object);
}

template <typename T>
i32 IdTable<T>::highest_index() const {
    for (i32 index = most_indices - 1; index >= 0;) {
        if (!chunks_[index / chunk_size].load(std::memory_order_relaxed))
            index -= chunk_size;
        else if (at(index))
            return index;
        else
            --index;
    }
    return -1;
}

/// shmget(2), semget(2), msgget(2): the id of the object with that key, once `check(object)` allows it, or of a new one
/// that `make()` makes. EEXIST, ENOENT, ENOSPC and what the two say.
template <typename Table, typename Check, typename Make>
Result<i32> find_or_make(Table& table, i32 key, u32 flags, u64 most, Check check, Make make) {
    using T = typename Table::Object;
    NullableRefPtr<T> fresh; // dropped without the lock
    core::MutexGuard guard(table.lock);
    if (key != abi::IPC_PRIVATE) {
        if (T* existing = table.find_key(key)) {
            if ((flags & abi::IPC_CREAT) && (flags & abi::IPC_EXCL)) return error(Errno::EEXIST);
            TRY(check(*existing));
            return existing->id;
        }
        if (!(flags & abi::IPC_CREAT)) return error(Errno::ENOENT);
    }
    fresh = TRY(make());
    TRY(table.add(RefPtr<T>(*fresh), most));
    return fresh->id;
}

} // namespace linnet::ipc
