// /sys/block, /sys/class/block and /sys/dev/block: the guest's /dev/vda, and partitions that come and go.
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "check.hpp"
#include "proc_text.hpp"

using namespace check;

static constexpr unsigned long long disk_sectors = (64 << 20) / 512;
static int disk;

static const char* text_of(const char* format, const char* name) {
    char path[200];
    snprintf(path, sizeof path, format, name);
    const char* text = proc_text::read_file(path);
    return text ? text : "(none)";
}
static const char* of_disk(const char* name) { return text_of("/sys/block/vda/%s", name); }
static const char* of_queue(const char* name) { return text_of("/sys/block/vda/queue/%s", name); }
static const char* of_partition(const char* name) { return text_of("/sys/class/block/vda2/%s", name); }

/// Where a path of links ends.
static const char* end_of(const char* path) {
    static char ends[4][512];
    static int next;
    char* room = ends[next++ % 4];
    return realpath(path, room) ? room : "(none)";
}

static void put_entry(unsigned char* record, int number, uint32_t first, uint32_t count) {
    unsigned char* place = record + 446 + 16 * number;
    place[4] = 0x83;
    for (int i = 0; i < 4; ++i) {
        place[8 + i] = static_cast<unsigned char>(first >> (8 * i));
        place[12 + i] = static_cast<unsigned char>(count >> (8 * i));
    }
}
static void make_partitions(bool any) {
    unsigned char record[512] = {};
    if (any) {
        put_entry(record, 0, 2048, 40960);
        put_entry(record, 1, 43008, 20480);
        record[510] = 0x55, record[511] = 0xaa;
    }
    CHECK_EQ(pwrite(disk, record, sizeof record, 0), ssize_t(sizeof record));
    CHECK_OK(ioctl(disk, BLKRRPART, 0));
}

static void test_disk() {
    struct stat status;
    CHECK_OK(stat("/dev/vda", &status));
    char number[32], event[200];
    snprintf(number, sizeof number, "%u:%u\n", major(status.st_rdev), minor(status.st_rdev));
    CHECK_STREQ(of_disk("dev"), number);
    CHECK_EQ(strtoull(of_disk("size"), nullptr, 10), disk_sectors);
    for (const char* zero : {"ro", "removable", "hidden", "alignment_offset", "discard_alignment", "capability"})
        CHECK_STREQ(of_disk(zero), "0\n");
    CHECK_STREQ(of_disk("inflight"), "       0        0\n");
    const int sequence = atoi(of_disk("diskseq"));
    CHECK(sequence > 0);
    snprintf(event, sizeof event, "MAJOR=%u\nMINOR=%u\nDEVNAME=vda\nDEVTYPE=disk\nDISKSEQ=%d\n", major(status.st_rdev),
             minor(status.st_rdev), sequence);
    CHECK_STREQ(of_disk("uevent"), event);
    CHECK_STREQ(of_disk("partition"), "(none)");
    CHECK_STREQ(of_disk("start"), "(none)");
    CHECK_OK(stat("/sys/block/vda/dev", &status));
    CHECK_EQ(status.st_mode, unsigned(S_IFREG | 0444));
}

static void test_queue() {
    CHECK_STREQ(of_queue("logical_block_size"), "512\n");
    CHECK_STREQ(of_queue("physical_block_size"), "512\n");
    CHECK_STREQ(of_queue("hw_sector_size"), "512\n");
    CHECK_STREQ(of_queue("minimum_io_size"), "512\n");
    CHECK_STREQ(of_queue("optimal_io_size"), "0\n");
    CHECK_STREQ(of_queue("rotational"), "1\n");
    CHECK_STREQ(of_queue("discard_granularity"), "512\n");
    CHECK_STREQ(of_queue("discard_max_bytes"), "2147483136\n");
    CHECK_STREQ(of_queue("write_zeroes_max_bytes"), "2147483136\n");
    CHECK_STREQ(of_queue("max_sectors_kb"), "1280\n");
    CHECK_STREQ(of_queue("scheduler"), "[none] \n");
    CHECK_STREQ(of_queue("write_cache"), "write back\n");
    CHECK_STREQ(of_queue("fua"), "0\n");
    CHECK_STREQ(of_queue("zoned"), "none\n");
    CHECK_EQ(atoi(of_queue("read_ahead_kb")), sysconf(_SC_PAGESIZE) == 4096 ? 128 : atoi(of_queue("read_ahead_kb")));
    CHECK(atoi(of_queue("max_segments")) > 0);
}

