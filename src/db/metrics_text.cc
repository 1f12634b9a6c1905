// Stats in the OpenMetrics text format 1.0: the names, units and words that monitoring sees.
// docs/operations.md lists them for people; a name here is a promise to dashboards.
//
// The format: each family once, "# TYPE", "# UNIT" when it has one, "# HELP", then its samples
// together; a counter's sample ends in _total; a histogram's buckets are cumulative, by ascending
// `le`, the last one +Inf; "# EOF" ends the text. Units are base units: seconds and bytes.
#include <array>
#include <charconv>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <fulgur/stats.h>

namespace fulgur {

namespace {

/// Bytes of a UTF-8 sequence at the start of `text` that forms one character; 0: none does.
std::size_t character_bytes(std::string_view text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t size = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    if (first < 0xC2 || first > 0xF4 || text.size() < size) return 0;
    for (std::size_t i = 1; i < size; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return 0;
    }
    const unsigned char second = byte(1);
    const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
    const bool surrogate = first == 0xED && second >= 0xA0;
    const bool beyond = first == 0xF4 && second >= 0x90;
    return overlong || surrogate || beyond ? 0 : size;
}

/// A label's value. Bytes that are no text are shown as \xHH; the format itself knows only \\, \"
/// and \n.
std::string escaped(std::string_view value) {
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (std::size_t at = 0; at < value.size();) {
        const auto byte = static_cast<unsigned char>(value[at]);
        const std::size_t size = character_bytes(value.substr(at));
        if (byte == '\\' || byte == '"') {
            text += '\\';
            text += value[at++];
        } else if (byte == '\n') {
            text += "\\n";
            ++at;
        } else if (size == 0 || byte < 0x20 || byte == 0x7F) {
            text += "\\\\x";
            text += kDigits[byte >> 4];
            text += kDigits[byte & 15];
            ++at;
        } else {
            text += value.substr(at, size);
            at += size;
        }
    }
    return text;
}

/// Nanoseconds as seconds, exactly.
std::string seconds(std::uint64_t ns) {
    constexpr std::uint64_t kSecond = 1'000'000'000;
    std::string fraction = std::to_string(kSecond + ns % kSecond).substr(1);
    fraction.erase(fraction.find_last_not_of('0') + 1);
    return std::to_string(ns / kSecond) + "." + (fraction.empty() ? "0" : fraction);
}

/// A bound as the format wants it, the same in every program: 1e-07, 0.0005, 1.0.
std::string bound_text(double value) {
    char text[32];
    const auto end =
        std::to_chars(text, text + sizeof(text), value, std::chars_format::general, 12).ptr;
    std::string result(text, end);
    if (result.find_first_of(".e") == std::string::npos) result += ".0";
    return result;
}

class MetricsWriter {
public:
    /// @param name  without the prefix; ends in the unit, when there is one.
    void family(std::string_view name, std::string_view type, std::string_view unit,
                std::string_view help) {
        name_ = "fulgur_";
        name_ += name;
        line({"# TYPE ", name_, " ", type});
        if (!unit.empty()) line({"# UNIT ", name_, " ", unit});
        line({"# HELP ", name_, " ", help});
    }
    void sample(std::string_view suffix, std::string_view labels, std::string_view value) {
        text_ += name_;
        text_ += suffix;
        if (!labels.empty()) line({"{", labels, "} ", value});
        if (labels.empty()) line({" ", value});
    }

