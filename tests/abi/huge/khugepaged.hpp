// The settings of transparent huge pages.
#pragma once

#include "proc_text.hpp"

#define KNOB(name) "/sys/kernel/mm/transparent_hugepage/" name

// As long as this lives, khugepaged looks at everything all the time.
struct EagerKhugepaged {
    proc_text::Setting often{KNOB("khugepaged/scan_sleep_millisecs"), "10"};
    proc_text::Setting much{KNOB("khugepaged/pages_to_scan"), "1000000"};
};
