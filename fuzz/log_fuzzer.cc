// Recovery of the log. An input is a small program that writes segments whose checksums are right,
// because random bytes would not come past them: segments, fragments, gaps, then flipped and cut
// bytes. Whatever it leaves, recovery must end, give records whole and in order, give the same ones
// again, and leave a log from which the next recovery reads the same.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "os/memory_file_system.h"
#include "storage/log_reader.h"

using fulgur::Bytes;
using fulgur::Result;
using fulgur::Sequence;
using namespace fulgur::storage;

namespace {

constexpr std::uint64_t kDatabaseId = 0x0123456789ABCDEF;
constexpr std::size_t kFileBytesMax = 256 << 10;

void require(bool held) {
    if (!held) std::abort();
}

class Program {
public:
    explicit Program(Bytes input) : input_(input) {
        after = Sequence{byte()};
        must_reach = Sequence{byte()};
        while (!input_.empty()) step();
    }

    Sequence after{}, must_reach{};
    std::map<std::uint32_t, std::string> files;  ///< by slot

private:
    std::uint8_t byte() {
        if (input_.empty()) return 0;
        const auto value = static_cast<std::uint8_t>(input_.front());
        input_.remove_prefix(1);
        return value;
    }
    std::uint32_t two() {
        const std::uint32_t low = byte();
        return low | static_cast<std::uint32_t>(byte()) << 8;
    }

    void step() {
        switch (byte() % 6) {
            case 0:
                return segment();
            case 1:
                return fragment();
            case 2:
                return append(std::string(round_up_to_block() - file().size(), '\0'));
            case 3: {
                std::string& file = files[byte() % 4];
                const std::size_t at = two();
                const std::uint8_t mask = byte();
                if (at < file.size()) file[at] = static_cast<char>(file[at] ^ mask);
                return;
            }
            case 4: {
                std::string& file = files[byte() % 4];
                file.resize(std::min<std::size_t>(file.size(), two()));
                return;
            }
            default:
                return append(std::string(8192, '\0'));
        }
    }

    std::string& file() { return files[slot_]; }
    void append(const std::string& bytes) {
        if (file().size() + bytes.size() <= kFileBytesMax) file().append(bytes);
    }
    std::size_t round_up_to_block() { return fulgur::round_up(file().size(), kLogBlockBytes); }

    void segment() {
        slot_ = byte() % 4;
        number_ = byte();
        SegmentHeader header;
        header.database_id = kDatabaseId;
        header.number = number_;
        std::string bytes(kLogBlockBytes, '\0');
        header.encode(bytes.data());
        file() = bytes;
        LinkBody link;
        const std::uint32_t previous = byte();
        // An offset of 0 means where that segment ends as it is now.
        const std::uint32_t offset = two();
        const auto before = ends_.find(previous);
        link.previous_end =
            log_position(previous, offset != 0 || before == ends_.end() ? offset : before->second);
        std::string body(LinkBody::kEncodedBytes, '\0');
        link.encode(body.data());
        write(FragmentType::kLink, body, byte(), 0, 0);
    }

    void fragment() {
        const auto type = static_cast<FragmentType>(byte() % 8);
        const std::size_t length = 1 + byte();
        const std::uint8_t sequence = byte(), index = byte(), synced = byte();
        // A fragment's bytes tell its index, so that a record put together wrongly is known.
        write(type, std::string(length, static_cast<char>(index)), sequence, index, synced);
    }

    void write(FragmentType type, const std::string& body, std::uint8_t sequence,
               std::uint16_t index, std::uint8_t synced) {
        const auto at = static_cast<std::uint32_t>(file().size());
        FragmentHeader header;
        header.body_crc = fulgur::crc32c(body);
        header.length = static_cast<std::uint32_t>(body.size());
        header.type = type;
        header.index = index;
        header.position = log_position(number_, at);
        header.sequence = Sequence{sequence};
        if (synced % 3 == 1) header.synced = header.position;
        if (synced % 3 == 2) header.synced = last_;
        std::string bytes(header.stored_bytes(), '\0');
        header.encode(bytes.data(), fragment_key(kDatabaseId));
        std::copy(body.begin(), body.end(), bytes.begin() + FragmentHeader::kEncodedBytes);
        append(bytes);
        last_ = header.position;
        ends_[number_] = static_cast<std::uint32_t>(file().size());
    }

    Bytes input_;
    std::uint32_t slot_ = 0, number_ = 0;
    LogPosition last_{};
    std::map<std::uint32_t, std::uint32_t> ends_;  ///< by segment number
};

using Records = std::vector<std::string>;

/// Fragments 0, 1, 2, ... one behind another.
bool is_whole(Bytes body) {
    if (body.empty() || body.front() != 0) return false;
    for (std::size_t i = 1; i < body.size(); ++i) {
        const int step =
            static_cast<std::uint8_t>(body[i]) - static_cast<std::uint8_t>(body[i - 1]);
        if (step != 0 && step != 1) return false;
    }
    return true;
}

Result<Records> recover(fulgur::os::FileSystem& files, const Program& program) {
    auto reader = LogReader::open(files, "db", kDatabaseId, program.after, program.must_reach);
    if (!reader) return reader.error();
    Records records;
    for (int again = 0; again < 2; ++again) {
        Records now;
        auto next = static_cast<std::uint64_t>(program.after) + 1;
        Result<void> done = (*reader)->replay([&](Sequence sequence, Bytes body) {
            require(static_cast<std::uint64_t>(sequence) == next++);
            require(is_whole(body));
            now.emplace_back(body);
            return Result<void>();
        });
        if (!done) return done.error();
        if (again == 1) require(now == records);
        records = std::move(now);
    }
    require((*reader)->segment_count() == 0 ||
            (*reader)->last() >= std::max(program.after, program.must_reach));
    Result<LogStart> start = (*reader)->finish();
    if (!start) return start.error();
    for (const auto& live : start->live) require(live.number < start->next_number);
    return records;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size > 4096) return 0;
    const Program program(Bytes(reinterpret_cast<const char*>(data), size));
    fulgur::os::MemoryFileSystem files;
    require(files.make_directory("db").ok());
    for (const auto& [slot, bytes] : program.files) {
        std::string name = "db/log.";
        name.append(std::to_string(slot));
        auto file = files.open(name, fulgur::os::FileSystem::Mode::kCreate);
        require(file.ok() && (*file)->write_at(0, bytes).ok());
    }
    const Result<Records> first = recover(files, program);
    if (!first.ok()) {
        require(!first.error().what().empty());
        return 0;
    }
    const Result<Records> second = recover(files, program);
    require(second.ok() && *second == *first);
    return 0;
}
