// Looking a name up in all layers: whiteouts, opaque directories, and redirects of those that were renamed.
#include "overlay_directory.hpp"

#include <abi/linux/fs.hpp>
#include <algorithm>

namespace linnet::overlay {

using vfs::Dentry;
using vfs::Inode;

namespace {

std::string_view view(const ArrayList<u8>& bytes) {
    return {reinterpret_cast<const char*>(bytes.begin()), bytes.size()};
}
std::string_view view(const ArrayList<char>& text) { return {text.begin(), text.size()}; }

Result<void> append(ArrayList<char>& text, std::string_view piece) {
    for (const char c : piece) TRY(text.try_push(c));
    return {};
}

/// Whether a redirect makes sense, whoever wrote it: a name, or an absolute path of names.
bool is_redirect(std::string_view text) {
    const auto is_name = [](std::string_view name) {
        return !name.empty() && name != "." && name != ".." && name.size() <= abi::NAME_MAX && !name.contains('\0');
    };
    if (text.empty() || text.size() >= abi::PATH_MAX) return false;
    if (text[0] != '/') return !text.contains('/') && is_name(text);
    while (!text.empty()) {
        text.remove_prefix(1); // the slash
        const usize length = std::min(text.find('/'), text.size());
        if (!is_name(text.substr(0, length))) return false;
        text = text.substr(length);
    }
    return true;
}

/// One look-up: goes from layer to layer, until something hides what is below.
class Search {
public:
    Search(OverlayDirectory& parent, std::string_view name)
        : parent_(parent), overlay_(parent.overlay()), name_(name) {}
    Result<Found> run();

private:
    enum class Last : u8 { No, Yes }; // whether anything could come below
    Result<void> look_in(Dentry& directory, std::string_view name, u32 layer, Last last);
    Result<void> walk_from(Dentry& top, u32 layer, Last last);
    Result<NullableRefPtr<Dentry>> step_into(Dentry& directory, std::string_view name, Last last);
    Result<void> note_directory(Inode& directory);
    Result<void> check_file(Inode& file);
    [[nodiscard]] std::string_view wanted() const { return redirect_.is_empty() ? name_ : view(redirect_); }
    [[nodiscard]] bool is_absolute() const { return !redirect_.is_empty() && redirect_[0] == '/'; }

