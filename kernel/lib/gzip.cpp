// Inflate. Huffman codes are canonical, so a code is told by how many codes of each length there are; short
// codes are looked up in a table by the next bits instead. Output goes to one flat buffer, which is its own
// window; when only counting there is no buffer, and lengths are all that matters.
#include <array>
#include <lib/gzip.hpp>
#include <lib/own_ptr.hpp>

namespace linnet {

namespace {

constexpr unsigned longest_code = 15;
constexpr unsigned fast_bits = 9;
constexpr usize max_literals = 288;
constexpr usize max_distances = 30;

class BitReader {
public:
    explicit BitReader(std::span<const u8> bytes) : bytes_(bytes) {}
    /// Makes at least `count` (at most 32) bits available where the input has them; beyond its end come
    /// zeros, which overrun() tells.
    void fill(unsigned count) {
        while (available_ < count) {
            u64 next = position_ < bytes_.size() ? bytes_[position_] : 0;
            ++position_;
            bits_ |= next << available_;
            available_ += 8;
        }
    }
    u32 peek() const { return static_cast<u32>(bits_); }
    void drop(unsigned count) {
        bits_ >>= count;
        available_ -= count;
    }
    u32 take(unsigned count) {
        fill(count);
        u32 value = static_cast<u32>(bits_ & ((u64{1} << count) - 1));
        drop(count);
        return value;
    }
    void align_to_byte() { drop(available_ % 8); }
    /// Bytes used, those wholly unused in the bit store given back.
    usize position() const { return position_ - available_ / 8; }
    bool overrun() const { return position() > bytes_.size(); }

private:
    std::span<const u8> bytes_;
    usize position_ = 0;
    u64 bits_ = 0;
    unsigned available_ = 0;
};

class HuffmanCode {
public:
    /// `lengths` of the codes by symbol, 0 where a symbol isn't used. EINVAL when there are more codes than
    /// fit; an incomplete code is allowed, as deflate has it for a single distance.
    Result<void> build(std::span<const u8> lengths) {
        counts_ = {};
        for (u8 length : lengths) ++counts_[length];
        counts_[0] = 0;
        std::array<u16, longest_code + 2> offsets{};
        std::array<u16, longest_code + 2> first{};
        int left = 1;
        for (unsigned length = 1; length <= longest_code; ++length) {
            left = left * 2 - counts_[length];
            if (left < 0) return error(Errno::EINVAL);
            offsets[length + 1] = static_cast<u16>(offsets[length] + counts_[length]);
            first[length + 1] = static_cast<u16>((first[length] + counts_[length]) << 1);
        }
        fast_ = {};
        for (usize symbol = 0; symbol < lengths.size(); ++symbol) {
            unsigned length = lengths[symbol];
            if (length == 0) continue;
            symbols_[offsets[length]++] = static_cast<u16>(symbol);
            u32 code = first[length]++;
            if (length <= fast_bits) enter_fast(reverse(code, length), length, static_cast<u16>(symbol));
        }
        return {};
    }

