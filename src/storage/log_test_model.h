#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "base/crc32c.h"
#include "os/random.h"
#include "os/sim_clock.h"
#include "os/sim_file_system.h"
#include "storage/log_reader.h"
#include "storage/log_writer.h"

// What the tests of the log share: opening, and a model of what was appended and acknowledged.

namespace fulgur::storage {

inline constexpr std::uint64_t kTestDatabaseId = 0x1234'5678'9ABC'DEF0;
inline const std::string kTestDirectory = "db";

inline LogOptions small_options() {
    LogOptions options;
    options.segment_bytes = 64_KiB;
    options.buffer_bytes = 64_KiB;
    options.prepare_ahead_bytes = 64_KiB;
    options.spare_segments_max = 2;
    options.hand_over_bytes = 16_KiB;
    options.sync_bytes = 64_KiB;
    return options;
}

/// A body that tells its sequence and length when it is checked.
inline std::string body_of(Sequence sequence, std::size_t size) {
    os::Random random(static_cast<std::uint64_t>(sequence) * 1'000'003 + size);
    std::string body(size, '\0');
    for (std::size_t i = 0; i < size; i += 8) {
        const std::uint64_t word = random.next();
        std::memcpy(body.data() + i, &word, std::min<std::size_t>(8, size - i));
    }
    return body;
}

struct RecoveredLog {
    LogStart start;
    std::map<std::uint64_t, std::string> records;
};

/// Reads twice, which must give the same, and finishes.
inline Result<RecoveredLog> recover_log(os::FileSystem& files, Sequence after = Sequence{0},
                                        Sequence must_reach = Sequence{0}) {
    auto reader = LogReader::open(files, kTestDirectory, kTestDatabaseId, after, must_reach);
    if (!reader) return reader.error();
    RecoveredLog log;
    std::uint64_t count = 0;
    Result<void> r = (*reader)->replay([&count](Sequence, Bytes) {
        ++count;
        return Result<void>();
    });
    if (!r) return r.error();
    r = (*reader)->replay([&log](Sequence sequence, Bytes body) {
        EXPECT_TRUE(log.records.emplace(static_cast<std::uint64_t>(sequence), body).second);
        return Result<void>();
    });
    if (!r) return r.error();
    EXPECT_EQ(count, log.records.size());
    Result<LogStart> start = (*reader)->finish();
    if (!start) return start.error();
    log.start = *std::move(start);
    return log;
}

inline Result<std::unique_ptr<Log>> open_log(os::FileSystem& files, os::Clock& clock,
                                             const LogStart& start,
                                             const LogOptions& options = small_options()) {
    return Log::open(files, kTestDirectory, clock, options, start);
}

/// reserve, append, wait.
inline Result<LogTicket> commit(Log& log, Sequence sequence, Bytes body,
                                Durability durability = Durability::kSync) {
    if (Result<void> r = log.reserve(body.size()); !r) return r.error();
    Result<LogTicket> ticket = log.append(sequence, body, crc32c(body));
    if (!ticket) return ticket.error();
    if (Result<void> r = log.wait(*ticket, durability); !r) return r.error();
    return *ticket;
}

}  // namespace fulgur::storage
