// The operations of the protocol, each a request and what its answer holds.
#include "exchange.hpp"

#include <algorithm>

namespace linnet::p9 {

namespace {

constexpr std::string_view protocol = "9P2000.L";
constexpr u64 all_basic_attributes = 0x7ff, birth_attribute = 0x800;
/// Before the data of an Rreaddir, as of an Rread.
constexpr usize data_head_size = error_size;

TimeOf time_from(Reader& fields) {
    TimeOf time;
    time.seconds = fields.get<u64>();
    time.nanoseconds = fields.get<u64>();
    return time;
}

} // namespace

/// The fields of an answer, and the memory that they lie in.
class Client::Answer {
public:
    Answer(Client& client, Exchange& exchange) : client_(&client), exchange_(&exchange) {}
    Answer(Answer&& other) noexcept
        : client_(other.client_), exchange_(std::exchange(other.exchange_, nullptr)), fields(other.fields) {}
    Answer(const Answer&) = delete;
    ~Answer() {
        if (exchange_) client_->dispose(*exchange_);
    }
    /// Sends and waits.
    Result<void> get(core::Sleep sleep, Type type) {
        client_->send(*exchange_);
        TRY(client_->wait(*exchange_, sleep));
        // Told to drop it, the server has.
        if (exchange_->answered == 0) return error(Errno::RestartIfRequested);
        fields = TRY(open_answer(exchange_->room.first(exchange_->answered), type, exchange_->tag));
        return {};
    }

private:
    Client* client_;
    Exchange* exchange_;

public:
    Reader fields{{}};
};

Result<Client::Answer> Client::ask_prepared(core::Sleep sleep, Type type, Exchange& exchange) {
    Answer answer(*this, exchange);
    TRY(answer.get(sleep, type));
    return answer;
}

template <typename... Fields>
Result<Client::Answer> Client::ask(core::Sleep sleep, usize room, Type type, const Fields&... fields) {
    const usize size = header_size + (usize{0} + ... + size_of(fields));
    if (size > message_size_) return error(Errno::ENAMETOOLONG);
    Exchange& exchange = *TRY(make_exchange(size, std::min<usize>(room, message_size_)));
    Writer writer(exchange.message, type);
    (writer.put(fields), ...);
    if (auto finished = writer.finish(); !finished) {
        dispose(exchange);
        return error(finished.error());
    }
    return ask_prepared(sleep, type, exchange);
}

/// An operation that has made `fid` stand for something.
#define ESTABLISH(fid, answer)                                                                                         \
    ({                                                                                                                 \
        auto establish_answer_ = (answer);                                                                             \
        (fid).state_ = establish_answer_                           ? Fid::State::Established                           \
                       : establish_answer_.error() == Errno::EINTR ? Fid::State::Unknown                               \
                                                                   : Fid::State::Free;                                 \
        TRY(std::move(establish_answer_));                                                                             \
    })

// ---- the connection ----

Result<OwnPtr<Client>> Client::connect(Channel& channel, u32 wanted_message) {
    auto* made = new (std::nothrow) Client(channel);
    if (!made) {
        release_channel(channel);
        return error(Errno::ENOMEM);
    }
    OwnPtr<Client> client(made);
    if (auto agreed = client->agree_on_version(wanted_message); !agreed) {
        disconnect(std::move(client));
        return error(agreed.error());
    }
    return client;
}

Result<void> Client::agree_on_version(u32 wanted_message) {
    const u32 wanted = std::clamp(wanted_message, least_message, most_message);
    Exchange& exchange = *TRY(make_exchange(header_size + size_of(wanted) + size_of(protocol), small_answer));
    exchange.has_own_tag = true;
    Writer writer(exchange.message, Type::Version);
    writer.put(wanted);
    writer.put(protocol);
    MUST(writer.finish()); // it was made for that
    auto answer = TRY(ask_prepared(core::Sleep::Interruptible, Type::Version, exchange));
    const u32 size = answer.fields.get<u32>();
    const std::string_view version = answer.fields.text();
    TRY(answer.fields.finish());
    if (version != protocol) return error(Errno::EOPNOTSUPP);
    if (size < least_message || size > wanted) return error(Errno::EIO);
    message_size_ = size;
    return {};
}

Result<RefPtr<Fid>> Client::attach(std::string_view user, std::string_view tree, u32 uid) {
    RefPtr<Fid> fid = TRY(Fid::create(*this));
    auto answer = ESTABLISH(
        *fid, ask(core::Sleep::Interruptible, small_answer, Type::Attach, fid->number(), no_fid, user, tree, uid));
    answer.fields.qid();
    TRY(answer.fields.finish());
    return fid;
}

// ---- names ----

Result<Client::Walked> Client::walk(const Fid& directory, std::string_view name, core::Sleep sleep) {
    RefPtr<Fid> fid = TRY(Fid::create(*this));
    auto answer =
        ESTABLISH(*fid, ask(sleep, small_answer, Type::Walk, directory.number(), fid->number(), u16{1}, name));
    const u16 count = answer.fields.get<u16>();
    const Qid qid = answer.fields.qid();
    if (count != 1) {
        // A walk that ends before its goal makes no fid.
        fid->state_ = Fid::State::Free;
        return error(count == 0 ? Errno::ENOENT : Errno::EIO);
    }
    TRY(answer.fields.finish());
    return Walked{std::move(fid), qid};
}

Result<RefPtr<Fid>> Client::clone(const Fid& fid) {
    RefPtr<Fid> fresh = TRY(Fid::create(*this));
    (void)ESTABLISH(*fresh,
                    ask(core::Sleep::Interruptible, small_answer, Type::Walk, fid.number(), fresh->number(), u16{0}));
    return fresh;
}

Result<void> Client::make_directory(const Fid& directory, std::string_view name, NewObject what) {
    (void)TRY(
        ask(core::Sleep::Interruptible, small_answer, Type::Mkdir, directory.number(), name, what.mode, what.gid));
    return {};
}

Result<void> Client::make_node(const Fid& directory, std::string_view name, NewObject what, u32 major, u32 minor) {
    (void)TRY(ask(core::Sleep::Interruptible, small_answer, Type::Mknod, directory.number(), name, what.mode, major,
                  minor, what.gid));
    return {};
}

Result<void> Client::make_symlink(const Fid& directory, std::string_view name, std::string_view target, u32 gid) {
    (void)TRY(ask(core::Sleep::Interruptible, small_answer, Type::Symlink, directory.number(), name, target, gid));
    return {};
}

Result<void> Client::link(const Fid& directory, std::string_view name, const Fid& target) {
    (void)TRY(ask(core::Sleep::Interruptible, small_answer, Type::Link, directory.number(), target.number(), name));
    return {};
}

Result<void> Client::unlink(const Fid& directory, std::string_view name, u32 flags) {
    (void)TRY(ask(core::Sleep::Interruptible, small_answer, Type::Unlinkat, directory.number(), name, flags));
    return {};
}

Result<void> Client::rename(const Fid& from, std::string_view old_name, const Fid& to, std::string_view new_name) {
    (void)TRY(
        ask(core::Sleep::Interruptible, small_answer, Type::Renameat, from.number(), old_name, to.number(), new_name));
    return {};
}

Result<void> Client::read_link(const Fid& fid, FunctionRef<Result<void>(std::string_view)> take) {
    constexpr usize longest = 4096;
    auto answer =
        TRY(ask(core::Sleep::Interruptible, header_size + sizeof(u16) + longest, Type::Readlink, fid.number()));
    const std::string_view target = answer.fields.text();
    TRY(answer.fields.finish());
    return take(target);
}

Result<bool> Client::read_directory(const Fid& fid, u64 offset, FunctionRef<bool(const DirectoryEntry&)> take) {
    constexpr u32 wanted = 32 * 1024;
    const u32 count = std::min<u32>(wanted, message_size_ - data_head_size);
    auto answer =
        TRY(ask(core::Sleep::Interruptible, data_head_size + count, Type::Readdir, fid.number(), offset, count));
    const u32 got = answer.fields.get<u32>();
    Reader entries(answer.fields.get_bytes(got));
    TRY(answer.fields.finish());
    if (entries.is_at_end()) return false;
    while (!entries.is_at_end()) {
        DirectoryEntry entry;
        entry.qid = entries.qid();
        entry.next_offset = entries.get<u64>();
        entry.type = entries.get<u8>();
        entry.name = entries.text();
        TRY(entries.finish());
        if (entry.next_offset == offset) return error(Errno::EIO); // it would never end
        if (!take(entry)) break;
    }
    return true;
}

// ---- attributes ----

Result<Attributes> Client::get_attributes(const Fid& fid, core::Sleep sleep) {
    auto answer = TRY(ask(sleep, small_answer, Type::Getattr, fid.number(), all_basic_attributes | birth_attribute));
    Reader& fields = answer.fields;
    Attributes result;
    const u64 valid = fields.get<u64>();
    result.qid = fields.qid();
    result.mode = fields.get<u32>();
    result.uid = fields.get<u32>();
    result.gid = fields.get<u32>();
    result.links = fields.get<u64>();
    result.device = fields.get<u64>();
    result.size = fields.get<u64>();
    result.block_size = fields.get<u64>();
    result.blocks = fields.get<u64>();
    result.access = time_from(fields);
    result.modify = time_from(fields);
    result.change = time_from(fields);
    result.birth = time_from(fields);
    result.has_birth = (valid & birth_attribute) != 0;
    TRY(fields.finish());
    constexpr u64 longest_file = ~u64{0} >> 1;
    if ((valid & all_basic_attributes) != all_basic_attributes || result.size > longest_file) return error(Errno::EIO);
    return result;
}

Result<void> Client::set_attributes(const Fid& fid, const Change& change, core::Sleep sleep) {
    (void)TRY(ask(sleep, small_answer, Type::Setattr, fid.number(), change.valid, change.mode, change.uid, change.gid,
                  change.size, change.access.seconds, change.access.nanoseconds, change.modify.seconds,
                  change.modify.nanoseconds));
    return {};
}

Result<Statistics> Client::statistics(const Fid& fid) {
    auto answer = TRY(ask(core::Sleep::Interruptible, small_answer, Type::Statfs, fid.number()));
    Reader& fields = answer.fields;
    Statistics result;
    result.type = fields.get<u32>();
    result.block_size = fields.get<u32>();
    result.blocks = fields.get<u64>();
    result.blocks_free = fields.get<u64>();
    result.blocks_available = fields.get<u64>();
    result.files = fields.get<u64>();
    result.files_free = fields.get<u64>();
    result.id = fields.get<u64>();
    result.most_name = fields.get<u32>();
    TRY(fields.finish());
    return result;
}

Result<Client::Attribute> Client::open_attribute(const Fid& fid, std::string_view name) {
    RefPtr<Fid> value = TRY(Fid::create(*this));
    auto answer = ESTABLISH(
        *value, ask(core::Sleep::Interruptible, small_answer, Type::Xattrwalk, fid.number(), value->number(), name));
    const u64 size = answer.fields.get<u64>();
    TRY(answer.fields.finish());
    return Attribute{std::move(value), size};
}

Result<void> Client::set_attribute(const Fid& fid, std::string_view name, std::span<const u8> value, u32 flags) {
    RefPtr<Fid> target = TRY(clone(fid));
    (void)TRY(ask(core::Sleep::Interruptible, small_answer, Type::Xattrcreate, target->number(), name,
                  u64{value.size()}, flags));
    for (usize done = 0; done < value.size();) {
        const auto fill = [&](std::span<u8> place) -> Result<usize> {
            std::memcpy(place.data(), value.data() + done, place.size());
            return place.size();
        };
        const usize count =
            TRY(write(*target, done, value.size() - done, core::Sleep::Killable, fill, [](std::span<const u8>) {}));
        if (count == 0) return error(Errno::EIO);
        done += count;
    }
    // The server stores it now.
    return give_back(std::move(target));
}

/// Says what the server thinks of it. The number is free behind it, whatever that is.
Result<void> Client::give_back(RefPtr<Fid> fid) {
    const auto answer = ask(core::Sleep::Killable, small_answer, Type::Clunk, fid->number());
    fid->state_ = answer || answer.error() != Errno::EINTR ? Fid::State::Free : Fid::State::Unknown;
    return answer ? Result<void>{} : error(answer.error());
}

// ---- files ----

Result<void> Client::open(const Fid& fid, u32 flags) {
    (void)TRY(ask(core::Sleep::Interruptible, small_answer, Type::Open, fid.number(), flags));
    return {};
}

Result<void> Client::create(const Fid& fid, std::string_view name, u32 flags, NewObject what) {
    (void)TRY(
        ask(core::Sleep::Interruptible, small_answer, Type::Create, fid.number(), name, flags, what.mode, what.gid));
    return {};
}

Result<Exchange*> Client::make_data_exchange(usize& data, FunctionRef<Result<Exchange*>(usize data)> make) {
    for (;; data /= 2) {
        auto made = make(data);
        if (made || data / 2 < least_data) return made;
    }
}

Result<usize> Client::read(const Fid& fid, u64 offset, usize wanted, core::Sleep sleep,
                           FunctionRef<Result<usize>(std::span<const u8>)> take) {
    usize count = std::min({wanted, most_data, message_size_ - data_head_size});
    const auto make = [&](usize data) { return make_exchange(write_head_size, data_head_size + data); };
    Exchange& exchange = *TRY(make_data_exchange(count, make));
    Writer writer(exchange.message, Type::Read);
    writer.put(fid.number());
    writer.put(offset);
    writer.put(static_cast<u32>(count));
    MUST(writer.finish()); // it was made for that
    auto answer = TRY(ask_prepared(sleep, Type::Read, exchange));
    const u32 got = answer.fields.get<u32>();
    const std::span<const u8> bytes = answer.fields.get_bytes(got);
    TRY(answer.fields.finish());
    if (got > count) return error(Errno::EIO);
    return take(bytes);
}

Result<usize> Client::write(const Fid& fid, u64 offset, usize wanted, core::Sleep sleep,
                            FunctionRef<Result<usize>(std::span<u8>)> fill,
                            FunctionRef<void(std::span<const u8>)> stored) {
    usize most = std::min({wanted, most_data, message_size_ - write_head_size});
    const auto make = [&](usize data) { return make_exchange(write_head_size + data, small_answer); };
    Exchange& exchange = *TRY(make_data_exchange(most, make));
    const std::span<u8> all = exchange.message;
    const auto filled = fill(all.subspan(write_head_size));
    if (!filled || *filled == 0) {
        dispose(exchange);
        return filled;
    }
    Writer writer(all, Type::Write);
    writer.put(fid.number());
    writer.put(offset);
    writer.put(static_cast<u32>(*filled));
    (void)writer.take(*filled);
    exchange.message = MUST(writer.finish()); // it was made for that
    auto answer = TRY(ask_prepared(sleep, Type::Write, exchange));
    const u32 count = answer.fields.get<u32>();
    TRY(answer.fields.finish());
    if (count > *filled) return error(Errno::EIO);
    stored(all.subspan(write_head_size, count));
    return usize{count};
}

Result<void> Client::sync(const Fid& fid, core::Sleep sleep) {
    (void)TRY(ask(sleep, small_answer, Type::Fsync, fid.number(), u32{0}));
    return {};
}

} // namespace linnet::p9