    void gauge(std::string_view name, std::string_view unit, std::uint64_t value,
               std::string_view help) {
        family(name, "gauge", unit, help);
        sample("", "", std::to_string(value));
    }
    struct Labelled {
        std::string_view labels;
        std::uint64_t value;
    };
    void counters(std::string_view name, std::string_view unit, std::string_view help,
                  std::initializer_list<Labelled> samples) {
        family(name, "counter", unit, help);
        for (const Labelled& each : samples) {
            sample("_total", each.labels, std::to_string(each.value));
        }
    }
    void counter(std::string_view name, std::string_view unit, std::uint64_t value,
                 std::string_view help) {
        counters(name, unit, help, {{"", value}});
    }
    /// One series of a histogram whose values are nanoseconds.
    void latency(std::string_view labels, const Stats::Distribution& of) {
        const std::string comma = labels.empty() ? "" : ",";
        for (std::size_t i = 0; i < of.at_most.size(); ++i) {
            const double bound = double(Stats::kLatencyBoundsNs[i]) / 1e9;
            bucket(std::string(labels) + comma, bound_text(bound), of.at_most[i]);
        }
        bucket(std::string(labels) + comma, "+Inf", of.count);
        sample("_count", labels, std::to_string(of.count));
        sample("_sum", labels, seconds(of.sum));
    }
    void groups(const Stats::Distribution& of) {
        for (std::size_t i = 0; i < of.at_most.size(); ++i) {
            bucket("", bound_text(double(Stats::kGroupBounds[i])), of.at_most[i]);
        }
        bucket("", "+Inf", of.count);
        sample("_count", "", std::to_string(of.count));
        sample("_sum", "", std::to_string(of.sum));
    }

    std::string finish() {
        line({"# EOF"});
        return std::move(text_);
    }

private:
    void line(std::initializer_list<std::string_view> parts) {
        for (const std::string_view part : parts) text_ += part;
        text_ += '\n';
    }
    void bucket(std::string labels, const std::string& bound, std::uint64_t count) {
        sample("_bucket", labels.append("le=\"").append(bound).append("\""), std::to_string(count));
    }

