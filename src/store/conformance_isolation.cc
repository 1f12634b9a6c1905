// Checks of the conformance suite: what transactions see, and which of them must not both commit.
#include "store/trial.h"

namespace fulgur::store {

void sees_its_own_writes(Trial& trial) {
    trial.play([](Scene& scene) {
        scene.given("a=1 b=1 c=1");
        Actor actor = scene.begin();
        actor.put("a", "2");
        actor.put("bb", "2");
        actor.erase("c");
        scene.expect_equal(actor.get("a") + actor.get("bb") + actor.get("c") + actor.get("b"),
                           "22-1", "get of own writes");
        scene.expect_equal(actor.walk("", ""), "a=2 b=1 bb=2", "range of own writes");
        actor.put("c", "3");
        actor.put("a", "4");
        actor.erase("a");
        scene.expect_equal(actor.walk("", ""), "b=1 bb=2 c=3", "written again");
        actor.commit();
        scene.then("b=1 bb=2 c=3", "committed");
    });
}

void keeps_its_moment(Trial& trial) {
    trial.play([](Scene& scene) {
        scene.given("a=1 b=1 c=1");
        Actor reader = scene.begin();
        scene.expect_equal(reader.get("a"), "1", "before");
        Actor writer = scene.begin();
        writer.put("a", "2");
        writer.put("aa", "2");
        writer.erase("b");
        writer.erase_range("c", "");
        writer.commit();
        scene.expect_equal(reader.get("a") + reader.get("b") + reader.get("aa"), "11-",
                           "get at the moment");
        scene.expect_equal(reader.walk("", ""), "a=1 b=1 c=1", "range at the moment");
        scene.expect_equal(reader.walk("", "", 2, true), "c=1 b=1 a=1", "backward");
        reader.commit();
        scene.then("a=2 aa=2", "a new moment");
    });
}

void refuses_a_lost_update(Trial& trial) {
    trial.play([](Scene& scene) {
        scene.given("a=1");
        Actor first = scene.begin(), second = scene.begin();
        scene.expect_equal(first.get("a") + second.get("a"), "11", "before");
        first.put("a", "2");
        second.put("a", "3");
        first.commit();
        second.commit_refused("an update was lost");
        scene.then("a=2", "the first one's update");
    });
}

void refuses_two_inserts_of_one_key(Trial& trial) {
    trial.play([](Scene& scene) {
        Actor first = scene.begin(), second = scene.begin();
        scene.expect_equal(first.get("a") + second.get("a"), "--", "before");
        second.put("a", "2");
        first.put("a", "1");
        second.commit();
        first.commit_refused("both found the key absent");
        scene.then("a=2", "the first one that committed");
    });
}

void refuses_write_skew(Trial& trial) {
    trial.play([](Scene& scene) {
        scene.given("a=1 b=1");
        Actor first = scene.begin(), second = scene.begin();
        scene.expect_equal(first.get("a") + first.get("b"), "11", "first");
        scene.expect_equal(second.get("a") + second.get("b"), "11", "second");
        first.put("a", "0");
        second.put("b", "0");
        first.commit();
        second.commit_refused("write skew");
        scene.then("a=0 b=1", "one of the two");
    });
}

namespace {

/// Both read `begin` to `end`, and each puts a row into it.
void refuse_phantom(Trial& trial, const std::string& rows, Bytes begin, Bytes end, bool reverse) {
    trial.play([&](Scene& scene) {
        scene.given(rows);
        Actor first = scene.begin(), second = scene.begin();
        const std::string seen = first.walk(begin, end, 0, reverse);
        scene.expect_equal(second.walk(begin, end, 0, reverse), seen, "what both see");
        first.put("c1", "1");
        second.put("c2", "2");
        first.commit();
        second.commit_refused("a row came into a range that was read");
    });
    trial.play([&](Scene& scene) {  // The other way round: a row goes, and a page ended before it.
        scene.given(rows + " c=1 d=1");
        Actor first = scene.begin(), second = scene.begin();
        second.walk(begin, end, 1, reverse);
        first.erase("c");
        first.commit();
        second.put("x", "2");
        second.commit_refused("a row went from a range that was read");
    });
}

}  // namespace

void refuses_a_phantom_in_a_range(Trial& trial) {
    refuse_phantom(trial, "a=1 b=1 e=1", "a", "f", false);
    refuse_phantom(trial, "a=1 b=1 e=1", "a", "", true);
}

void refuses_a_phantom_in_an_empty_range(Trial& trial) {
    refuse_phantom(trial, "a=1", "b", "f", false);
    refuse_phantom(trial, "g=1", "b", "f", true);
    refuse_phantom(trial, "", "", "", false);
}

/// Fekete, O'Neil, O'Neil 2004: the third one, which only reads, shows that the second cannot have
/// been before the first.
void refuses_the_read_only_anomaly(Trial& trial) {
    trial.play([](Scene& scene) {
        scene.given("x=0 y=0");
        Actor second = scene.begin();
        scene.expect_equal(second.get("x") + second.get("y"), "00", "second");
        Actor first = scene.begin();
        first.put("y", "20");
        first.commit();
        Actor third = scene.begin();
        scene.expect_equal(third.get("x") + third.get("y"), "020", "third");
        third.commit();
        second.put("x", "-11");
        second.commit_refused("the read-only anomaly");
    });
}

void forgets_what_is_not_committed(Trial& trial) {
    trial.play([](Scene& scene) {
        scene.given("a=1");
        {
            Actor actor = scene.begin();
            actor.put("a", "2");
            actor.put("b", "2");
            actor.erase_range("", "");
            scene.then("a=1", "while it has not committed");
        }
        scene.then("a=1", "after it ended without");
    });
}

void ends_with_its_commit(Trial& trial) {
    Result<std::unique_ptr<StoreTransaction>> begun = trial.store().begin();
    if (!begun) return trial.fail("begin: " + begun.error().message());
    StoreTransaction& transaction = **begun;
    static_cast<void>(transaction.commit().ok());
    const std::string key = trial.prefix() + "a";
    const auto refused = [&](const auto& result, const char* what) {
        trial.expect(!result.ok() && result.error().code() == ErrorCode::kInvalid,
                     std::string(what) + " after the commit is not kInvalid");
    };
    refused(transaction.get(key), "get");
    refused(transaction.range(prefix(key)), "range");
    refused(transaction.put(key, "1"), "put");
    refused(transaction.erase(key), "erase");
    refused(transaction.erase_range(prefix(key)), "erase_range");
    refused(transaction.atomic_add(key, 1), "atomic_add");
    refused(transaction.commit(), "commit");
    trial.expect(transaction.ended(), "ended() is false after the commit");
}

}  // namespace fulgur::store
