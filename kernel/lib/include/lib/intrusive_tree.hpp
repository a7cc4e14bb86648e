// Balanced trees are Boost.Intrusive's red-black trees, named once here.
#pragma once

#include <boost/intrusive/set.hpp>

namespace linnet {

using TreeNode = boost::intrusive::set_member_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>>;

/// An ordered set of T by `KeyOf` (a function object with `using type = Key` that returns the key of an element).
/// Not constinit: construct it inside an object made at init.
template <typename T, TreeNode T::* Member, typename KeyOf>
using IntrusiveTree =
    boost::intrusive::set<T, boost::intrusive::member_hook<T, TreeNode, Member>, boost::intrusive::key_of_value<KeyOf>,
                          boost::intrusive::constant_time_size<false>>;

/// The same, where several elements may have equal keys.
template <typename T, TreeNode T::* Member, typename KeyOf>
using IntrusiveMultiTree =
    boost::intrusive::multiset<T, boost::intrusive::member_hook<T, TreeNode, Member>,
                               boost::intrusive::key_of_value<KeyOf>, boost::intrusive::constant_time_size<false>>;

} // namespace linnet
