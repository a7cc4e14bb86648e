// Intrusive reference counting. RefPtr<T> is never null except after a move; NullableRefPtr<T> says that it may be.
#pragma once

#include <atomic>
#include <lib/assert.hpp>
#include <lib/types.hpp>
#include <utility>

namespace linnet {

/// Base of shared objects. A new object has one reference, which `adopt_ref` takes over. When the last reference goes,
/// `Derived::last_reference_dropped()` runs if it exists (to unhook and free in its own way), else `delete`.
template <typename Derived>
class RefCounted {
public:
    RefCounted(const RefCounted&) = delete;
    RefCounted& operator=(const RefCounted&) = delete;

    void ref() const {
        [[maybe_unused]] u32 old = count_.fetch_add(1, std::memory_order_relaxed);
        DEBUG_ASSERT(old > 0 && old < 0xffff'0000u);
    }
    /// Takes a reference unless the object is already dying; for look-ups in tables that hold no reference.
    [[nodiscard]] bool try_ref() const {
        u32 old = count_.load(std::memory_order_relaxed);
        while (old != 0)
            if (count_.compare_exchange_weak(old, old + 1, std::memory_order_acquire, std::memory_order_relaxed))
                return true;
        return false;
    }
    void unref() const {
        if (!drop_ref()) return;
        auto* self = const_cast<Derived*>(static_cast<const Derived*>(this));
        if constexpr (requires { self->last_reference_dropped(); })
            self->last_reference_dropped();
        else
            delete self;
    }
    /// Gives a reference back without disposing of the object: true when it was the last, and the caller must do that.
    /// For chains of objects that would else be released recursively.
    [[nodiscard]] bool drop_ref() const {
        if (count_.fetch_sub(1, std::memory_order_release) != 1) return false;
        // What the others did with the object comes before its end. A load, because ThreadSanitizer knows no fences.
        (void)count_.load(std::memory_order_acquire);
        return true;
    }
    [[nodiscard]] u32 ref_count() const { return count_.load(std::memory_order_relaxed); }

protected:
    RefCounted() = default;
    ~RefCounted() = default;

private:
    mutable std::atomic<u32> count_{1};
};

template <typename T>
class NullableRefPtr {
public:
    constexpr NullableRefPtr() = default;
    constexpr NullableRefPtr(std::nullptr_t) {}
    explicit NullableRefPtr(T* object) : object_(object) {
        if (object_) object_->ref();
    }
    NullableRefPtr(const NullableRefPtr& other) : NullableRefPtr(other.object_) {}
    NullableRefPtr(NullableRefPtr&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
    template <typename U>
        requires std::convertible_to<U*, T*>
    NullableRefPtr(const NullableRefPtr<U>& other) : NullableRefPtr(other.get()) {}
    template <typename U>
        requires std::convertible_to<U*, T*>
    NullableRefPtr(NullableRefPtr<U>&& other) : object_(other.release()) {}
    ~NullableRefPtr() {
        if (object_) object_->unref();
    }
    NullableRefPtr& operator=(NullableRefPtr other) noexcept { return std::swap(object_, other.object_), *this; }

    [[nodiscard]] T* get() const { return object_; }
    T* operator->() const { return object_; }
    T& operator*() const { return *object_; }
    explicit operator bool() const { return object_ != nullptr; }
    bool operator==(const NullableRefPtr& other) const = default;
    bool operator==(const T* other) const { return object_ == other; }
    /// Hands the reference to the caller.
    [[nodiscard]] T* release() { return std::exchange(object_, nullptr); }

    /// Takes over the reference that the caller holds.
    static NullableRefPtr adopt(T* object) {
        NullableRefPtr result;
        result.object_ = object;
        return result;
    }

private:
    T* object_ = nullptr;
};

template <typename T>
class RefPtr : public NullableRefPtr<T> {
    using Base = NullableRefPtr<T>;

public:
    explicit RefPtr(T& object) : Base(&object) {}
    RefPtr(const RefPtr&) = default;
    RefPtr(RefPtr&&) noexcept = default;
    RefPtr& operator=(const RefPtr&) = default;
    RefPtr& operator=(RefPtr&&) noexcept = default;
    template <typename U>
        requires std::convertible_to<U*, T*>
    RefPtr(const RefPtr<U>& other) : Base(other) {}
    template <typename U>
        requires std::convertible_to<U*, T*>
    RefPtr(RefPtr<U>&& other) : Base(std::move(other)) {}
    /// `pointer` must not be null.
    explicit RefPtr(Base pointer) : Base(std::move(pointer)) { VERIFY(this->get()); }
    static RefPtr adopt(T& object) { return RefPtr(Base::adopt(&object)); }
    operator T&() const { return *this->get(); }
};

/// Wraps a freshly made object, taking over its first reference.
template <typename T>
RefPtr<T> adopt_ref(T& object) {
    return RefPtr<T>::adopt(object);
}

} // namespace linnet
