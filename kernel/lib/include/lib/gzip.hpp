// Decompression of gzip data (RFC 1952, deflate: RFC 1951). The bytes are untrusted: every code, distance and
// length is checked, and nothing outside the spans is touched.
#pragma once

#include <lib/result.hpp>
#include <lib/types.hpp>
#include <span>

namespace linnet {

/// Whether the bytes begin like a gzip member.
bool is_gzip(std::span<const u8> bytes);

struct GzipResult {
    usize consumed = 0; // bytes of the input that the member took
    usize produced = 0; // bytes of output
};

/// Decompresses the member at the beginning of `input`. EINVAL: damaged or cut off (its checksum is
/// verified); ENOSPC: the output doesn't fit; ENOMEM.
Result<GzipResult> gunzip(std::span<const u8> input, std::span<u8> output);
/// Only counts what the member would produce; the checksum isn't looked at.
Result<GzipResult> measure_gzip(std::span<const u8> input);

} // namespace linnet
