// Sockets whose last references lie in messages that can't be received any more, because they wait in such sockets
// themselves (unix(7): a socket may be sent over itself). The collector finds them among the sockets in flight.
//
// Lock order: flight_lock() (sleeping) → UnixSocket's queue. Whoever turns a reference in a message into one that a
// program holds takes it, so that no such reference appears while the collector counts.
#pragma once

#include <core/mutex.hpp>
#include <span>
#include <vfs/file.hpp>

namespace linnet::net {

core::Mutex& flight_lock();
/// These files are in a message now, or no longer.
void enter_flight(std::span<RefPtr<vfs::File>> files);
void leave_flight(std::span<RefPtr<vfs::File>> files);
/// A socket was closed: drops the messages of sockets that nobody can reach any more, if any may exist.
void collect_garbage();
/// The same when twice as many sockets are in flight as the last collection left: circles of which no socket is ever
/// closed for good would else pile up.
void collect_garbage_if_much();

} // namespace linnet::net
