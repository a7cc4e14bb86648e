// Sole ownership of a heap object, and the scope guard.
#pragma once

#include <lib/result.hpp>
#include <memory>
#include <new>
#include <utility>

namespace linnet {

/// Sole owner of a heap object.
template <typename T>
using OwnPtr = std::unique_ptr<T>;

/// Makes an object on the heap; ENOMEM when there is no memory for it.
template <typename T, typename... Args>
Result<OwnPtr<T>> try_make(Args&&... args) {
    T* object = new (std::nothrow) T(std::forward<Args>(args)...);
    if (!object) return error(Errno::ENOMEM);
    return OwnPtr<T>(object);
}

/// Runs `action` at the end of the scope unless dismissed.
template <typename F>
class ScopeGuard {
public:
    explicit ScopeGuard(F action) : action_(std::move(action)) {}
    ScopeGuard(const ScopeGuard&) = delete;
    ScopeGuard& operator=(const ScopeGuard&) = delete;
    ~ScopeGuard() {
        if (armed_) action_();
    }
    void dismiss() { armed_ = false; }

private:
    F action_;
    bool armed_ = true;
};

} // namespace linnet
