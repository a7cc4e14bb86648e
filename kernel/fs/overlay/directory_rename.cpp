// rename(2) in an overlay. Only the upper layer changes: what the lower ones show at the old name is hidden by a
// whiteout, and a directory with a lower part gets a redirect to where that still lies, or is left to be copied by who
// wants to move it (EXDEV).
#include "listing.hpp"
#include "overlay_directory.hpp"
#include "upper_names.hpp"
#include "work_directory.hpp"

#include <abi/linux/fcntl.hpp>
#include <cstring>

namespace linnet::overlay {

using vfs::Dentry;
using vfs::Inode;

/// The locks of rename.cpp in vfs are held, and copy_up_lock of what is replaced.
class OverlayRename {
public:
    OverlayRename(OverlayDirectory& from, const Inode::RenameRequest& request)
        : request_(request), overlay_(from.overlay()), from_(from), to_(of_directory(request.new_directory)),
          moved_(of_overlay(request.moved)), replaced_(request.replaced ? &of_overlay(*request.replaced) : nullptr) {}
    Result<void> check() const;
    Result<void> prepare();
    Result<void> perform();

private:
    [[nodiscard]] bool exchanges() const { return (request_.flags & abi::RENAME_EXCHANGE) != 0; }
    Result<void> mark_moved(OverlayInode& directory, std::string_view name, bool hides_lower, OverlayDirectory& to);
    Result<void> redirect(OverlayInode& directory, std::string_view name);
    Result<ArrayList<char>> path_below(OverlayInode& directory);
    Result<bool> has_names(Inode& directory);
    Result<void> move_in_layer();
    Result<void> swap_with_hidden(Inode& hidden);

