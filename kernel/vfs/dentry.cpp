// The dentry cache: hash table of names, loading of missing ones, renames, and giving memory back.
//
// Every bucket has its own spinlock; nothing is taken inside it. A superblock lists its cached dentries,
// oldest first, so that unused ones can be found: unused means that only the table refers to a dentry.
#include "dentry_sequence.hpp"

#include <abi/linux/fcntl.hpp>
#include <algorithm>
#include <arch/page.hpp>
#include <cstring>
#include <lib/path_string.hpp>
#include <mm/shrinker.hpp>
#include <mm/statistics.hpp>
#include <vfs/superblock.hpp>

namespace linnet::vfs {

namespace {

struct Bucket {
    core::SpinLock lock;
    IntrusiveList<Dentry, &Dentry::hash_node> chain;
};

constinit Bucket* buckets = nullptr;
constinit u32 bucket_mask = 0;
constinit usize cached_limit = 0; // dentries of one superblock above which unused ones are dropped

/// Every superblock that has a root. The list keeps none alive.
struct SuperBlocks {
    core::SpinLock lock;
    IntrusiveList<SuperBlock, &SuperBlock::shrink_node> list;
    usize count = 0;
};
[[clang::no_destroy]] constinit SuperBlocks superblocks;

u32 key_of(const Dentry& parent, NameHash hash) {
    u64 address = reinterpret_cast<u64>(&parent) >> 6;
    return static_cast<u32>((address ^ hash.value) * 0x9e3779b97f4a7c15ull >> 32);
}
Bucket& bucket_of(u32 key) { return buckets[key & bucket_mask]; }

/// memcmp for names, which are short, without the call.
bool same_bytes(const char* first, const char* second, usize size) {
    for (usize i = 0; i < size; ++i)
        if (first[i] != second[i]) return false;
    return true;
}

} // namespace

constinit std::atomic<u32> tree_sequence{0};

NameHash NameHash::of(std::string_view name) { return {hash_name(name)}; }

Dentry::Dentry(SuperBlock& superblock, Dentry* parent) : parent_(parent), name_(inline_name_), superblock_(superblock) {
    if (parent_) parent_->ref();
}

Dentry::~Dentry() {
    if (name_ != inline_name_) ::operator delete(const_cast<char*>(name_));
    Inode* const inode = inode_.load(std::memory_order_relaxed);
    if (!inode) return;
    {
        core::SpinGuard guard(inode->attachment_lock_);
        *name_link_ = next_name_;
        if (next_name_) next_name_->name_link_ = name_link_;
    }
    inode->unref();
}

void Dentry::set_inode(RefPtr<Inode> inode) {
    {
        core::SpinGuard guard(inode->attachment_lock_);
        next_name_ = inode->names_;
        if (next_name_) next_name_->name_link_ = &next_name_;
        inode->names_ = this;
        name_link_ = &inode->names_;
    }
    inode_.store(inode.release(), std::memory_order_release);
}

bool Dentry::is_connected() const { return !is_unlinked() && (!is_root_ || this == &superblock_.root()); }

NullableRefPtr<Dentry> Dentry::any_of(Inode& inode) {
    core::SpinGuard guard(inode.attachment_lock_);
    for (Dentry* name = inode.names_; name; name = name->next_name_)
        if (name->is_connected() && name->try_ref()) return NullableRefPtr<Dentry>::adopt(name);
    for (Dentry* name = inode.names_; name; name = name->next_name_)
        if (name->try_ref()) return NullableRefPtr<Dentry>::adopt(name);
    return {};
}

/// Parents are released in a loop: a removed tree may be deeper than the stack allows.
void Dentry::last_reference_dropped() {
    Dentry* dying = this;
    while (dying) {
        Dentry* parent = dying->parent_;
        if (is_anything_watched()) [[unlikely]]
            if (Inode* inode = dying->inode(); inode && inode->link_count() == 0) WatchTable::inode_removed(*inode);
        delete dying;
        dying = parent && parent->drop_ref() ? parent : nullptr;
    }
}

bool Dentry::assign_name(std::string_view name) {
    char* target = inline_name_;
    if (name.size() > inline_name_size) {
        target = static_cast<char*>(::operator new(name.size(), std::nothrow));
        if (!target) return false;
    }
    std::memcpy(target, name.data(), name.size());
    name_ = target;
    name_length_ = static_cast<u16>(name.size());
    return true;
}

Result<RefPtr<Dentry>> Dentry::create_root(SuperBlock& superblock, RefPtr<Inode> inode, std::string_view name) {
    auto* dentry = new (std::nothrow) Dentry(superblock, nullptr);
    if (!dentry) return error(Errno::ENOMEM);
    auto result = adopt_ref(*dentry);
    if (!dentry->assign_name(name)) return error(Errno::ENOMEM);
    dentry->is_root_ = true;
    dentry->set_inode(std::move(inode));
    return result;
}

RefPtr<Dentry> Dentry::parent() const {
    core::SpinGuard guard(lock_);
    return RefPtr<Dentry>(parent_ ? *parent_ : const_cast<Dentry&>(*this));
}

usize Dentry::copy_name(std::span<char> out) const {
    core::SpinGuard guard(lock_);
    usize length = std::min<usize>(name_length_, out.size());
    std::memcpy(out.data(), name_, length);
    return length;
}

RefPtr<Dentry> Dentry::parent_and_name(std::span<char> name, usize& length) const {
    core::SpinGuard guard(lock_);
    length = std::min<usize>(name_length_, name.size());
    std::memcpy(name.data(), name_, length);
    return RefPtr<Dentry>(parent_ ? *parent_ : const_cast<Dentry&>(*this));
}

bool Dentry::is_same_or_below(const Dentry& ancestor) const {
    RefPtr<Dentry> at(const_cast<Dentry&>(*this));
    for (;;) {
        if (at.get() == &ancestor) return true;
        if (at->is_root()) return false;
        at = at->parent();
    }
}

/// Names that nobody uses, when memory is short.
class DentryShrinker final : public mm::Shrinker {
public:
    u64 count() override {
        u64 sum = 0;
        core::SpinGuard guard(superblocks.lock);
        for (SuperBlock& superblock : superblocks.list) sum += superblock.dentry_count_.load(std::memory_order_relaxed);
        return sum;
    }
    u64 scan(u64 wanted) override {
        usize left;
        {
            core::SpinGuard guard(superblocks.lock);
            left = superblocks.count;
        }
        u64 dropped = 0;
        for (; left > 0 && dropped < wanted; --left) {
            NullableRefPtr<SuperBlock> superblock = next_superblock();
            if (!superblock) break;
            const bool all = wanted == everything();
            dropped += DentryCache::shrink(*superblock, all ? ~usize{0} : wanted - dropped);
        }
        return dropped;
    }
    usize object_size() const override { return sizeof(Dentry); }

private:
    /// Goes round: who was asked goes to the end.
    static NullableRefPtr<SuperBlock> next_superblock() {
        core::SpinGuard guard(superblocks.lock);
        for (usize left = superblocks.count; left > 0; --left) {
            SuperBlock* superblock = superblocks.list.first();
            superblocks.list.remove(*superblock);
            superblocks.list.push_back(*superblock);
            if (superblock->try_ref()) return NullableRefPtr<SuperBlock>::adopt(superblock);
        }
        return {};
    }
};

namespace {
[[clang::no_destroy]] constinit DentryShrinker dentry_shrinker;
}

Result<void> DentryCache::initialise() {
    u64 pages = mm::memory_statistics().total;
    u64 memory_mib = pages >> (20 - arch::page_shift);
    u32 count = std::bit_ceil(static_cast<u32>(std::clamp<u64>(memory_mib * 16, 1024, 65536)));
    buckets = new (std::nothrow) Bucket[count];
    if (!buckets) return error(Errno::ENOMEM);
    bucket_mask = count - 1;
    mm::add_shrinker(dentry_shrinker);
    // What they may take where nobody uses them: a thirty-second of RAM.
    cached_limit = std::max<usize>(4096, (pages << arch::page_shift) / 32 / sizeof(Dentry));
    return {};
}

NullableRefPtr<Dentry> DentryCache::find(Dentry& parent, std::string_view name, NameHash hash) {
    u32 key = key_of(parent, hash);
    Bucket& bucket = bucket_of(key);
    core::SpinGuard guard(bucket.lock);
    for (Dentry& dentry : bucket.chain) {
        if (dentry.hash_ != key || dentry.parent_ != &parent || dentry.name_length_ != name.size() ||
            !same_bytes(dentry.name_, name.data(), name.size()))
            continue;
        if (!dentry.recently_used_.load(std::memory_order_relaxed))
            dentry.recently_used_.store(true, std::memory_order_relaxed);
        return NullableRefPtr<Dentry>(&dentry);
    }
    return {};
}

/// Puts a dentry into the table, which takes a reference.
void DentryCache::insert(Dentry& dentry, u32 key) {
    dentry.ref();
    dentry.hash_ = key;
    {
        // The list first: once in the table, others may take it out of both.
        SuperBlock& superblock = dentry.superblock_;
        core::SpinGuard guard(superblock.dentries_lock_);
        superblock.dentries_.push_back(dentry);
        superblock.dentry_count_.fetch_add(1, std::memory_order_relaxed);
    }
    {
        core::SpinGuard guard(dentry.parent_->lock_);
        dentry.parent_->children_.push_back(dentry);
    }
    Bucket& bucket = bucket_of(key);
    core::SpinGuard guard(bucket.lock);
    bucket.chain.push_front(dentry);
    dentry.hashed_ = true;
}

/// Takes it out; true when it was in, and the caller must give back the table's reference. `IfUnused` leaves
/// it in when anybody but the table and the caller refers to it.
bool DentryCache::remove(Dentry& dentry, RemoveWhen when) {
    {
        Bucket& bucket = bucket_of(dentry.hash_);
        core::SpinGuard guard(bucket.lock);
        if (!dentry.hashed_) return false;
        if (when == RemoveWhen::IfUnused && dentry.ref_count() > 2) return false;
        bucket.chain.remove(dentry);
        dentry.hashed_ = false;
    }
    {
        core::SpinGuard guard(dentry.parent_->lock_);
        dentry.sibling_node.unlink();
    }
    SuperBlock& superblock = dentry.superblock_;
    core::SpinGuard guard(superblock.dentries_lock_);
    if (dentry.cache_node.is_linked()) {
        superblock.dentries_.remove(dentry);
        superblock.dentry_count_.fetch_sub(1, std::memory_order_relaxed);
    }
    return true;
}

/// Of a superblock with DentryPolicy::Revalidate.
static bool is_still_true(Dentry& parent, Dentry& cached, std::string_view name) {
    Inode* const inode = cached.inode();
    return inode && parent.inode()->still_leads_to(name, *inode);
}

Result<RefPtr<Dentry>> DentryCache::find_or_load(Dentry& parent, std::string_view name, NameHash hash) {
    if (auto cached = find(parent, name, hash)) {
        if (parent.superblock_.dentry_policy() == DentryPolicy::Cache) return RefPtr<Dentry>(std::move(cached));
        if (is_still_true(parent, *cached, name)) return RefPtr<Dentry>(std::move(cached));
        invalidate(*cached);
    }
    Inode& directory = *parent.inode();
    core::WriteGuard guard(directory.lock);
    return find_or_load_locked(parent, name, hash);
}

Result<RefPtr<Dentry>> DentryCache::find_or_load_locked(Dentry& parent, std::string_view name, NameHash hash) {
    SuperBlock& superblock = parent.superblock_;
    bool revalidate = superblock.dentry_policy() == DentryPolicy::Revalidate;
    if (auto cached = find(parent, name, hash)) {
        if (!revalidate || is_still_true(parent, *cached, name)) return RefPtr<Dentry>(std::move(cached));
        invalidate(*cached);
    }
    // A removed directory has no names, and its cached ones must not come back.
    if (parent.is_unlinked() && !parent.is_root()) return error(Errno::ENOENT);
    limit_cached(superblock);
    auto* dentry = new (std::nothrow) Dentry(superblock, &parent);
    if (!dentry) return error(Errno::ENOMEM);
    auto result = adopt_ref(*dentry);
    if (!dentry->assign_name(name)) return error(Errno::ENOMEM);
    auto inode = parent.inode()->lookup(name);
    if (inode)
        dentry->set_inode(std::move(*inode));
    else if (inode.error() != Errno::ENOENT)
        return error(inode.error());
    if (inode || !revalidate) insert(*dentry, key_of(parent, hash));
    return result;
}

void DentryCache::instantiate(Dentry& dentry, RefPtr<Inode> inode) {
    VERIFY(!dentry.inode());
    dentry.set_inode(std::move(inode));
}

void DentryCache::forget_removed(Dentry& dentry) {
    dentry.unlinked_.store(true, std::memory_order_release);
    if (remove(dentry, RemoveWhen::Always)) dentry.unref();
    prune_below(dentry);
}

void DentryCache::invalidate(Dentry& dentry) {
    if (remove(dentry, RemoveWhen::Always)) dentry.unref();
    prune_below(dentry);
}

/// Takes everything cached below a dentry out of the table: it would keep a directory that is gone.
void DentryCache::prune_below(Dentry& top) {
    auto first_child = [](Dentry& of) {
        core::SpinGuard guard(of.lock_);
        return NullableRefPtr<Dentry>(of.children_.first());
    };
    while (NullableRefPtr<Dentry> leaf = first_child(top)) {
        while (NullableRefPtr<Dentry> below = first_child(*leaf)) leaf = std::move(below);
        if (remove(*leaf, RemoveWhen::Always)) leaf->unref();
    }
}

void DentryCache::rename(Dentry& moved, Dentry& target, u32 flags) {
    Dentry* moved_parent = moved.parent_;
    Dentry* target_parent = target.parent_;
    bool exchange = (flags & abi::RENAME_EXCHANGE) != 0;
    bool moved_was_in = remove(moved, RemoveWhen::Always);
    bool target_was_in = remove(target, RemoveWhen::Always);

    tree_sequence.fetch_add(1, std::memory_order_acq_rel);
    swap_places(moved, target, exchange ? Names::Exchange : Names::KeepSecond);
    tree_sequence.fetch_add(1, std::memory_order_acq_rel);

    u32 moved_key = key_of(*target_parent, NameHash::of(moved.name_stable()));
    insert(moved, moved_key);
    if (exchange)
        insert(target, key_of(*moved_parent, NameHash::of(target.name_stable())));
    else {
        target.unlinked_.store(true, std::memory_order_release);
        prune_below(target);
    }
    if (moved_was_in) moved.unref();
    if (target_was_in) target.unref();
}

/// Exchanges parents, each of which keeps as many references as it had, and names. KeepSecond: `second`,
/// which is being replaced, goes on showing its own name where that needs no memory.
void DentryCache::swap_places(Dentry& first, Dentry& second, Names names) {
    // Whoever holds one lock only reads; only renames take two, and they are ordered by address.
    Dentry& low = &first < &second ? first : second;
    Dentry& high = &first < &second ? second : first;
    core::SpinGuard low_guard(low.lock_);
    core::SpinGuard high_guard(high.lock_);
    std::swap(first.parent_, second.parent_);
    bool first_inline = first.name_ == first.inline_name_;
    bool second_inline = second.name_ == second.inline_name_;
    if (names == Names::KeepSecond && first_inline && second_inline) {
        std::memcpy(first.inline_name_, second.inline_name_, Dentry::inline_name_size);
        first.name_length_ = second.name_length_;
        return;
    }
    char inline_copy[Dentry::inline_name_size];
    std::memcpy(inline_copy, first.inline_name_, sizeof inline_copy);
    std::memcpy(first.inline_name_, second.inline_name_, sizeof inline_copy);
    std::memcpy(second.inline_name_, inline_copy, sizeof inline_copy);
    std::swap(first.name_, second.name_);
    if (second_inline) first.name_ = first.inline_name_;
    if (first_inline) second.name_ = second.inline_name_;
    std::swap(first.name_length_, second.name_length_);
}

/// Takes the oldest dentry of the list and puts it behind all others, so that used ones are met again last.
NullableRefPtr<Dentry> DentryCache::rotate(SuperBlock& superblock) {
    core::SpinGuard guard(superblock.dentries_lock_);
    Dentry* first = superblock.dentries_.first();
    if (!first) return {};
    superblock.dentries_.remove(*first);
    superblock.dentries_.push_back(*first);
    return NullableRefPtr<Dentry>(first);
}

/// Keeps the number of cached dentries near the limit. Where most are in use it may grow past it, and is
/// looked at again only after it has grown some more.
void DentryCache::limit_cached(SuperBlock& superblock) {
    usize count = superblock.dentry_count_.load(std::memory_order_relaxed);
    if (count <= cached_limit || count < superblock.shrink_at_.load(std::memory_order_relaxed)) return;
    superblock.shrink_at_.store(count + cached_limit / 8, std::memory_order_relaxed);
    shrink(superblock, cached_limit / 4);
}

usize DentryCache::shrink(SuperBlock& superblock, usize count) {
    bool everything = count == ~usize{0};
    usize dropped = 0;
    usize looked = 0; // in vain since the last success
    while (dropped < count) {
        NullableRefPtr<Dentry> candidate = rotate(superblock);
        if (!candidate) break;
        bool was_used = candidate->recently_used_.exchange(false, std::memory_order_relaxed);
        bool gone = false;
        // A leaf that goes may leave its parent unused: follow upwards, so that a deep tree goes in one
        // sweep.
        while ((everything || !was_used) && remove(*candidate, RemoveWhen::IfUnused)) {
            gone = true;
            ++dropped;
            RefPtr<Dentry> parent = candidate->parent();
            candidate->unref(); // the table's
            candidate = std::move(parent);
        }
        looked = gone ? 0 : looked + 1;
        if (looked > (everything ? superblock.dentry_count_.load(std::memory_order_relaxed) + 1 : count * 4)) break;
    }
    return dropped;
}

void DentryCache::add_superblock(SuperBlock& superblock) {
    core::SpinGuard guard(superblocks.lock);
    superblocks.list.push_back(superblock);
    ++superblocks.count;
}

void DentryCache::remove_superblock(SuperBlock& superblock) {
    core::SpinGuard guard(superblocks.lock);
    if (!superblock.shrink_node.is_linked()) return;
    superblocks.list.remove(superblock);
    --superblocks.count;
}

} // namespace linnet::vfs
