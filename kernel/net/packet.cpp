// Packets: made and freed as one block with their bytes.
#include "packet.hpp"

namespace linnet::net {

Result<Packet*> Packet::create(usize size) {
    void* block = ::operator new(sizeof(Packet) + size, std::nothrow);
    if (!block) return error(Errno::ENOBUFS);
    return new (block) Packet;
}

void Packet::destroy(Packet* packet) {
    packet->~Packet();
    ::operator delete(packet);
}

} // namespace linnet::net
