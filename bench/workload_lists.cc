// The workloads by name. db_bench's words mean what they mean there; YCSB's letters follow its core
// package (Cooper et al., 2010): records of 1,000 bytes, scrambled Zipf 0.99.
#include "bench/tasks.h"

namespace fulgur::bench {

namespace {

Workload start(const char* name, const char* family, const char* what, const char* unit,
               MakeTask make) {
    Workload workload;
    workload.name = name;
    workload.family = family;
    workload.what = what;
    workload.unit = unit;
    workload.make = std::move(make);
    return workload;
}

/// Goes once over all rows.
Workload pass(const char* name, const char* what, Workload::Start from, std::uint32_t batch,
              MakeTask make) {
    Workload workload = start(name, "db_bench", what, "row", std::move(make));
    workload.start = from;
    workload.changes = true;
    workload.kind = Workload::Kind::kPass;
    workload.batch = batch;
    return workload;
}

Workload reads(const char* name, const char* what, const char* unit, MakeTask make) {
    return start(name, "db_bench", what, unit, std::move(make));
}

Workload changing(Workload workload) {
    workload.changes = true;
    return workload;
}

Workload ycsb(const char* name, const char* what, Shares shares) {
    Workload workload = start(name, "ycsb", what, "operation", mixed(shares));
    workload.keys = KeyStyle::kYcsb;
    workload.value_min = workload.value_max = 1000;
    workload.changes = shares.read + shares.scan < 100;
    return workload;
}

}  // namespace

std::vector<Workload> db_bench_workloads() {
    using enum Workload::Start;
    std::vector<Workload> list = {
        pass("fillseq", "put all rows in order, one a commit", kEmpty, 1, fill(false)),
        pass("fillrandom", "put all rows in random order, one a commit", kEmpty, 1, fill(true)),
        pass("fillbatch", "put all rows in random order, 1000 a commit", kEmpty, 1000, fill(true)),
        pass("fillseqbatch", "put all rows in order, 1000 a commit", kEmpty, 1000, fill(false)),
    };
    Workload sync =
        pass("fillsync", "put a hundredth of the rows in random order, one a commit, each synced",
             kEmpty, 1, fill(true));
    sync.sync = true;
    sync.one_row_of = 100;  // A device does some ten thousand syncs a second, or a hundred.
    list.push_back(sync);
    list.push_back(
        pass("deleteseq", "erase all rows in order, 100 a commit", kLoaded, 100, erase(false)));
    list.push_back(pass("deleterandom", "erase all rows in random order, 100 a commit", kLoaded,
                        100, erase(true)));
    list.push_back(
        changing(reads("overwrite", "put random rows that are there", "row", overwrite())));
    list.push_back(reads("readrandom", "get of random rows", "get", get(Choice::kUniform)));
    list.push_back(reads("readmissing", "get of keys that are not there", "get", get_missing()));
    list.push_back(
        reads("readhot", "get of random rows of one per cent", "get", get(Choice::kHotOnly)));
    list.push_back(reads("multireadrandom", "random rows, 32 keys a call", "key", get_many()));
    list.push_back(reads("readseq", "all rows in order", "row", read_all()));
    list.push_back(reads("seekrandom", "seek to a random row and read it", "seek", seek(1)));
    Workload beside =
        reads("readwhilewriting", "get of random rows beside a thread that overwrites", "get",
              get(Choice::kUniform));
    beside.changes = true;
    beside.make_beside = overwrite();
    list.push_back(beside);
    list.push_back(
        changing(reads("readrandomwriterandom", "90 % get, 10 % put, random rows", "operation",
                       mixed({.read = 90, .update = 10, .choice = Choice::kUniform}))));
    list.push_back(changing(reads("updaterandom", "get, then put the same random row", "operation",
                                  mixed({.modify = 100, .choice = Choice::kUniform}))));
    return list;
}

std::vector<Workload> ycsb_workloads() {
    return {
        ycsb("ycsb-a", "50 % read, 50 % update", {.read = 50, .update = 50}),
        ycsb("ycsb-b", "95 % read, 5 % update", {.read = 95, .update = 5}),
        ycsb("ycsb-c", "read only", {.read = 100}),
        ycsb("ycsb-d", "95 % read of the latest, 5 % insert",
             {.read = 95, .insert = 5, .choice = Choice::kLatest}),
        ycsb("ycsb-e", "95 % scan of up to 100 rows, 5 % insert", {.insert = 5, .scan = 95}),
        ycsb("ycsb-f", "50 % read, 50 % read and then write", {.read = 50, .modify = 50}),
    };
}

std::vector<Workload> more_workloads() {
    Workload mix = start(
        "mixed", "more", "50 % get, 25 % put, 25 % scan of 100, a tenth of the rows, 100 B-10 KB",
        "operation", mixed({.read = 50, .update = 25, .scan = 25, .choice = Choice::kUniform}));
    mix.value_min = 100;
    mix.value_max = 10'000;
    mix.one_row_of = 10;
    mix.changes = true;
    const auto opening = [](const char* name, const char* what, Workload::Kind kind) {
        Workload workload = start(name, "more", what, "open", nullptr);
        workload.kind = kind;
        workload.changes = true;
        workload.batch = 100;
        return workload;
    };
    return {
        opening("open", "open a store that was closed well, and read a row", Workload::Kind::kOpen),
        opening("recovery", "open what a killed process left, and read a row",
                Workload::Kind::kRecovery),
        mix,
        start("hotkey", "more", "get of one row", "get", get(Choice::kHotKey)),
        start("hotset", "more", "get, 90 % of them of one per cent of the rows", "get",
              get(Choice::kHotSet)),
        start("zipf", "more", "get by scrambled Zipf 0.99", "get", get(Choice::kZipf)),
        start("scan100", "more", "seek to a random row and read 100", "scan", seek(100)),
    };
}

}  // namespace fulgur::bench
