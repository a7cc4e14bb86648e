// A growable array whose growth can fail: what std::vector is elsewhere.
#pragma once

#include <lib/assert.hpp>
#include <lib/result.hpp>
#include <lib/types.hpp>
#include <new>
#include <span>
#include <utility>

namespace linnet {

template <typename T>
class ArrayList {
public:
    ArrayList() = default;
    ArrayList(const ArrayList&) = delete;
    ArrayList& operator=(const ArrayList&) = delete;
    ArrayList(ArrayList&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)),
          capacity_(std::exchange(other.capacity_, 0)) {}
    ArrayList& operator=(ArrayList&& other) noexcept {
        std::swap(data_, other.data_), std::swap(size_, other.size_), std::swap(capacity_, other.capacity_);
        return *this;
    }
    ~ArrayList() {
        clear();
        ::operator delete(data_);
    }

    [[nodiscard]] usize size() const { return size_; }
    /// How many elements fit before it has to grow.
    [[nodiscard]] usize capacity() const { return capacity_; }
    [[nodiscard]] bool is_empty() const { return size_ == 0; }
    T& operator[](usize index) {
        VERIFY(index < size_);
        return data_[index];
    }
    const T& operator[](usize index) const {
        VERIFY(index < size_);
        return data_[index];
    }
    T* begin() { return data_; }
    T* end() { return data_ + size_; }
    const T* begin() const { return data_; }
    const T* end() const { return data_ + size_; }
    T& back() { return (*this)[size_ - 1]; }
    std::span<T> span() { return {data_, size_}; }
    std::span<const T> span() const { return {data_, size_}; }

    /// ENOMEM when the array can't grow.
    Result<void> try_reserve(usize capacity) {
        if (capacity <= capacity_) return {};
        usize grown = capacity_ * 2 > capacity ? capacity_ * 2 : capacity;
        usize bytes;
        if (__builtin_mul_overflow(grown, sizeof(T), &bytes)) return error(Errno::ENOMEM);
        T* fresh = static_cast<T*>(::operator new(bytes, std::nothrow));
        if (!fresh) return error(Errno::ENOMEM);
        for (usize i = 0; i < size_; ++i) {
            new (&fresh[i]) T(std::move(data_[i]));
            data_[i].~T();
        }
        ::operator delete(data_);
        data_ = fresh;
        capacity_ = grown;
        return {};
    }
    Result<void> try_push(T value) {
        TRY(try_reserve(size_ + 1));
        new (&data_[size_++]) T(std::move(value));
        return {};
    }
    Result<void> try_resize(usize size) {
        TRY(try_reserve(size));
        while (size_ < size) new (&data_[size_++]) T();
        while (size_ > size) data_[--size_].~T();
        return {};
    }
    T pop() {
        VERIFY(size_ > 0);
        T value = std::move(data_[--size_]);
        data_[size_].~T();
        return value;
    }
    /// Removes the element at `index`, keeping the order.
    void remove_at(usize index) {
        VERIFY(index < size_);
        for (usize i = index; i + 1 < size_; ++i) data_[i] = std::move(data_[i + 1]);
        data_[--size_].~T();
    }
    void clear() {
        while (size_ > 0) data_[--size_].~T();
    }

private:
    T* data_ = nullptr;
    usize size_ = 0;
    usize capacity_ = 0;
};

} // namespace linnet