    OverlayDirectory& parent_;
    OverlaySuperBlock& overlay_;
    std::string_view name_;
    ArrayList<char> redirect_; // what it is called in the layers to come; empty: name_
    ArrayList<char> target_;   // the redirect of the directory that was looked at last
    bool is_finished_ = false;
    Found found_;
};

/// What a directory says of those below it: nothing, or what they are called (target_).
Result<void> Search::note_directory(Inode& directory) {
    const Marks& marks = overlay_.marks();
    if (TRY(marks.is_set(directory, mark::opaque))) {
        is_finished_ = true;
        return {};
    }
    const Marks::Value value = TRY(marks.read(directory, mark::redirect));
    if (!value) return {};
    if (!is_redirect(view(*value))) return error(Errno::EINVAL);
    if (overlay_.redirects() == Redirects::Refuse) return error(Errno::EPERM);
    return append(target_, view(*value));
}

/// metacopy=on of another kernel leaves files whose data is elsewhere: better none than empty ones.
Result<void> Search::check_file(Inode& file) {
    if (!file.is_regular()) return {};
    return TRY(overlay_.marks().read(file, mark::metacopy)) ? error(Errno::EPERM) : Result<void>{};
}

/// One name in one directory of a layer.
Result<void> Search::look_in(Dentry& directory, std::string_view name, u32 layer, Last last) {
    if (name.size() > directory.superblock().max_name_length()) return {};
    auto dentry = find_in_layer(directory, name);
    if (!dentry && dentry.error() == Errno::ENOENT) return {};
    RefPtr<Dentry> child = TRY(std::move(dentry));
    Inode* const inode = child->inode();
    if (!inode) return {};
    if (TRY(is_whiteout(overlay_.marks(), directory, *inode))) {
        is_finished_ = true;
        return {};
    }
    if (!inode->is_directory()) {
        is_finished_ = true;
        if (!found_.is_nothing()) return {}; // hidden by the directory above
        TRY(check_file(*inode));
    }
    if (layer == 0)
        found_.upper = std::move(child);
    else
        TRY(found_.lowers.try_push(LowerPlace{std::move(child), layer}));
    if (!inode->is_directory() || last == Last::Yes) return {};
    return note_directory(*inode);
}

/// An absolute redirect, from the root of a layer. What is on the way may hide or redirect, too.
Result<void> Search::walk_from(Dentry& top, u32 layer, Last last) {
    const ArrayList<char> path = std::move(redirect_);
    const std::string_view text = view(path);
    ArrayList<char> below; // the same in the layers to come
    RefPtr<Dentry> at(top);
    for (usize begin = 0; begin < text.size();) {
        const usize end = std::min(text.find('/', begin + 1), text.size());
        const std::string_view name = text.substr(begin + 1, end - begin - 1);
        target_ = {};
        NullableRefPtr<Dentry> next;
        if (end == text.size())
            TRY(look_in(at, name, layer, last));
        else
            next = TRY(step_into(at, name, last));
        if (target_.is_empty() || target_[0] != '/') TRY(append(below, "/"));
        if (!target_.is_empty() && target_[0] == '/') below = {};
        TRY(append(below, target_.is_empty() ? name : view(target_)));
        if (!next) {
            TRY(append(below, text.substr(end)));
            break;
        }
        at = RefPtr<Dentry>(std::move(next));
        begin = end;
    }
    if (below.size() >= abi::PATH_MAX) return error(Errno::ENAMETOOLONG);
    redirect_ = std::move(below);
    return {};
}

/// A directory on the way; null where there is none.
Result<NullableRefPtr<Dentry>> Search::step_into(Dentry& directory, std::string_view name, Last last) {
    if (name.size() > directory.superblock().max_name_length()) return NullableRefPtr<Dentry>{};
    auto next = find_in_layer(directory, name);
    if (!next && next.error() != Errno::ENOENT) return error(next.error());
    Inode* const inode = next ? (*next)->inode() : nullptr;
    if (!inode) return NullableRefPtr<Dentry>{};
    if (!inode->is_directory()) {
        is_finished_ = true;
        return NullableRefPtr<Dentry>{};
    }
    if (last == Last::No) TRY(note_directory(*inode));
    return NullableRefPtr<Dentry>(std::move(*next));
}

Result<Found> Search::run() {
    if (Dentry* const upper = parent_.upper()) {
        TRY(look_in(*upper, name_, 0, Last::No));
        redirect_ = std::move(target_);
    }
    std::span<const LowerPlace> stack = parent_.lowers();
    const OverlayDirectory& root = of_directory(*overlay_.root().inode());
    bool goes_from_root = false;
    u32 last_layer = 0;
    for (usize i = 0; !is_finished_;) {
        if (is_absolute() && !goes_from_root) {
            // From here on it isn't the parent's directories that count.
            goes_from_root = true;
            stack = root.lowers();
            i = 0;
        }
        if (i == stack.size()) break;
        const LowerPlace& place = stack[i++];
        if (place.layer <= last_layer) continue;
        last_layer = place.layer;
        const Last last = last_layer + 1 == overlay_.layer_count() ? Last::Yes : Last::No;
        if (goes_from_root) {
            TRY(walk_from(*place.dentry, place.layer, last));
            continue;
        }
        target_ = {};
        TRY(look_in(*place.dentry, wanted(), place.layer, last));
        if (!target_.is_empty()) redirect_ = std::move(target_);
    }
    return std::move(found_);
}

} // namespace

Result<Found> OverlayDirectory::search(std::string_view name) { return Search(*this, name).run(); }

Result<RefPtr<Inode>> OverlayDirectory::lookup(std::string_view name) {
    Found found = TRY(search(name));
    if (found.is_nothing()) return error(Errno::ENOENT);
    return overlay().inode_of_found(std::move(found));
}

Result<bool> OverlayDirectory::shows_lower(std::string_view name) {
    for (const LowerPlace& place : lowers()) {
        if (name.size() > place.dentry->superblock().max_name_length()) continue;
        const auto child = find_in_layer(*place.dentry, name);
        if (!child && child.error() != Errno::ENOENT) return error(child.error());
        Inode* const inode = child ? (*child)->inode() : nullptr;
        if (inode) return !TRY(is_whiteout(overlay().marks(), *place.dentry, *inode));
    }
    return false;
}

} // namespace linnet::overlay