static void test_links() {
    const char* own = end_of("/sys/block/vda");
    CHECK(strncmp(own, "/sys/devices/", 13) == 0 && strstr(own, "/block/vda"));
    CHECK_STREQ(end_of("/sys/class/block/vda"), own);
    char number[64], path[128];
    snprintf(number, sizeof number, "%s", of_disk("dev"));
    number[strcspn(number, "\n")] = 0;
    snprintf(path, sizeof path, "/sys/dev/block/%s", number);
    CHECK_STREQ(end_of(path), own);
    CHECK_STREQ(end_of("/sys/block/vda/subsystem"), "/sys/class/block");
    char parent[512];
    snprintf(parent, sizeof parent, "%s/../..", own);
    CHECK_STREQ(end_of("/sys/block/vda/device"), end_of(parent));
    CHECK_STREQ(end_of("/sys/block/vda/device/subsystem"), "/sys/bus/virtio");
    char target[128] = {};
    CHECK(readlink("/sys/class/block/vda", target, sizeof target - 1) > 0);
    CHECK(strncmp(target, "../../devices/", 14) == 0);
    CHECK_STREQ(end_of("/sys/block/vda1"), "(none)"); // only whole disks
    // Other devices by their numbers, too.
    CHECK(strstr(end_of("/sys/dev/char/1:3"), "/null"));
    CHECK_STREQ(text_of("/sys/dev/char/%s/dev", "1:3"), "1:3\n");
}

static void test_partitions() {
    CHECK_STREQ(of_partition("partition"), "2\n");
    CHECK_STREQ(of_partition("start"), "43008\n");
    CHECK_STREQ(of_partition("size"), "20480\n");
    CHECK_STREQ(of_partition("ro"), "0\n");
    CHECK_STREQ(of_partition("queue/logical_block_size"), "(none)");
    CHECK(strstr(of_partition("uevent"), "\nDEVNAME=vda2\nDEVTYPE=partition\n"));
    CHECK(strstr(of_partition("uevent"), "\nPARTN=2\n"));
    char own[512];
    snprintf(own, sizeof own, "%s/vda2", end_of("/sys/block/vda"));
    CHECK_STREQ(end_of("/sys/class/block/vda2"), own);
    CHECK_STREQ(end_of("/sys/class/block/vda2/subsystem"), "/sys/class/block");
    struct stat status;
    CHECK_OK(stat("/sys/block/vda/vda1/holders", &status));
    CHECK(S_ISDIR(status.st_mode));
    CHECK_OK(stat("/sys/block/vda/slaves", &status));
    char path[64];
    CHECK_OK(stat("/dev/vda2", &status));
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u", major(status.st_rdev), minor(status.st_rdev));
    CHECK_STREQ(end_of(path), own);
    // A file that is open when its partition goes.
    const int fd = open("/sys/class/block/vda2/start", O_RDONLY);
    CHECK_OK(fd);
    make_partitions(false);
    for (const char* gone : {"/sys/class/block/vda2", "/sys/block/vda/vda2", static_cast<const char*>(path)})
        CHECK_STREQ(end_of(gone), "(none)");
    char byte;
    CHECK(read(fd, &byte, 1) <= 1); // the old answer or ENODEV
    close(fd);
    make_partitions(true);
    CHECK_STREQ(end_of("/sys/class/block/vda2"), own);
    make_partitions(false);
}

/// Field 5 counts writes and field 7 what they wrote.
static void test_statistics() {
    unsigned long long before[17], after[17];
    auto read_all = [](unsigned long long* counts) {
        const char* at = of_disk("stat");
        for (int i = 0; i < 17; ++i) counts[i] = strtoull(at, const_cast<char**>(&at), 10);
    };
    read_all(before);
    static char block[1 << 16];
    CHECK_EQ(pwrite(disk, block, sizeof block, 1 << 20), ssize_t(sizeof block));
    CHECK_OK(fsync(disk));
    read_all(after);
    CHECK(after[4] > before[4]);
    CHECK_EQ(after[6] - before[6], sizeof block / 512);
    CHECK(after[15] > before[15]); // flushes
    CHECK_EQ(after[8], 0ull);
}

int main() {
    disk = open("/dev/vda", O_RDWR);
    CHECK_OK(disk);
    make_partitions(true);
    test_disk();
    test_queue();
    test_links();
    test_partitions();
    test_statistics();
    return result();
}