    Result<u32> decode(BitReader& in) const {
        in.fill(longest_code);
        u16 entry = fast_[in.peek() & ((1u << fast_bits) - 1)];
        if (entry) {
            in.drop(entry & 15);
            return u32{entry} >> 4;
        }
        u32 code = 0, first = 0, index = 0;
        u32 bits = in.peek();
        for (unsigned length = 1; length <= longest_code; ++length) {
            code |= bits & 1;
            bits >>= 1;
            u32 count = counts_[length];
            if (code < first + count) {
                in.drop(length);
                return u32{symbols_[index + (code - first)]};
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        return error(Errno::EINVAL);
    }

private:
    static u32 reverse(u32 code, unsigned length) {
        u32 result = 0;
        for (unsigned i = 0; i < length; ++i) result |= ((code >> i) & 1) << (length - 1 - i);
        return result;
    }
    void enter_fast(u32 reversed, unsigned length, u16 symbol) {
        for (u32 at = reversed; at < (1u << fast_bits); at += 1u << length)
            fast_[at] = static_cast<u16>(symbol << 4 | length);
    }

    std::array<u16, longest_code + 1> counts_{};
    std::array<u16, max_literals> symbols_{};
    std::array<u16, 1u << fast_bits> fast_{}; // symbol << 4 | length; 0: a longer code
};

constexpr u16 length_base[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                               31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
constexpr u8 length_extra[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
constexpr u16 distance_base[] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                 33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
constexpr u8 distance_extra[] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};

enum class Output : u8 { Store, Count };

class Inflater {
public:
    Inflater(std::span<const u8> input, std::span<u8> output, Output mode)
        : in_(input), input_(input), output_(output), mode_(mode) {}
    Result<GzipResult> run();

private:
    Result<void> put(u8 byte) {
        if (mode_ == Output::Store) {
            if (produced_ >= output_.size()) return error(Errno::ENOSPC);
            output_.data()[produced_] = byte;
        }
        ++produced_;
        return {};
    }
    Result<void> copy(u32 distance, u32 length);
    Result<void> stored_block();
    Result<void> fixed_codes();
    Result<void> dynamic_codes();
    Result<void> coded_block();

    BitReader in_;
    std::span<const u8> input_;
    std::span<u8> output_;
    Output mode_;
    usize produced_ = 0;
    HuffmanCode literals_;
    HuffmanCode distances_;
    std::array<u8, max_literals + max_distances + 2> lengths_{};
};

Result<void> Inflater::copy(u32 distance, u32 length) {
    if (distance > produced_) return error(Errno::EINVAL);
    if (mode_ == Output::Store) {
        if (length > output_.size() - produced_) return error(Errno::ENOSPC);
        // Source and target may overlap: byte by byte is what the format means.
        u8* to = output_.data() + produced_;
        for (u32 i = 0; i < length; ++i) to[i] = (to - distance)[i];
    }
    produced_ += length;
    return {};
}

Result<void> Inflater::stored_block() {
    in_.align_to_byte();
    u32 size = in_.take(16);
    u32 complement = in_.take(16);
    if ((size ^ complement) != 0xffff) return error(Errno::EINVAL);
    for (u32 i = 0; i < size; ++i) {
        TRY(put(static_cast<u8>(in_.take(8))));
        if (in_.overrun()) return error(Errno::EINVAL);
    }
    return {};
}

Result<void> Inflater::fixed_codes() {
    for (usize symbol = 0; symbol < max_literals; ++symbol)
        lengths_[symbol] = symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8;
    TRY(literals_.build(std::span(lengths_).first(max_literals)));
    for (usize symbol = 0; symbol < max_distances; ++symbol) lengths_[symbol] = 5;
    return distances_.build(std::span(lengths_).first(max_distances));
}

Result<void> Inflater::dynamic_codes() {
    constexpr u8 order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    usize literal_count = in_.take(5) + 257;
    usize distance_count = in_.take(5) + 1;
    usize order_count = in_.take(4) + 4;
    if (literal_count > 286 || distance_count > max_distances) return error(Errno::EINVAL);
    std::array<u8, 19> code_lengths{};
    for (usize i = 0; i < order_count; ++i) code_lengths[order[i]] = static_cast<u8>(in_.take(3));
    TRY(literals_.build(code_lengths));
    usize total = literal_count + distance_count;
    for (usize i = 0; i < total;) {
        u32 symbol = TRY(literals_.decode(in_));
        if (symbol < 16) {
            lengths_[i++] = static_cast<u8>(symbol);
            continue;
        }
        u8 value = 0;
        u32 repeat;
        if (symbol == 16) {
            if (i == 0) return error(Errno::EINVAL);
            value = lengths_[i - 1];
            repeat = 3 + in_.take(2);
        } else {
            repeat = symbol == 17 ? 3 + in_.take(3) : 11 + in_.take(7);
        }
        if (repeat > total - i) return error(Errno::EINVAL);
        while (repeat-- > 0) lengths_[i++] = value;
    }
    TRY(literals_.build(std::span(lengths_).first(literal_count)));
    return distances_.build(std::span(lengths_).subspan(literal_count, distance_count));
}

Result<void> Inflater::coded_block() {
    constexpr u32 end_of_block = 256;
    for (;;) {
        u32 symbol = TRY(literals_.decode(in_));
        if (in_.overrun()) return error(Errno::EINVAL);
        if (symbol < end_of_block) {
            TRY(put(static_cast<u8>(symbol)));
            continue;
        }
        if (symbol == end_of_block) return {};
        u32 index = symbol - 257;
        if (index >= std::size(length_base)) return error(Errno::EINVAL);
        u32 length = length_base[index] + in_.take(length_extra[index]);
        u32 distance_symbol = TRY(distances_.decode(in_));
        if (distance_symbol >= max_distances) return error(Errno::EINVAL);
        u32 distance = distance_base[distance_symbol] + in_.take(distance_extra[distance_symbol]);
        TRY(copy(distance, length));
    }
}

Result<GzipResult> Inflater::run() {
    bool last = false;
    while (!last) {
        last = in_.take(1) != 0;
        switch (in_.take(2)) {
        case 0:
            TRY(stored_block());
            break;
        case 1:
            TRY(fixed_codes());
            TRY(coded_block());
            break;
        case 2:
            TRY(dynamic_codes());
            TRY(coded_block());
            break;
        default:
            return error(Errno::EINVAL);
        }
        if (in_.overrun()) return error(Errno::EINVAL);
    }
    in_.align_to_byte();
    return GzipResult{in_.position(), produced_};
}

consteval std::array<u32, 256> make_crc_table() {
    std::array<u32, 256> table{};
    for (u32 i = 0; i < 256; ++i) {
        u32 value = i;
        for (int bit = 0; bit < 8; ++bit) value = (value & 1) ? value >> 1 ^ 0xedb88320 : value >> 1;
        table[i] = value;
    }
    return table;
}
constexpr auto crc_table = make_crc_table();

u32 crc32(std::span<const u8> bytes) {
    u32 crc = ~u32{0};
    for (u8 byte : bytes) crc = crc >> 8 ^ crc_table[(crc ^ byte) & 0xff];
    return ~crc;
}

/// The length of a member's header.
Result<usize> header_size(std::span<const u8> input) {
    enum Flag : u8 { HeaderCrc = 2, Extra = 4, Name = 8, Comment = 16, Reserved = 0xe0 };
    constexpr usize fixed_size = 10;
    constexpr u8 method_deflate = 8;
    if (input.size() < fixed_size || !is_gzip(input) || input[2] != method_deflate) return error(Errno::EINVAL);
    u8 flags = input[3];
    if (flags & Reserved) return error(Errno::EINVAL);
    usize at = fixed_size;
    if (flags & Extra) {
        if (input.size() < at + 2) return error(Errno::EINVAL);
        at += 2 + (input[at] | usize{input[at + 1]} << 8);
    }
    for (u8 text : {Name, Comment}) {
        if (!(flags & text)) continue;
        while (at < input.size() && input[at] != 0) ++at;
        ++at;
    }
    if (flags & HeaderCrc) at += 2;
    if (at >= input.size()) return error(Errno::EINVAL);
    return at;
}

u32 little_endian(std::span<const u8> bytes) {
    return bytes[0] | u32{bytes[1]} << 8 | u32{bytes[2]} << 16 | u32{bytes[3]} << 24;
}

Result<GzipResult> decompress(std::span<const u8> input, std::span<u8> output, Output mode) {
    constexpr usize trailer_size = 8;
    usize header = TRY(header_size(input));
    auto inflater = TRY(try_make<Inflater>(input.subspan(header), output, mode));
    GzipResult result = TRY(inflater->run());
    result.consumed += header;
    if (input.size() - result.consumed < trailer_size) return error(Errno::EINVAL);
    auto trailer = input.subspan(result.consumed, trailer_size);
    if (little_endian(trailer.subspan(4)) != static_cast<u32>(result.produced)) return error(Errno::EINVAL);
    if (mode == Output::Store && little_endian(trailer) != crc32(output.first(result.produced)))
        return error(Errno::EINVAL);
    result.consumed += trailer_size;
    return result;
}

} // namespace

bool is_gzip(std::span<const u8> bytes) { return bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b; }

Result<GzipResult> gunzip(std::span<const u8> input, std::span<u8> output) {
    return decompress(input, output, Output::Store);
}
Result<GzipResult> measure_gzip(std::span<const u8> input) { return decompress(input, {}, Output::Count); }

} // namespace linnet
