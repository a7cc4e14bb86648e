// stac and clac for CPUs with SMAP. Assembled as three-byte no-ops; features.cpp patches them in when the CPU has it.

    .macro SITE section
771: .byte 0x0f, 0x1f, 0x00
    .pushsection \section, "a"
    .4byte 771b - .
    .popsection
    .endm
#define STAC SITE .stac_sites
#define CLAC SITE .clac_sites
