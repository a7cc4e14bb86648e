// What nearly every kernel file includes; compiled once per build (cmake/kernel.cmake).
#pragma once

#include <abi/linux/errno.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <concepts>
#include <cstring>
#include <expected>
#include <lib/address.hpp>
#include <lib/array_list.hpp>
#include <lib/format.hpp>
#include <lib/function_ref.hpp>
#include <lib/intrusive_list.hpp>
#include <lib/intrusive_tree.hpp>
#include <lib/own_ptr.hpp>
#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>
#include <lib/types.hpp>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
