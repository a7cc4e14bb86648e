// Gathering: transfers become requests, those that lie side by side one.
#pragma once

#include <block/disk.hpp>
#include <new>

namespace linnet::block {

/// Requests of one device and one operation that are being put together in room for `most_requests` of them.
template <usize most_requests, usize most_segments>
struct Gathering {
    usize request_count = 0, segment_count = 0;
    DeviceRequest requests[most_requests];
    Segment segments[most_segments]; // those of a request lie together

    [[nodiscard]] std::span<DeviceRequest> all() { return {requests, request_count}; }
    /// False: there is no room.
    bool try_append(const Limits& limits, Operation operation, u64 sector, const Segment& segment) {
        const u64 sectors = segment.length >> sector_shift;
        DeviceRequest* last = request_count > 0 ? &requests[request_count - 1] : nullptr;
        const bool goes_on =
            last && last->sector + last->sectors == sector && last->sectors + sectors <= limits.sectors;
        if (goes_on) {
            Segment& end = segments[segment_count - 1];
            if (end.address + end.length == segment.address) {
                end.length += segment.length;
                last->sectors += sectors;
                return true;
            }
        }
        if (segment_count == most_segments) return false;
        if (!goes_on || last->segments.size() == limits.segments) {
            if (request_count == most_requests) return false;
            last = &requests[request_count++];
            last->operation = operation;
            last->sector = sector;
            last->segments = {&segments[segment_count], 0};
        }
        segments[segment_count++] = segment;
        last->segments = {last->segments.data(), last->segments.size() + 1};
        last->sectors += sectors;
        return true;
    }
    /// All are done, or never begun.
    void clear() {
        for (DeviceRequest& request : all()) {
            request.~DeviceRequest();
            new (&request) DeviceRequest;
        }
        request_count = segment_count = 0;
    }
};

} // namespace linnet::block
