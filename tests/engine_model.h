// Random operations on one database beside a model of it: a map of each keyspace for each sequence.
// Whatever a reader, a snapshot or a cursor shows must be what the model had at its sequence, at
// once, later, and after the database was closed and opened again.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <fulgur/database.h>

#include "os/random.h"
#include "os/sim_clock.h"
#include "os/sim_file_system.h"
#include "tests/support.h"

namespace fulgur::system_test {

/// What one run of the model is made of.
struct ModelConfig {
    std::string name;
    std::uint64_t seeds = 6;
    std::uint64_t steps = 300;
    bool in_memory = false;            ///< Database::in_memory: nothing to open again
    bool background = false;           ///< the engine's own threads
    std::uint64_t restart_one_in = 0;  ///< steps; 0: never
    std::uint64_t checkpoint_one_in = 60;
    std::uint32_t segment_bytes = 256_KiB;
    std::size_t snapshots_held = 0;  ///< kept at this number from the start to the end
    std::uint64_t keys = 300;        ///< different ones; few meet, many make pages
    std::uint64_t batch_max = 60;
    std::uint64_t live_bytes = 0;  ///< of pages that stay in memory; 0: all
    friend void PrintTo(const ModelConfig& config, std::ostream* to) { *to << config.name; }
};

class EngineModel {
public:
    EngineModel(const ModelConfig& config, std::uint64_t seed);
    /// Stops at the first failure.
    void run();

private:
    using Rows = std::map<std::string, ModelValue>;
    /// One life of a name: dropped and made again, it is another keyspace.
    struct ModelKeyspace {
        std::uint32_t id = 0;
        Rows rows;
    };
    /// Keyspaces that a commit does not change are shared with the state before.
    using State = std::map<std::string, std::shared_ptr<const ModelKeyspace>>;
    struct HeldView {
        Bytes view;
        ModelValue value;
    };
    /// A reader with the views that it must keep as they are.
    struct HeldReader {
        Reader reader;
        std::vector<HeldView> views;
    };

    void open();
    void restart();
    void step();

    State::iterator any_of(State& state);
    void commit();
    void put_one();
    void change_keyspaces();
    void checkpoint();
    void compact();
    void thin_out();
    void new_snapshot();
    void look_at_snapshot();
    void new_reader();
    void look_at_reader();
    void check_views(HeldReader& held);

    void get_some(Reader& reader, std::vector<HeldView>* views);
    void get_many(Reader& reader);
    void read_part(Reader& reader);
    void walk(Reader& reader);
    void check_all(Reader& reader);
    void check_rows(Reader& reader, const Keyspace& keyspace, const Rows& rows);
    void check_invisible(Reader& reader);

    std::string key();
    ModelValue value();
    KeyRange range();
    Durability level() { return static_cast<Durability>(random_.below(3)); }
    const State& now() const { return history_.rbegin()->second; }
    const State& at(const Reader& reader) const { return history_.at(number(reader.sequence())); }
    std::shared_ptr<const ModelKeyspace> pick(const State& state);
    bool busy(const Result<Sequence>& done);
    void committed(const Result<Sequence>& done, State next);
    bool failed() const { return ::testing::Test::HasFailure(); }

    const ModelConfig config_;
    os::Random random_;
    os::SimClock clock_;
    std::unique_ptr<os::SimFileSystem> disk_;
    std::optional<Database> database_;
    std::map<std::uint64_t, State> history_;  ///< after each sequence
    std::uint64_t last_ = 0;
    std::map<std::uint32_t, Keyspace> handles_;  ///< of dropped ones too, until the restart
    std::vector<Snapshot> snapshots_;
    std::vector<HeldReader> readers_;
};

}  // namespace fulgur::system_test
