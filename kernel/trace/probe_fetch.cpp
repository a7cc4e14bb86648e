// Fetching the values of dynamic events, and showing them.
#include <algorithm>
#include <core/panic.hpp>
#include <cstring>

#include "probe_events.hpp"
#include "record_events.hpp"
#include "tracer.hpp"

namespace linnet::trace {

namespace {

using Source = FetchArgument::Source;
using Kind = FetchType::Kind;

constexpr std::string_view fault_text = "(fault)";

bool source_value(const FetchArgument& what, const FetchPlace& place, u64& value) {
    switch (what.source) {
    case Source::Register:
        value = place.registers.words[what.value];
        return true;
    case Source::Returned:
        value = arch::returned_value(place.registers);
        return true;
    case Source::StackPointer:
        value = place.registers.sp();
        return true;
    case Source::StackWord:
        return place.read_stack(what.value, value);
    case Source::FileMemory:
        value = place.file_begins + what.value;
        return true;
    case Source::Immediate:
    case Source::Memory:
        value = what.value;
        return true;
    case Source::Comm:
    case Source::Text:
        return false;
    }
    return false;
}

bool read(const FetchPlace& place, bool is_user, u64 address, std::span<u8> to) {
    return is_user ? place.read_user(address, to) : place.read_kernel(address, to);
}

/// Follows all steps but the last, which loads the value itself.
bool follow(const FetchArgument& what, const FetchPlace& place, u64& value) {
    if (!source_value(what, place, value)) return false;
    for (usize i = 0; i < what.step_count; ++i) {
        value += static_cast<u64>(what.steps[i].offset);
        if (i + 1 == what.step_count) return true;
        if (!read(place, what.steps[i].is_user, value, {reinterpret_cast<u8*>(&value), sizeof value})) return false;
    }
    return true;
}

u64 cut(u64 value, const FetchType& type) {
    if (type.bit_size == 0) return value;
    value >>= type.bit_offset;
    return type.bit_size == 64 ? value : value & ((u64{1} << type.bit_size) - 1);
}

void fetch_number(const FetchArgument& what, const FetchPlace& place, std::span<u8> to) {
    std::fill(to.begin(), to.end(), 0);
    u64 value = 0;
    if (!follow(what, place, value)) return;
    if (what.step_count != 0) {
        const bool is_user = what.steps[what.step_count - 1].is_user;
        if (what.type.count) {
            for (usize i = 0; i < what.type.count; ++i)
                if (!read(place, is_user, value + i * what.type.size, to.subspan(i * what.type.size, what.type.size)))
                    return;
            return;
        }
        u64 loaded = 0;
        if (!read(place, is_user, value, {reinterpret_cast<u8*>(&loaded), what.type.size})) return;
        value = loaded;
    }
    value = cut(value, what.type);
    std::memcpy(to.data(), &value, to.size());
}

/// With its NUL; 0: there is none.
usize fetch_text(const FetchArgument& what, const FetchPlace& place, std::span<u8> to) {
    const auto copy = [&](std::string_view text) {
        const usize length = std::min(text.size(), to.size() - 1);
        std::memcpy(to.data(), text.data(), length);
        to[length] = 0;
        return length + 1;
    };
    if (to.size() < 2) return 0;
    if (what.source == Source::Text) return copy(what.literal);
    if (what.source == Source::Comm) {
        char name[16];
        copy_comm(core::current_thread(), name);
        return copy({name, strnlen(name, sizeof name)});
    }
    u64 address = 0;
    if (!follow(what, place, address)) return copy(fault_text);
    const bool is_user = what.steps[what.step_count - 1].is_user || what.type.kind == Kind::UserString;
    usize length = 0;
    for (; length < to.size() - 1; ++length) {
        u8 byte;
        if (!read(place, is_user, address + length, {&byte, 1})) return copy(fault_text);
        if (byte == 0) break;
        to[length] = byte;
    }
    to[length] = 0;
    return length + 1;
}

u64 load(std::span<const u8> record, usize offset, usize size, bool is_signed) {
    u64 value = 0;
    if (offset + size > record.size()) return 0;
    std::memcpy(&value, record.data() + offset, size);
    const unsigned unused = static_cast<unsigned>(64 - size * 8);
    return is_signed ? static_cast<u64>(static_cast<i64>(value << unused) >> unused) : value;
}

void print_number(TextSink sink, const FetchType& type, u64 value) {
    switch (type.kind) {
    case Kind::Unsigned:
        return format_to(sink, "{}", value);
    case Kind::Signed:
        return format_to(sink, "{}", static_cast<i64>(value));
    case Kind::Character: {
        const char c = static_cast<char>(value);
        return format_to(sink, "'{}'", std::string_view(&c, 1));
    }
    case Kind::Symbol: {
        const core::Symbol symbol = core::find_symbol(value);
        if (!symbol.name.empty()) return format_to(sink, "{}+{#x}", symbol.name, symbol.offset);
        [[fallthrough]];
    }
    default:
        return format_to(sink, "{#x}", value);
    }
}

std::string_view number_format(const FetchType& type) {
    const bool is_long = type.size == 8;
    switch (type.kind) {
    case Kind::Unsigned:
        return is_long ? "%Lu" : "%u";
    case Kind::Signed:
        return is_long ? "%Ld" : "%d";
    case Kind::Character:
        return "'%c'";
    case Kind::Symbol:
        return "%pS";
    default:
        return is_long ? "0x%Lx" : "0x%x";
    }
}

} // namespace

void print_value(TextSink sink, const ProbeValue& value, std::span<const u8> record) {
    const FetchType& type = value.what.type;
    format_to(sink, " {}=", value.what.name);
    const bool is_signed = type.kind == Kind::Signed;
    if (type.is_text()) {
        const std::string_view text = located_text(record, static_cast<u32>(load(record, value.offset, 4, false)));
        return format_to(sink, text == fault_text ? "{}" : "\"{}\"", text);
    }
    if (type.count == 0) return print_number(sink, type, load(record, value.offset, type.size, is_signed));
    for (usize i = 0; i < type.count; ++i) {
        sink(i == 0 ? "{" : ",");
        print_number(sink, type, load(record, value.offset + i * type.size, type.size, is_signed));
    }
    sink("}");
}

std::span<u8> EventProbe::compose(std::span<u8> buffer, const FetchPlace& place, u64 where, u64 second) const {
    std::memcpy(buffer.data() + sizeof(RecordHead), &where, sizeof where);
    if (is_return_) std::memcpy(buffer.data() + sizeof(RecordHead) + sizeof where, &second, sizeof second);
    usize used = texts_.fixed_size;
    for (const ProbeValue& value : texts_.values.span()) {
        if (!value.what.type.is_text()) {
            fetch_number(value.what, place, buffer.subspan(value.offset, value.size));
            continue;
        }
        const std::span<u8> rest = buffer.subspan(used);
        const usize length = fetch_text(value.what, place, rest.first(std::min(rest.size(), longest_string + 1)));
        const u32 located = static_cast<u32>(used | length << 16);
        std::memcpy(buffer.data() + value.offset, &located, sizeof located);
        used += length;
    }
    return buffer.first(used);
}

void ProbeEvent::show_print_format(TextSink sink) const {
    sink(is_return ? "\"(%lx <- %lx)" : "\"(%lx)");
    for (const ProbeValue& value : texts_.values.span()) {
        const FetchType& type = value.what.type;
        format_to(sink, " {}=", value.what.name);
        if (type.is_text()) {
            sink("\\\"%s\\\"");
            continue;
        }
        if (type.count == 0) sink(number_format(type));
        for (usize i = 0; i < type.count; ++i) format_to(sink, "{}{}", i ? "," : "{", number_format(type));
        if (type.count) sink("}");
    }
    sink(is_return ? "\", REC->__probe_func, REC->__probe_ret_ip" : "\", REC->__probe_ip");
    for (const ProbeValue& value : texts_.values.span()) {
        const FetchType& type = value.what.type;
        if (type.is_text())
            format_to(sink, ", __get_str({})", value.what.name);
        else if (type.count == 0)
            format_to(sink, ", REC->{}", value.what.name);
        else
            for (usize i = 0; i < type.count; ++i) format_to(sink, ", REC->{}[{}]", value.what.name, i);
    }
}

} // namespace linnet::trace