    std::string text_;
    std::string name_;
};

std::uint64_t difference(Sequence newer, Sequence older) {
    const auto a = static_cast<std::uint64_t>(newer);
    const auto b = static_cast<std::uint64_t>(older);
    return a > b ? a - b : 0;
}

void write_errors(MetricsWriter& to, std::string_view name, std::string_view help,
                  const Stats::Errors& errors) {
    to.counters(name, "", help,
                {{"code=\"io\"", errors.io},
                 {"code=\"corruption\"", errors.corruption},
                 {"code=\"limit\"", errors.limit},
                 {"code=\"busy\"", errors.busy},
                 {"code=\"poisoned\"", errors.poisoned},
                 {"code=\"no_space\"", errors.no_space},
                 {"code=\"invalid\"", errors.invalid},
                 {"code=\"other\"", errors.other}});
}

void write_reads(MetricsWriter& to, const Stats& stats) {
    const Stats::Reads& reads = stats.reads;
    to.counter("gets", "", reads.gets, "Reads of one key.");
    to.counter("gets_absent", "", reads.gets_absent, "Gets that found no value.");
    to.counter("gets_failed", "", reads.gets_failed, "Gets that returned an error.");
    to.counter("gets_cold", "", reads.gets_cold,
               "Gets that had to read a page; the others were answered from memory.");
    to.counter("get_many_calls", "", reads.get_many_calls, "Calls of get_many.");
    to.counter("get_many_keys", "", reads.get_many_keys, "Keys that get_many was asked for.");
    to.counter("get_many_absent", "", reads.get_many_absent, "Keys of get_many without a value.");
    to.counter("part_reads", "", reads.part_reads, "Reads of a part of a value.");
    to.counter("cursors", "", reads.cursors, "Cursors made.");
    to.counter("cursor_rows", "", reads.cursor_rows, "Rows that cursors stood on.");
    write_errors(to, "read_errors", "Reads that returned an error, by its kind.", reads.errors);
    to.gauge("readers", "", stats.readers, "Readers that exist now.");
    to.gauge("oldest_reader_lag_commits", "commits", difference(stats.visible, stats.oldest_reader),
             "Commits since the oldest reader began: their superseded versions are kept.");
    to.gauge("snapshots", "", stats.snapshots, "Snapshots that exist now, and readers of them.");
    to.gauge("oldest_snapshot_lag_commits", "commits",
             difference(stats.visible, stats.oldest_snapshot),
             "Commits since the oldest snapshot.");
    to.family("oldest_snapshot_age_seconds", "gauge", "seconds",
              "Time since the oldest snapshot was taken; 0 without one.");
    to.sample("", "", seconds(stats.oldest_snapshot_ms * 1'000'000));
}

void write_commits(MetricsWriter& to, const Stats& stats) {
    const Stats::Writes& writes = stats.writes;
    to.counters("commits", "", "Commits that readers see, by the durability asked for.",
                {{"durability=\"sync\"", writes.sync_commits},
                 {"durability=\"os\"", writes.os_commits},
                 {"durability=\"buffered\"", writes.buffered_commits}});
    to.gauge("replayed_commits", "commits", stats.commits_replayed,
             "Commits that this open found in the log.");
    to.counters("rows_written", "", "Rows that commits put or erased.",
                {{"kind=\"put\"", writes.puts}, {"kind=\"erase\"", writes.erases}});
    to.counter("user_bytes", "bytes", writes.bytes,
               "Keys and values committed: the denominator of write amplification.");
    to.counter("large_values", "", writes.large_values, "Values above 2 KiB committed.");
    to.counter("large_value_bytes", "bytes", writes.large_bytes, "Bytes of those values.");
    write_errors(to, "commit_errors",
                 "Commits that returned an error, by its kind; limit, busy and no_space change "
                 "nothing.",
                 writes.errors);
    to.gauge("poisoned", "", stats.poisoned ? 1 : 0,
             "1 when a write has failed: close the database and open it again.");
}

void write_memory(MetricsWriter& to, const Stats& stats) {
    to.gauge("memory_budget_bytes", "bytes", stats.memory_budget, "Memory the engine may take.");
    to.gauge("memory_used_bytes", "bytes", stats.memory_used,
             "Memory in use: pages, retired ones and loaded large values.");
    to.gauge("memory_retired_bytes", "bytes", stats.memory_retired,
             "Memory that waits for readers to end.");
    to.counter("pages_read", "", stats.pages_read, "Pages read from the disk: cache misses.");
    to.counter("pages_evicted", "", stats.pages_evicted,
               "Pages that left memory to stay within the budget.");
    to.counter("pages_evicted_dirty", "", stats.pages_evicted_dirty,
               "Of them those that were written to the data file first.");
    to.counter("consolidations", "", stats.consolidations, "Leaves rewritten in memory.");
    to.counter("splits", "", stats.splits, "Pages split.");
    to.counter("joins", "", stats.joins, "Nearly empty pages that went into a neighbour.");
}

void write_log(MetricsWriter& to, const Stats& stats) {
    to.gauge("log_live_bytes", "bytes", stats.log_bytes_live,
             "Log that replay may still need, or that is kept.");
    to.gauge("log_segments", "", stats.log_segments, "Segments of the log that hold it.");
    to.counter("log_written_bytes", "bytes", stats.log_bytes_written, "Bytes written to the log.");
    to.counter("log_syncs", "", stats.log_syncs, "Syncs of the log.");
    to.counter("log_synced_commits", "", stats.log_commits_synced, "Commits those made durable.");
    to.family("log_group_size_commits", "histogram", "commits",
              "Commits that one turn of syncing the log made durable.");
    to.groups(stats.log_groups);
    to.gauge("log_unsynced_commits", "commits", difference(stats.visible, stats.durable),
             "Commits that a power cut now would lose; never ones that asked for sync.");
}

void write_disk(MetricsWriter& to, const Stats& stats) {
    to.counter("checkpoints", "", stats.checkpoints, "Checkpoints written.");
    to.counter("checkpoint_failures", "", stats.checkpoint_failures, "Checkpoints abandoned.");
    to.counter("checkpoint_pages", "", stats.pages_written, "Pages that checkpoints wrote.");
    to.gauge("checkpoint_lag_commits", "commits", difference(stats.visible, stats.checkpointed),
             "Commits since the last checkpoint: an open after a crash replays them.");
    to.gauge("checkpoint_lag_bytes", "bytes", stats.log_bytes_since_checkpoint,
             "Bytes of log since the last checkpoint.");
    to.gauge("data_file_bytes", "bytes", stats.data_file_bytes, "Size of the data file.");
    to.gauge("data_used_bytes", "bytes", stats.data_used_bytes, "Of it: in use.");
    to.gauge("data_free_bytes", "bytes", stats.data_free_bytes, "Of it: free.");
    to.gauge("data_pending_bytes", "bytes", stats.data_pending_bytes,
             "Of it: free after two more checkpoints, or when readers end.");
    to.counter("leaf_bytes", "bytes", stats.leaf_bytes_written,
               "Pages with rows that checkpoints wrote, before compression.");
    to.counter("leaf_stored_bytes", "bytes", stats.leaf_bytes_stored, "The same, after it.");
    to.counter("compressed_pages", "", stats.pages_compressed, "Of them, stored compressed.");
    to.counter("data_written_bytes", "bytes", stats.data_bytes_written,
               "Bytes written to the data file.");
    to.counter("data_read_bytes", "bytes", stats.data_bytes_read, "Bytes read from the data file.");
    to.counter("data_syncs", "", stats.data_syncs, "Syncs of the data file.");
}

void write_latencies(MetricsWriter& to, const Stats::Latencies& latency) {
    to.family("operation_seconds", "histogram", "seconds",
              "Duration of operations, of every 1,024th of its kind.");
    to.latency("operation=\"get\"", latency.get);
    to.latency("operation=\"get_many\"", latency.get_many);
    to.latency("operation=\"commit_sync\"", latency.sync_commit);
    to.latency("operation=\"commit_os\"", latency.os_commit);
    to.latency("operation=\"commit_buffered\"", latency.buffered_commit);
    to.family("checkpoint_seconds", "histogram", "seconds", "Duration of each checkpoint.");
    to.latency("", latency.checkpoint);
    to.family("log_sync_seconds", "histogram", "seconds", "Duration of each sync of the log.");
    to.latency("", latency.log_sync);
}

void write_positions(MetricsWriter& to, const Stats& stats) {
    to.gauge("format_version", "", stats.format_version, "Version of the files' format.");
    to.gauge("visible_sequence", "", static_cast<std::uint64_t>(stats.visible),
             "Newest commit that readers see.");
    to.gauge("durable_sequence", "", static_cast<std::uint64_t>(stats.durable),
             "Newest commit known to be on the disk.");
    to.gauge("checkpointed_sequence", "", static_cast<std::uint64_t>(stats.checkpointed),
             "Newest commit of which the last checkpoint holds all.");
    to.gauge("keyspaces", "", stats.keyspaces.size(), "Keyspaces that exist now.");
    if (stats.keyspaces.empty()) return;
    to.family("keyspace_levels", "gauge", "", "Levels of a keyspace's tree, leaves included.");
    for (const Stats::OfKeyspace& keyspace : stats.keyspaces) {
        // With the id two names that are shown alike are still two series.
        to.sample("",
                  "keyspace=\"" + escaped(keyspace.name) + "\",id=\"" +
                      std::to_string(keyspace.id) + "\"",
                  std::to_string(keyspace.height));
    }
}

}  // namespace

std::string metrics_text(const Stats& stats) {
    MetricsWriter to;
    write_reads(to, stats);
    write_commits(to, stats);
    write_memory(to, stats);
    write_log(to, stats);
    write_disk(to, stats);
    write_latencies(to, stats.latency);
    write_positions(to, stats);
    return to.finish();
}

}  // namespace fulgur
