// Read before everything else, once: the standard headers that use errno's macros, which the kernel's Errno does away with.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <expected>
#include <gtest/gtest.h>
#include <iostream>
#include <locale>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <vector>
