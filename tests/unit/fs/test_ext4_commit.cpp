// Writing the journal: wherever the machine stops, and whatever of the last writes is lost, replay gives whole
// transactions, one after the other, and none that was reported as durable is missing.
#include "../mm/machine.hpp"
#include "crash_disk.hpp"
#include "error_notes.hpp"
#include "journal_replay.hpp"
#include "volume_edit.hpp"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <lib/crc32c.hpp>
#include <map>
#include <optional>

namespace linnet::test {
namespace {

struct Shape {
    const char* options;
    usize block_bytes;
    unsigned kilobytes;
    u64 first_free; // of blocks that no file has
};
constexpr Shape shapes[] = {
    {"-b 1024 -J size=1", 1024, 8192, 5000},
    {"-b 1024 -J size=1 -O ^64bit,^metadata_csum", 1024, 8192, 5000},
    {"-b 4096 -J size=4", 4096, 20480, 4000},
};
constexpr u64 watched = 40; // blocks of the test, behind first_free

std::vector<u8> fresh_image(const Shape& shape) {
    const Folder contents;
    contents.write("file", "contents\n");
    return make_image(contents, shape.options, shape.kilobytes);
}

/// A fresh file system that says it has a journal to be replayed, as a mounted one does.
std::vector<u8> image_in_use(const Shape& shape) {
    auto image = fresh_image(shape);
    auto& superblock = *reinterpret_cast<ext4::Superblock*>(image.data() + ext4::superblock_offset);
    superblock.feature_incompat |= ext4::incompat_recover;
    if (superblock.feature_ro_compat & ext4::ro_compat_metadata_checksum)
        superblock.checksum =
            crc32c(~0u, {reinterpret_cast<const u8*>(&superblock), offsetof(ext4::Superblock, checksum)});
    return image;
}

/// What a block holds: a number, or what it held in the beginning.
using Content = u32;
constexpr Content anything = ~0u;

std::vector<u8> bytes_of(Content content, usize size) {
    std::vector<u8> bytes(size);
    for (usize i = 0; i < size; ++i) bytes[i] = static_cast<u8>(content * 31 + i / 7);
    std::memcpy(bytes.data() + 4, &content, sizeof(content));
    const ext4::BigEndian<u32> magic = ext4::journal_magic; // every third looks like a block of the journal
    if (content % 3 == 0) std::memcpy(bytes.data(), &magic, sizeof(magic));
    return bytes;
}

/// A mounted file system's journal with blocks that are changed at random, and what they should hold after each
/// transaction.
struct Workload {
    const Shape& shape;
    ImageDisk disk;
    CrashDisk recorder;
    OwnPtr<ext4::Volume> volume;
    OwnPtr<ext4::Journal> journal;
    std::mt19937 random;
    std::map<u64, Content> now;                        // watched blocks
    std::vector<std::map<u64, Content>> after{{}};     // [n]: when n transactions are there
    std::vector<std::pair<usize, usize>> acknowledged; // so many events, so many transactions
    Content last_content = 0;

