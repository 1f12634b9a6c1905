#include "bench/validate.h"

namespace fulgur::bench {

namespace {

/// What the engine has to reach with a million rows on one thread: of its targets
/// (docs/benchmarks.md) those that a run with --figures answers.
constexpr const char* kTargets = R"json({"format": "bench-targets/1", "targets": [
  {"workload": "readrandom", "side": "fulgur", "ratio_to": "lmdb", "ratio_min": 3},
  {"workload": "readhot", "side": "fulgur", "ratio_to": "lmdb", "ratio_min": 4},
  {"workload": "multireadrandom", "side": "fulgur", "ratio_to": "lmdb", "ratio_min": 8},
  {"workload": "readseq", "side": "fulgur", "ratio_to": "lmdb", "ratio_min": 1},
  {"workload": "scan100", "side": "fulgur", "ratio_to": "lmdb", "ratio_min": 1.5},
  {"workload": "fillrandom", "side": "fulgur", "ratio_to": "rocksdb", "ratio_min": 5},
  {"workload": "fillrandom", "side": "fulgur", "ratio_to": "lmdb", "ratio_min": 5},
  {"workload": "fillrandom", "side": "fulgur", "ratio_to": "lmdb-writemap", "ratio_min": 2.5},
  {"workload": "fillrandom", "side": "fulgur", "ratio_to": "wiredtiger", "ratio_min": 2.5},
  {"workload": "fillbatch", "side": "fulgur", "ratio_to": "rocksdb", "ratio_min": 5},
  {"workload": "fillbatch", "side": "fulgur", "ratio_to": "lmdb", "ratio_min": 5},
  {"workload": "fillbatch", "side": "fulgur", "ratio_to": "lmdb-writemap", "ratio_min": 2.5},
  {"workload": "fillbatch", "side": "fulgur", "ratio_to": "wiredtiger", "ratio_min": 2.5},
  {"workload": "fillseqbatch", "side": "fulgur", "ratio_to": "lmdb", "ratio_min": 0.7},
  {"workload": "fillsync", "side": "fulgur", "ratio_to": "rocksdb", "ratio_min": 1},
  {"workload": "fillsync", "side": "fulgur", "ratio_to": "lmdb", "ratio_min": 1},
  {"workload": "fillsync", "side": "fulgur", "ratio_to": "leveldb", "ratio_min": 1},
  {"workload": "fillsync", "side": "fulgur", "ratio_to": "wiredtiger", "ratio_min": 1},
  {"workload": "fillsync", "side": "fulgur", "ratio_to": "sqlite", "ratio_min": 1},
  {"workload": "deleterandom", "side": "fulgur", "ratio_to": "leveldb", "ratio_min": 1.2},
  {"workload": "mixed", "side": "fulgur", "ratio_to": "rocksdb", "ratio_min": 2},
  {"workload": "mixed", "side": "fulgur", "ratio_to": "lmdb", "ratio_min": 2},
  {"side": "fulgur", "error_rate_max": 0}]})json";

}  // namespace

std::vector<Target> engine_targets() { return parse_targets(kTargets, "the engine's targets"); }

}  // namespace fulgur::bench
