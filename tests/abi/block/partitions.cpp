// Partition tables on the guest's /dev/vda: MBR with logical partitions, GPT with its copy, and what is no table.
#include <atomic>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "check.hpp"
#include "proc_text.hpp"

using namespace check;

static constexpr uint64_t disk_sectors = (64 << 20) / 512;
static int disk;

static void put(uint64_t sector, const void* bytes, size_t size = 512) {
    CHECK_EQ(pwrite(disk, bytes, size, off_t(sector * 512)), ssize_t(size));
}
static void put_number(unsigned char* place, uint64_t value, int size) {
    for (int i = 0; i < size; ++i) place[i] = static_cast<unsigned char>(value >> (8 * i));
}

static int rescan() {
    const int result = ioctl(disk, BLKRRPART, 0);
    return result;
}

/// Sectors of /dev/vdaN; 0: there is none.
static uint64_t sectors_of(int number) {
    char name[32];
    snprintf(name, sizeof name, "/dev/vda%d", number);
    const int fd = open(name, O_RDONLY);
    if (fd < 0) return 0;
    uint64_t bytes = 0;
    CHECK_OK(ioctl(fd, BLKGETSIZE64, &bytes));
    CHECK_EQ(lseek(fd, 0, SEEK_END), off_t(bytes));
    close(fd);
    return bytes / 512;
}

static void clear() {
    static char zeros[1 << 16];
    put(0, zeros, sizeof zeros);
    put(disk_sectors - 128, zeros, sizeof zeros);
    CHECK_OK(rescan());
}

struct BootRecord {
    unsigned char bytes[512] = {};
    BootRecord() { bytes[510] = 0x55, bytes[511] = 0xaa; }
    BootRecord& entry(int number, unsigned char type, uint32_t first, uint32_t count) {
        unsigned char* place = bytes + 446 + 16 * number;
        place[4] = type;
        put_number(place + 8, first, 4);
        put_number(place + 12, count, 4);
        return *this;
    }
};

static void test_boot_record() {
    BootRecord record;
    record.entry(0, 0x83, 2048, 4096).entry(1, 0x0f, 8192, 40000).entry(3, 0x82, 60000, 10000);
    put(0, record.bytes);
    BootRecord first, second;
    first.entry(0, 0x83, 64, 1000).entry(1, 0x05, 2000, 3000);
    put(8192, first.bytes);
    second.entry(0, 0x83, 100, 500);
    put(8192 + 2000, second.bytes);
    CHECK_OK(rescan());
    CHECK_EQ(sectors_of(1), 4096u);
    CHECK_EQ(sectors_of(2), 2u); // of an extended one only its head is shown
    CHECK_EQ(sectors_of(3), 0u);
    CHECK_EQ(sectors_of(4), 10000u);
    CHECK_EQ(sectors_of(5), 1000u);
    CHECK_EQ(sectors_of(6), 500u);
    CHECK_EQ(sectors_of(7), 0u);
    CHECK(strstr(proc_text::read_file("/proc/partitions"), "      2048 vda1\n") != nullptr);

    // Each shows its own stretch of the disk, and no more.
    put(2048, "first sector of the first");
    put(8192 + 2064 + 36, "of the sixth");
    CHECK_OK(fsync(disk));
    char text[512];
    const int one = open("/dev/vda1", O_RDWR);
    CHECK_EQ(pread(one, text, 512, 0), 512);
    CHECK_STREQ(text, "first sector of the first");
    CHECK_EQ(pread(one, text, 512, 4096 * 512), 0);
    CHECK_ERRNO(pwrite(one, text, 512, 4096 * 512), ENOSPC);
    CHECK_EQ(pwrite(one, text, 512, 4095 * 512 + 256), 256);
    const int six = open("/dev/vda6", O_RDONLY);
    CHECK_EQ(pread(six, text, 512, 0), 512);
    CHECK_STREQ(text, "of the sixth");
    // While one is open they stay as they are.
    CHECK_ERRNO(rescan(), EBUSY);
    CHECK_ERRNO(ioctl(one, BLKRRPART, 0), EINVAL);
    strcpy(text, "through the partition");
    CHECK_EQ(pwrite(one, text, 512, 512), 512);
    CHECK_OK(fsync(one));
    close(one), close(six);
    CHECK_OK(ioctl(disk, BLKFLSBUF, 0));
    memset(text, 0, sizeof text);
    CHECK_EQ(pread(disk, text, 512, 2049 * 512), 512);
    CHECK_STREQ(text, "through the partition");
    CHECK_OK(rescan());
    CHECK_EQ(sectors_of(1), 4096u);
}

/// Sizes that do not fit, circles of logical partitions, marks that lie.
static void test_bad_records() {
    clear();
    BootRecord record;
    record.entry(0, 0x83, 2048, 0xffffffff).entry(1, 0x83, 0xfffffff0, 100).entry(2, 0x83, 4096, 100);
    put(0, record.bytes);
    rescan();
    CHECK_EQ(sectors_of(3), 100u);
    CHECK_EQ(sectors_of(2), 0u);
    BootRecord circle;
    circle.entry(0, 0x05, 2048, 10000);
    put(0, circle.bytes);
    BootRecord link;
    link.entry(0, 0x83, 10, 10).entry(1, 0x05, 0, 5000);
    put(2048, link.bytes);
    rescan();
    CHECK_EQ(sectors_of(1), 2u);
    record.bytes[446] = 0x33; // no status of an entry
    put(0, record.bytes);
    CHECK_OK(rescan());
    CHECK_EQ(sectors_of(3), 0u);
    clear();
    CHECK_EQ(sectors_of(1), 0u);
}

