// The kernel's side of NETLINK_ROUTE. There are no links, addresses or routes to tell of: every request that may be
// made is refused as one that this kernel does not know.
#include "socket.hpp"

#include <algorithm>
#include <cstring>
#include <vfs/current.hpp>

namespace linnet::net {

using namespace abi;

namespace {

/// 0: nothing to say, unless somebody wants to hear that.
Errno judge(const nlmsghdr& request) {
    if ((request.nlmsg_flags & NLM_F_REQUEST) == 0 || request.nlmsg_type < NLMSG_MIN_TYPE) return Errno{};
    if (request.nlmsg_type > RTM_MAX) return Errno::EOPNOTSUPP;
    if (request.nlmsg_len < sizeof(nlmsghdr) + sizeof(rtgenmsg)) return Errno{};
    const bool only_reads = ((request.nlmsg_type - RTM_BASE) & rtm_kind_mask) == rtm_kind_get;
    if (!only_reads && !vfs::current_credentials().has(vfs::Capability::NetAdmin)) return Errno::EPERM;
    return Errno::EOPNOTSUPP;
}

/// NLMSG_ERROR (netlink(7)): an error repeats the whole request, an acknowledgement its header.
void answer(NetlinkSocket& to, const nlmsghdr& request, std::span<const u8> body, Errno code) {
    const bool is_whole = code != Errno{} && !to.caps_answers();
    if (!is_whole) body = {};
    const usize size = sizeof(nlmsghdr) + sizeof(nlmsgerr) + nlmsg_align(body.size());
    Result<Packet*> packet = Packet::create(size);
    if (!packet) return to.set_error(Errno::ENOBUFS);
    const nlmsghdr header{static_cast<u32>(size), NLMSG_ERROR, is_whole ? u16{0} : NLM_F_CAPPED, request.nlmsg_seq,
                          to.port()};
    const nlmsgerr verdict{-static_cast<i32>(code), request};
    u8* place = (*packet)->bytes();
    std::memset(place, 0, size);
    std::memcpy(place, &header, sizeof header);
    std::memcpy(place + sizeof header, &verdict, sizeof verdict);
    std::ranges::copy(body, place + sizeof header + sizeof verdict);
    (*packet)->end = static_cast<u32>(size);
    (*packet)->cost = static_cast<u32>(Packet::cost_of(size));
    (*packet)->ancillary.credentials = {0, 0, 0, true};
    to.deliver_or_lose(**packet);
}

} // namespace

void answer_route_requests(NetlinkSocket& from, std::span<const u8> requests) {
    while (requests.size() >= sizeof(nlmsghdr)) {
        nlmsghdr request;
        std::memcpy(&request, requests.data(), sizeof request);
        if (request.nlmsg_len < sizeof request || request.nlmsg_len > requests.size()) return;
        const Errno code = judge(request);
        if (code != Errno{} || (request.nlmsg_flags & NLM_F_ACK))
            answer(from, request, requests.subspan(sizeof request, request.nlmsg_len - sizeof request), code);
        requests = requests.subspan(std::min(requests.size(), nlmsg_align(request.nlmsg_len)));
    }
}

} // namespace linnet::net
