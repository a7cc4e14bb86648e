// Makes flattened device trees for the tests (Devicetree Specification 0.4, chapter 5).
#pragma once

#include <initializer_list>
#include <lib/types.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace linnet::test {

class FdtBuilder {
public:
    FdtBuilder& begin(std::string_view name) {
        cell(1);
        return text_bytes(name), align(), *this;
    }
    FdtBuilder& end() { return cell(2), *this; }
    FdtBuilder& nop() { return cell(4), *this; }
    FdtBuilder& bytes(std::string_view name, std::string_view value) {
        cell(3), cell(static_cast<u32>(value.size())), cell(name_offset(name));
        structure.insert(structure.end(), value.begin(), value.end());
        return align(), *this;
    }
    FdtBuilder& cells(std::string_view name, std::initializer_list<u32> values) {
        cell(3), cell(static_cast<u32>(values.size() * 4)), cell(name_offset(name));
        for (u32 value : values) cell(value);
        return *this;
    }
    /// NUL-terminated; further strings of a list stand behind a NUL of their own.
    FdtBuilder& text(std::string_view name, std::string_view value) { return bytes(name, std::string(value) + '\0'); }
    FdtBuilder& reserve(u64 begin, u64 size) {
        for (u64 number : {begin, size})
            put(reservations, static_cast<u32>(number >> 32)), put(reservations, static_cast<u32>(number));
        return *this;
    }

    [[nodiscard]] std::vector<u8> finish() {
        cell(9);
        reserve(0, 0);
        std::vector<u8> blob;
        u32 structure_at = 40 + static_cast<u32>(reservations.size());
        u32 strings_at = structure_at + static_cast<u32>(structure.size());
        u32 total = (strings_at + static_cast<u32>(strings.size()) + 7) & ~7u;
        for (u32 word : {0xd00dfeedu, total, structure_at, strings_at, 40u, 17u, 16u, 0u,
                         static_cast<u32>(strings.size()), static_cast<u32>(structure.size())})
            put(blob, word);
        blob.insert(blob.end(), reservations.begin(), reservations.end());
        blob.insert(blob.end(), structure.begin(), structure.end());
        blob.insert(blob.end(), strings.begin(), strings.end());
        blob.resize(total);
        return blob;
    }

private:
    static void put(std::vector<u8>& to, u32 value) {
        for (int shift = 24; shift >= 0; shift -= 8) to.push_back(static_cast<u8>(value >> shift));
    }
    void cell(u32 value) { put(structure, value); }
    void text_bytes(std::string_view text) {
        structure.insert(structure.end(), text.begin(), text.end());
        structure.push_back(0);
    }
    void align() {
        while (structure.size() % 4) structure.push_back(0);
    }
    u32 name_offset(std::string_view name) {
        std::string_view all(reinterpret_cast<const char*>(strings.data()), strings.size());
        std::string wanted = std::string(name) + '\0';
        if (auto found = all.find(wanted); found != all.npos) return static_cast<u32>(found);
        u32 offset = static_cast<u32>(strings.size());
        strings.insert(strings.end(), wanted.begin(), wanted.end());
        return offset;
    }

    std::vector<u8> structure, strings, reservations;
};

} // namespace linnet::test