static std::atomic<bool> is_over;
static void* come_and_go(void*) {
    char text[512];
    while (!is_over) {
        const int fd = open("/dev/vda1", O_RDONLY);
        if (fd < 0) continue;
        CHECK_EQ(pread(fd, text, sizeof text, 0), 512);
        CHECK_EQ(text[0], 'p');
        close(fd);
    }
    return nullptr;
}

/// Who opens a partition while the tables change gets one that is there.
static void test_races() {
    clear();
    put(2048, "partition");
    put(4096, "partition");
    CHECK_OK(fsync(disk));
    pthread_t threads[3];
    for (pthread_t& thread : threads) pthread_create(&thread, nullptr, come_and_go, nullptr);
    for (int round = 0; round < 200; ++round) {
        BootRecord record;
        record.entry(0, 0x83, round % 2 ? 2048 : 4096, 1000);
        put(0, record.bytes);
        const int outcome = rescan() == 0 ? 0 : errno;
        CHECK(outcome == 0 || outcome == EBUSY);
    }
    is_over = true;
    for (pthread_t thread : threads) pthread_join(thread, nullptr);
    clear();
}

static uint32_t crc32(const unsigned char* bytes, size_t size) {
    uint32_t value = ~0u;
    for (size_t i = 0; i < size; ++i) {
        value ^= bytes[i];
        for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0);
    }
    return ~value;
}

static unsigned char entries[128 * 128];
static void header_for(unsigned char* header, uint64_t place, uint64_t copy, uint64_t entries_at) {
    memset(header, 0, 512);
    memcpy(header, "EFI PART", 8);
    put_number(header + 8, 0x10000, 4);
    put_number(header + 12, 92, 4);
    put_number(header + 24, place, 8);
    put_number(header + 32, copy, 8);
    put_number(header + 40, 34, 8);
    put_number(header + 48, disk_sectors - 34, 8);
    put_number(header + 72, entries_at, 8);
    put_number(header + 80, 128, 4);
    put_number(header + 84, 128, 4);
    put_number(header + 88, crc32(entries, sizeof entries), 4);
    put_number(header + 16, crc32(header, 92), 4);
}
static void entry_for(int index, uint64_t first, uint64_t last) {
    unsigned char* entry = entries + index * 128;
    memset(entry, 0x11 + index, 32);
    put_number(entry + 32, first, 8);
    put_number(entry + 40, last, 8);
}

static void put_gpt(bool with_first, bool with_copy) {
    unsigned char header[512];
    BootRecord protective;
    protective.entry(0, 0xee, 1, uint32_t(disk_sectors - 1));
    put(0, protective.bytes);
    header_for(header, 1, disk_sectors - 1, 2);
    if (!with_first) header[60] ^= 1;
    put(1, header);
    put(2, entries, sizeof entries);
    header_for(header, disk_sectors - 1, 1, disk_sectors - 33);
    if (!with_copy) header[20] ^= 1, header[60] ^= 1;
    put(disk_sectors - 33, entries, sizeof entries);
    put(disk_sectors - 1, header);
}

static void test_gpt() {
    clear();
    memset(entries, 0, sizeof entries);
    entry_for(0, 2048, 10239);
    entry_for(2, 20480, 20480);
    entry_for(4, 40000, disk_sectors - 34);
    put_gpt(true, true);
    CHECK_OK(rescan());
    CHECK_EQ(sectors_of(1), 8192u);
    CHECK_EQ(sectors_of(2), 0u);
    CHECK_EQ(sectors_of(3), 1u);
    CHECK_EQ(sectors_of(5), disk_sectors - 34 - 40000 + 1);
    // Entries that were changed and not summed up are no table, and the copy is for repairs only.
    entry_for(1, 15000, 15009);
    put_gpt(true, true);
    entries[0] ^= 1;
    put(2, entries, sizeof entries);
    CHECK_OK(rescan());
    CHECK_EQ(sectors_of(1), 0u);
    CHECK_EQ(sectors_of(2), 0u);
    clear();
}

/// A million bytes of nonsense, one table after the other: what is shown lies on the disk.
static void test_nonsense() {
    unsigned state = 1;
    for (int round = 0; round < 60; ++round) {
        memset(entries, 0, sizeof entries);
        for (int i = 0; i < 6; ++i) entry_for(i, 2048u + unsigned(i) * 4096u, 6000u + unsigned(i) * 4096u);
        put_gpt(true, round % 2 == 0);
        unsigned char sectors[34 * 512];
        CHECK_EQ(pread(disk, sectors, sizeof sectors, 0), ssize_t(sizeof sectors));
        for (int i = 0; i < 1 + round % 7; ++i) {
            state = state * 1103515245 + 12345;
            const unsigned place = round % 3 ? 446 + (state >> 8) % 660 : (state >> 8) % unsigned(sizeof sectors);
            sectors[place] = static_cast<unsigned char>(state >> 20);
        }
        put(0, sectors, sizeof sectors);
        rescan();
        for (int number = 1; number < 16; ++number) CHECK_LE(sectors_of(number), disk_sectors);
    }
    clear();
}

int main() {
    disk = open("/dev/vda", O_RDWR);
    REQUIRE(disk >= 0);
    clear();
    test_boot_record();
    test_bad_records();
    test_races();
    test_gpt();
    test_nonsense();
    close(disk);
    return result();
}