    const Inode::RenameRequest& request_;
    OverlaySuperBlock& overlay_;
    OverlayDirectory& from_;
    OverlayDirectory& to_;
    OverlayInode& moved_;
    OverlayInode* replaced_;
    bool old_shows_lower_ = false, new_shows_lower_ = false;
};

Result<void> OverlayRename::check() const {
    if (request_.flags & ~u32{abi::RENAME_NOREPLACE | abi::RENAME_EXCHANGE}) return error(Errno::EINVAL);
    if (overlay_.redirects() == Redirects::Make) return {};
    const auto has_lower_part = [](const OverlayInode& inode) {
        return inode.is_directory() && !inode.lowers().empty();
    };
    if (has_lower_part(moved_)) return error(Errno::EXDEV);
    if (exchanges() && has_lower_part(*replaced_)) return error(Errno::EXDEV);
    return {};
}

Result<void> OverlayRename::prepare() {
    TRY(moved_.copy_up());
    if (exchanges()) TRY(replaced_->copy_up());
    TRY(from_.copy_up());
    return to_.copy_up();
}

/// What is left of its former name, as whoever renames it again would need it.
Result<ArrayList<char>> redirect_of(const Marks& marks, Inode& upper) {
    const Marks::Value value = TRY(marks.read(upper, mark::redirect));
    ArrayList<char> text;
    if (!value) return text;
    for (const u8 byte : *value) TRY(text.try_push(static_cast<char>(byte)));
    return text;
}

/// The path of a directory's lower part from the root: names that it and those above it have there.
Result<ArrayList<char>> OverlayRename::path_below(OverlayInode& directory) {
    ArrayList<char> path;
    const auto prepend = [&](std::string_view piece) -> Result<void> {
        const usize old = path.size();
        TRY(path.try_resize(old + piece.size()));
        std::memmove(path.begin() + piece.size(), path.begin(), old);
        std::memcpy(path.begin(), piece.data(), piece.size());
        return {};
    };
    NullableRefPtr<Dentry> at = Dentry::any_of(directory);
    if (!at) return error(Errno::ESTALE);
    while (!at->is_root()) {
        const Dentry* const upper = of_overlay(*at->inode()).upper();
        ArrayList<char> text;
        if (upper) text = TRY(redirect_of(overlay_.marks(), *upper->inode()));
        if (!text.is_empty() && text[0] == '/') {
            TRY(prepend({text.begin(), text.size()}));
            return path;
        }
        if (text.is_empty())
            TRY(prepend(at->name_stable())); // nobody renames meanwhile
        else
            TRY(prepend({text.begin(), text.size()}));
        TRY(prepend("/"));
        at = at->parent();
    }
    return path;
}

Result<void> OverlayRename::redirect(OverlayInode& directory, std::string_view name) {
    constexpr usize longest = 256; // as on Linux
    Inode& upper = *directory.upper()->inode();
    const ArrayList<char> present = TRY(redirect_of(overlay_.marks(), upper));
    const bool stays = &from_ == &to_;
    if (!present.is_empty() && (stays || present[0] == '/')) return {};
    if (stays)
        return overlay_.marks().write(upper, mark::redirect, {reinterpret_cast<const u8*>(name.data()), name.size()});
    const ArrayList<char> path = TRY(path_below(directory));
    if (path.size() > longest) return error(Errno::EXDEV);
    return overlay_.marks().write(upper, mark::redirect, {reinterpret_cast<const u8*>(path.begin()), path.size()});
}

/// A directory that is about to be moved from `name` to `to` says what is to show of the lower layers there.
Result<void> OverlayRename::mark_moved(OverlayInode& directory, std::string_view name, bool hides_lower,
                                       OverlayDirectory& to) {
    if (!directory.is_directory()) return {};
    if (!directory.lowers().empty()) return redirect(directory, name);
    if (!hides_lower && !to.is_merged()) return {};
    return overlay_.marks().set(*directory.upper()->inode(), mark::opaque);
}

/// Of an upper directory whose names are all whiteouts.
Result<bool> OverlayRename::has_names(Inode& directory) {
    const Dentry& dentry = *replaced_->upper();
    VERIFY(dentry.inode() == &directory);
    Listing names;
    TRY(names.add(*replaced_->upper(), 0, nullptr));
    return names.next(0) != nullptr;
}

Result<void> OverlayRename::perform() {
    const RefPtr<Dentry> old_entry = TRY(find_in_layer(*from_.upper(), request_.old_name));
    if (old_entry->inode() != moved_.upper()->inode()) return error(Errno::ESTALE);
    if (replaced_ && !exchanges() && replaced_->is_directory()) TRY(of_directory(*replaced_).check_empty());
    old_shows_lower_ = TRY(from_.shows_lower(request_.old_name));
    new_shows_lower_ = TRY(to_.shows_lower(request_.new_name));
    TRY(mark_moved(moved_, request_.old_name, new_shows_lower_, to_));
    if (exchanges()) TRY(mark_moved(*replaced_, request_.new_name, old_shows_lower_, from_));
    TRY(move_in_layer());
    to_.make_impure();
    if (exchanges())
        from_.make_impure();
    else if (replaced_)
        replaced_->note_removed();
    from_.note_change();
    to_.note_change();
    from_.mirror();
    to_.mirror();
    moved_.mirror();
    if (exchanges()) replaced_->mirror();
    return {};
}

/// The one step in the upper layer.
Result<void> OverlayRename::move_in_layer() {
    const RefPtr<Dentry> new_entry = TRY(find_in_layer(*to_.upper(), request_.new_name));
    Inode* const present = new_entry->inode();
    Inode* const expected = replaced_ && replaced_->upper() ? replaced_->upper()->inode() : nullptr;
    const bool is_hidden = present && TRY(is_whiteout(overlay_.marks(), *to_.upper(), *present));
    if (present != expected && !is_hidden) return error(Errno::ESTALE);
    NameMove move{
        *from_.upper(), request_.old_name, *moved_.upper()->inode(), *to_.upper(), request_.new_name, present, 0};
    if (exchanges()) {
        move.flags = abi::RENAME_EXCHANGE;
        return move_name(move);
    }
    if (present && moved_.is_directory() && (is_hidden || TRY(has_names(*present)))) return swap_with_hidden(*present);
    if (old_shows_lower_) move.flags = abi::RENAME_WHITEOUT;
    return move_name(move);
}

/// A directory takes the place of a whiteout, or of a directory with nothing but whiteouts, by an exchange. What comes
/// to the old name then stays there as the whiteout that is needed, or goes.
Result<void> OverlayRename::swap_with_hidden(Inode& hidden) {
    Inode& moved = *moved_.upper()->inode();
    TRY(move_name(
        {*from_.upper(), request_.old_name, moved, *to_.upper(), request_.new_name, &hidden, abi::RENAME_EXCHANGE}));
    if (!hidden.is_directory() && old_shows_lower_) return {};
    WorkName place = WorkName::reserve(overlay_);
    const auto cleared = move_name({*from_.upper(), request_.old_name, hidden, overlay_.work(), place.text(), nullptr,
                                    old_shows_lower_ ? static_cast<u32>(abi::RENAME_WHITEOUT) : 0});
    if (cleared) {
        place.adopt();
        return {};
    }
    // Back; that needs nothing that there could be too little of.
    (void)move_name(
        {*to_.upper(), request_.new_name, moved, *from_.upper(), request_.old_name, &hidden, abi::RENAME_EXCHANGE});
    return cleared;
}

Result<void> OverlayDirectory::rename(const RenameRequest& request) {
    OverlayRename rename(*this, request);
    TRY(rename.check());
    TRY(rename.prepare());
    const bool replaces = request.replaced && !(request.flags & abi::RENAME_EXCHANGE);
    if (!replaces) return rename.perform();
    core::MutexGuard guard(of_overlay(*request.replaced).copy_up_lock);
    return rename.perform();
}

} // namespace linnet::overlay