    Workload(const Shape& form, const std::vector<u8>& image, u32 seed)
        : shape(form), disk(image), recorder(disk, form.block_bytes), random(seed) {
        volume = MUST(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
    }
    Result<void> open() {
        journal = TRY(ext4::Journal::open(*volume, *disk.pages, recorder));
        return {};
    }

    [[nodiscard]] u64 some_block() { return shape.first_free + 1 + random() % (watched - 1); }

    Result<void> fill(ext4::Handle& handle, u64 block, Content content) {
        auto changed = TRY(random() % 2 ? handle.change(block) : handle.fresh(block));
        const auto bytes = bytes_of(content, shape.block_bytes);
        std::memcpy(changed.bytes().data(), bytes.data(), bytes.size());
        now[block] = content;
        return {};
    }

    /// One transaction of several handles, the first of which counts it in the first block. What is freed in it gets
    /// data once it is committed, which no replay may overwrite.
    Result<void> transact() {
        std::vector<u64> freed;
        const auto number = static_cast<Content>(after.size());
        for (int handles = 1 + static_cast<int>(random() % 3), i = 0; i < handles; ++i) {
            auto handle = TRY(journal->begin(12));
            if (i == 0) TRY(fill(handle, shape.first_free, 1'000'000 + number));
            for (u32 left = random() % 10; left > 0; --left) {
                const u64 block = some_block();
                if (std::ranges::find(freed, block) != freed.end()) continue;
                if (random() % 6 != 0) {
                    TRY(fill(handle, block, ++last_content));
                    continue;
                }
                TRY(handle.prepare_to_forget(1 + random() % 3)); // more than comes of it
                handle.forget(block, 1);
                if (random() % 2) {
                    TRY(fill(handle, block, ++last_content)); // freed and taken again by metadata
                } else {
                    freed.push_back(block);
                    now[block] = anything;
                }
            }
        }
        after.push_back(now);
        TRY(journal->commit_all());
        acknowledged.emplace_back(recorder.events.size(), number);
        for (u64 block : freed) {
            const auto bytes = bytes_of(++last_content, shape.block_bytes);
            const u8* const data = bytes.data();
            TRY(recorder.write(block, {&data, 1}));
            // As long as nothing was flushed, the old may be there, or half of the new; the next commit flushes.
            now[block] = last_content;
        }
        return {};
    }

    /// Whether an image after replay shows the state behind some transaction that is not older than what was reported.
    void check(const std::vector<u8>& image, usize events) {
        usize least = 0;
        for (const auto& [at, number] : acknowledged)
            if (at <= events) least = number;
        const auto holds = [&](u64 block, Content content) {
            const auto wanted = bytes_of(content, shape.block_bytes);
            return std::equal(wanted.begin(), wanted.end(),
                              image.begin() + static_cast<long>(block * shape.block_bytes));
        };
        usize found = 0;
        while (found < after.size() && !(found > 0 && holds(shape.first_free, 1'000'000 + static_cast<u32>(found))))
            ++found;
        if (found == after.size()) found = 0; // none has arrived
        ASSERT_GE(found, least) << "stopped after " << events << " events";
        for (const auto& [block, content] : after[found])
            if (content != anything)
                ASSERT_TRUE(holds(block, content))
                    << "block " << block << " after transaction " << found << ", " << events << " events";
    }
};

Result<std::vector<u8>> replayed(std::vector<u8> image) {
    ImageDisk disk(std::move(image));
    auto volume = TRY(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
    TRY(ext4::replay_journal(*volume, *disk.pages, [&] { return disk.pages->write_back(0, disk.bytes.size()); }));
    return disk.bytes;
}

/// What e2fsck makes of an image whose journal it replays; it may have nothing else to mend.
std::vector<u8> mended(const std::vector<u8>& image) {
    return changed_by(image, "sh -c 'e2fsck -fy $0; [ $? -le 1 ]'");
}

TEST(Ext4Commit, WhereverItStops) {
    start_machine();
    u32 seed = 1;
    for (const Shape& shape : shapes) {
        SCOPED_TRACE(shape.options);
        const auto image = image_in_use(shape);
        Workload work(shape, image, ++seed);
        ASSERT_TRUE(work.open());
        for (int i = 0; i < steps(10, 4); ++i) {
            ASSERT_TRUE(work.transact());
            if (i % 4 == 3) ASSERT_TRUE(work.journal->checkpoint());
        }
        std::mt19937 random(seed);
        const usize step = shape.block_bytes == 1024 ? 1 : 3; // large images take long
        for (usize events = 0; events <= work.recorder.events.size(); events += step) {
            const auto stopped = work.recorder.stopped_after(events, random);
            const auto after = replayed(stopped);
            ASSERT_TRUE(after) << events << " events: errno " << static_cast<int>(after.error());
            ASSERT_NO_FATAL_FAILURE(work.check(*after, events));
            if (events % 40 != 0) continue;
            EXPECT_TRUE(is_clean(*after));
            ASSERT_NO_FATAL_FAILURE(work.check(mended(stopped), events)); // e2fsck reads the journal as we do
        }
    }
}

TEST(Ext4Commit, TheLogWrapsAround) {
    start_machine();
    const Shape& shape = shapes[0];
    const auto image = image_in_use(shape);
    Workload work(shape, image, 77);
    ASSERT_TRUE(work.open());
    usize wraps = 0;
    u32 used = 0;
    for (int i = 0; i < 400; ++i) {
        ASSERT_TRUE(work.transact());
        if (work.journal->blocks_in_use() < used) ++wraps; // it was checkpointed
        used = work.journal->blocks_in_use();
    }
    EXPECT_GT(wraps, 4u);
    std::mt19937 random(5);
    const usize all = work.recorder.events.size();
    for (int i = 0; i < steps(40, 20); ++i) {
        const usize events = random() % (all + 1);
        const auto after = replayed(work.recorder.stopped_after(events, random));
        ASSERT_TRUE(after) << events << " events: errno " << static_cast<int>(after.error());
        ASSERT_NO_FATAL_FAILURE(work.check(*after, events));
    }
}

TEST(Ext4Commit, AClosedJournalIsEmpty) {
    start_machine();
    for (const Shape& shape : shapes) {
        SCOPED_TRACE(shape.options);
        Workload work(shape, image_in_use(shape), 3);
        for (int round = 0; round < 3; ++round) {
            ASSERT_TRUE(work.open());
            for (int i = 0; i < 5; ++i) ASSERT_TRUE(work.transact());
            ASSERT_TRUE(work.journal->close());
            const auto after = replayed(work.disk.bytes);
            ASSERT_TRUE(after);
            ASSERT_NO_FATAL_FAILURE(work.check(*after, work.recorder.events.size()));
            EXPECT_TRUE(is_clean(*after));
            EXPECT_EQ(work.journal->begin(1).error(), Errno::EROFS);
            work.disk.pages->drop_clean();
            const u64 last = work.journal->last_committed();
            ASSERT_TRUE(work.journal->reopen());
            for (int i = 0; i < 5; ++i) ASSERT_TRUE(work.transact());
            EXPECT_GT(work.journal->last_committed(), last); // what is busy until a commit waits for these numbers
            ASSERT_TRUE(work.journal->close());
            const auto later = replayed(work.disk.bytes);
            ASSERT_TRUE(later);
            ASSERT_NO_FATAL_FAILURE(work.check(*later, work.recorder.events.size()));
            EXPECT_TRUE(is_clean(*later));
            work.journal.reset();
            work.disk.pages->drop_clean();
        }
    }
}

/// What could not be written is not reported as durable, and nothing goes on as if it had been.
/// From before it is opened to behind its end.
TEST(Ext4Commit, TheMarkTellsOfEachLog) {
    start_machine();
    u32 seed = 40;
    for (const Shape& shape : shapes) {
        SCOPED_TRACE(shape.options);
        Workload work(shape, fresh_image(shape), ++seed);
        const auto mark = [&](bool is_in_use) {
            return ext4::store_superblock(*work.volume, *work.disk.pages, work.recorder, [&](ext4::Superblock& it) {
                it.feature_incompat &= ~ext4::incompat_recover;
                if (is_in_use) it.feature_incompat |= ext4::incompat_recover;
            });
        };
        for (int round = 0; round < 2; ++round) {
            ASSERT_TRUE(mark(true));
            ASSERT_TRUE(round == 0 ? work.open() : work.journal->reopen());
            for (int i = 0; i < 3; ++i) ASSERT_TRUE(work.transact());
            ASSERT_TRUE(work.journal->close());
            ASSERT_TRUE(mark(false));
            work.disk.pages->drop_clean(); // the log is written beside them
        }
        EXPECT_TRUE(is_clean(work.disk.bytes));
        std::mt19937 random(seed);
        usize with_log = 0;
        const usize step = shape.block_bytes == 1024 ? 2 : 7; // each image is opened twice
        for (usize events = 0; events <= work.recorder.events.size(); events += step) {
            const auto stopped = work.recorder.stopped_after(events, random);
            ImageDisk disk(stopped);
            const auto volume = ext4::Volume::open(*disk.pages, disk.bytes.size(), "image");
            ASSERT_TRUE(volume) << events;
            const bool has_log = ext4::has_log_to_replay(**volume);
            if (has_log) ASSERT_TRUE((*volume)->needs_recovery()) << events;
            with_log += has_log;
            const auto after = replayed(stopped);
            ASSERT_TRUE(after) << events << " events: errno " << static_cast<int>(after.error());
            ASSERT_NO_FATAL_FAILURE(work.check(*after, events));
        }
        EXPECT_GT(with_log, 0u);
    }
}

/// What was noted beside the log is not in the superblock that is replayed from it.
TEST(Ext4Commit, ReplayKeepsErrors) {
    start_machine();
    for (const Shape& shape : shapes) {
        SCOPED_TRACE(shape.options);
        Workload work(shape, image_in_use(shape), 5);
        ASSERT_TRUE(work.open());
        {
            auto handle = MUST(work.journal->begin(1));
            MUST(ext4::change_superblock(*work.volume, handle, [](ext4::Superblock& it) { it.mount_count = 77; }));
        }
        MUST(work.journal->commit_all());
        ext4::ErrorNotes notes;
        notes.add({Errno::EBADMSG, 12, "lookup", 7, 5'000'000'000});
        notes.add({Errno::EUCLEAN, 13, "a name of more than thirty-two characters", 8, 5'000'000'001});
        auto& on_disk = *reinterpret_cast<ext4::Superblock*>(work.disk.bytes.data() + ext4::superblock_offset);
        ASSERT_NE(on_disk.mount_count, 77);
        notes.apply_to(on_disk);
        if (work.volume->has_checksums()) on_disk.checksum = ext4::checksum_of(on_disk);
        const auto after = replayed(work.disk.bytes);
        ASSERT_TRUE(after);
        const auto found = ext4::object_at<ext4::Superblock>(*after, ext4::superblock_offset);
        EXPECT_EQ(found.mount_count, 77);
        EXPECT_EQ(found.state, ext4::state_clean | ext4::state_has_errors);
        EXPECT_EQ(found.error_count, 2u);
        EXPECT_EQ(found.first_error_inode, 12u);
        EXPECT_EQ(found.last_error_inode, 13u);
        EXPECT_EQ(found.first_error_time, 5'000'000'000 & ~u32{0});
        EXPECT_EQ(found.first_error_time_high, 1);
        const auto output = changed_by(*after, "sh -c 'dumpe2fs -h $0 2> /dev/null > $0.told; mv $0.told $0'");
        const std::string told(output.begin(), output.end());
        for (const char* line :
             {"First error function:     lookup\n", "First error err:          EFSBADCRC\n",
              "First error line #:       7\n", "Last error function:      a name of more than thirty-two c\n",
              "Last error err:           EFSCORRUPTED\n"})
            EXPECT_NE(told.find(line), std::string::npos) << line << told;
    }
}

TEST(Ext4Commit, AnErrorEndsEverything) {
    start_machine();
    const Shape& shape = shapes[0];
    const auto image = image_in_use(shape);
    std::mt19937 random(9);
    for (usize fails_at = 0;; ++fails_at) {
        Workload work(shape, image, 12);
        work.recorder.fails_at = fails_at;
        Result<void> outcome = work.open();
        for (int i = 0; outcome && i < 6; ++i) {
            outcome = work.transact();
            if (outcome && i == 3) outcome = work.journal->checkpoint();
        }
        if (outcome) break; // the error would come later
        EXPECT_EQ(outcome.error(), Errno::EIO);
        if (work.journal && work.journal->is_aborted()) {
            EXPECT_EQ(work.journal->begin(1).error(), Errno::EROFS);
            EXPECT_EQ(work.journal->checkpoint().error(), Errno::EROFS);
        }
        const auto after = replayed(work.recorder.stopped_after(work.recorder.events.size(), random));
        ASSERT_TRUE(after);
        ASSERT_NO_FATAL_FAILURE(work.check(*after, work.recorder.events.size()));
    }
}

TEST(Ext4Commit, RoomIsReserved) {
    start_machine();
    const Shape& shape = shapes[0];
    Workload work(shape, image_in_use(shape), 1);
    ASSERT_TRUE(work.open());
    ext4::Journal& journal = *work.journal;
    const usize most = journal.most_blocks();
    EXPECT_EQ(journal.begin(most + 1).error(), Errno::ENOSPC);
    {
        auto handle = MUST(journal.begin(most - 2));
        EXPECT_TRUE(handle.extend(2));
        EXPECT_FALSE(handle.extend(1));
        for (u64 block = 0; block < most; ++block) ASSERT_TRUE(handle.change(shape.first_free + block));
        EXPECT_EQ(handle.change(shape.first_free + most).error(), Errno::ENOSPC);
        EXPECT_TRUE(handle.change(shape.first_free)); // it has that already
    }
    const u64 number = journal.running();
    EXPECT_TRUE(journal.begin(1)); // commits to make room
    EXPECT_EQ(journal.last_committed(), number);
    EXPECT_EQ(journal.running(), number + 1);
}

/// Who did not commit has to flush what it wrote beside the journal.
TEST(Ext4Commit, ItTellsWhoseCommitItWas) {
    start_machine();
    const Shape& shape = shapes[0];
    Workload work(shape, image_in_use(shape), 1);
    ASSERT_TRUE(work.open());
    ext4::Journal& journal = *work.journal;
    EXPECT_FALSE(MUST(journal.commit(journal.running()))); // nothing has changed
    const u64 number = journal.running();
    ASSERT_TRUE(MUST(journal.begin(1)).change(shape.first_free));
    const auto flushes = [&] {
        return std::ranges::count_if(work.recorder.events, [](const auto& event) { return event.bytes.empty(); });
    };
    const auto before = flushes();
    EXPECT_TRUE(MUST(journal.commit(number)));
    const auto behind = flushes();
    EXPECT_GT(behind, before);
    EXPECT_FALSE(MUST(journal.commit(number))); // it was committed before
    EXPECT_EQ(flushes(), behind);
}

/// What the whole log has no room for ends the journal, instead of being written over its own beginning.
TEST(Ext4Commit, TooManyRevokesForTheLog) {
    start_machine();
    const Shape& shape = shapes[0];
    Workload work(shape, image_in_use(shape), 1);
    ASSERT_TRUE(work.open());
    {
        auto handle = MUST(work.journal->begin(1));
        constexpr u64 most = u64{1} << 20; // 8 MiB of numbers
        MUST(handle.prepare_to_forget(most));
        handle.forget(1, most);
    }
    const usize events = work.recorder.events.size();
    EXPECT_EQ(work.journal->commit_all().error(), Errno::ENOSPC);
    EXPECT_TRUE(work.journal->is_aborted());
    EXPECT_EQ(work.recorder.events.size(), events);
}

TEST(Ext4Commit, ALogThatIsToBeReplayedIsNotWritten) {
    start_machine();
    const Shape& shape = shapes[0];
    Workload work(shape, image_in_use(shape), 1);
    ASSERT_TRUE(work.open());
    ASSERT_TRUE(work.transact());
    ImageDisk disk(work.disk.bytes);
    CrashDisk recorder(disk, shape.block_bytes);
    auto volume = MUST(ext4::Volume::open(*disk.pages, disk.bytes.size(), "image"));
    EXPECT_EQ(ext4::Journal::open(*volume, *disk.pages, recorder).error(), Errno::EUCLEAN);
}

} // namespace
} // namespace linnet::test
