// Containers and pointers: the intrusive list and tree, ArrayList, reference counts, sole owners, scope guards.
#include <gtest/gtest.h>
#include <lib/array_list.hpp>
#include <lib/function_ref.hpp>
#include <lib/intrusive_list.hpp>
#include <lib/intrusive_tree.hpp>
#include <lib/own_ptr.hpp>
#include <lib/ref_ptr.hpp>
#include <lib/result.hpp>

namespace {

using namespace linnet;

// ---- intrusive list ----

struct Item {
    int value = 0;
    ListNode node;
    ListNode other_node;
};
using List = IntrusiveList<Item, &Item::node>;

std::vector<int> values(List& list) {
    std::vector<int> all;
    for (Item& item : list) all.push_back(item.value);
    return all;
}

TEST(IntrusiveList, EndsAndMiddle) {
    Item items[5];
    for (int i = 0; i < 5; ++i) items[i].value = i;
    List list;
    EXPECT_TRUE(list.is_empty());
    EXPECT_EQ(list.first(), nullptr);
    EXPECT_EQ(list.last(), nullptr);
    EXPECT_EQ(list.pop_front(), nullptr);
    EXPECT_EQ(values(list), std::vector<int>());
    list.push_back(items[1]);
    list.push_front(items[0]);
    list.push_back(items[3]);
    list.insert_before(items[3], items[2]);
    list.insert_before(items[0], items[4]);
    EXPECT_EQ(values(list), (std::vector<int>{4, 0, 1, 2, 3}));
    EXPECT_EQ(list.first(), &items[4]);
    EXPECT_EQ(list.last(), &items[3]);
    EXPECT_EQ(list.next(items[1]), &items[2]);
    EXPECT_EQ(list.next(items[3]), nullptr);
    list.remove(items[1]);
    items[1].node.unlink(); // again: nothing happens
    EXPECT_FALSE(items[1].node.is_linked());
    EXPECT_EQ(list.pop_front(), &items[4]);
    EXPECT_EQ(values(list), (std::vector<int>{0, 2, 3}));
}

TEST(IntrusiveList, TwoListsThroughOneItem) {
    IntrusiveList<Item, &Item::other_node> other;
    List list, tail;
    Item a, b, c;
    a.value = 1, b.value = 2, c.value = 3;
    list.push_back(a), other.push_back(a), tail.push_back(b), tail.push_back(c);
    list.splice_back(tail);
    EXPECT_TRUE(tail.is_empty());
    EXPECT_EQ(values(list), (std::vector<int>{1, 2, 3}));
    a.node.unlink();
    EXPECT_EQ(other.first(), &a);
    EXPECT_EQ(values(list), (std::vector<int>{2, 3}));
}

TEST(IntrusiveList, AgreesWithAModel) {
    std::mt19937 random(7);
    std::vector<Item> items(64);
    for (int i = 0; i < 64; ++i) items[static_cast<usize>(i)].value = i;
    List list;
    std::vector<int> model;
    for (int step = 0; step < 20000; ++step) {
        Item& item = items[random() % items.size()];
        auto found = std::find(model.begin(), model.end(), item.value);
        if (found != model.end()) {
            list.remove(item);
            model.erase(found);
        } else if (random() % 3 == 0 || model.empty()) {
            list.push_front(item);
            model.insert(model.begin(), item.value);
        } else if (random() % 2) {
            list.push_back(item);
            model.push_back(item.value);
        } else {
            usize at = random() % model.size();
            list.insert_before(items[static_cast<usize>(model[at])], item);
            model.insert(model.begin() + static_cast<isize>(at), item.value);
        }
        ASSERT_EQ(values(list), model);
    }
}

// ---- trees ----

struct Leaf {
    int key = 0;
    TreeNode node;
};
struct KeyOfLeaf {
    using type = int;
    const int& operator()(const Leaf& leaf) const { return leaf.key; }
};

TEST(IntrusiveTree, AgreesWithAModel) {
    std::mt19937 random(8);
    std::vector<Leaf> leaves(200);
    IntrusiveMultiTree<Leaf, &Leaf::node, KeyOfLeaf> tree;
    std::multiset<int> model;
    std::vector<bool> inside(leaves.size());
    for (int step = 0; step < 20000; ++step) {
        usize at = random() % leaves.size();
        if (inside[at]) {
            tree.erase(tree.iterator_to(leaves[at]));
            model.erase(model.find(leaves[at].key));
        } else {
            leaves[at].key = static_cast<int>(random() % 50);
            tree.insert(leaves[at]);
            model.insert(leaves[at].key);
        }
        inside[at] = !inside[at];
        if (step % 100 == 0) {
            ASSERT_TRUE(std::equal(tree.begin(), tree.end(), model.begin(), model.end(),
                                   [](const Leaf& leaf, int key) { return leaf.key == key; }));
            int bound = static_cast<int>(random() % 50);
            auto found = tree.lower_bound(bound);
            auto expected = model.lower_bound(bound);
            ASSERT_EQ(found == tree.end() ? -1 : found->key, expected == model.end() ? -1 : *expected);
        }
    }
    tree.clear();
}

// ---- ArrayList ----

/// Counts the living ones; a double or missing destruction shows.
struct Counted {
    static inline int alive = 0;
    std::unique_ptr<int> value;
    Counted(int number = 0) : value(new int(number)) { ++alive; }
    Counted(Counted&& other) noexcept : value(std::move(other.value)) { ++alive; }
    Counted& operator=(Counted&&) = default;
    ~Counted() { --alive; }
};

TEST(ArrayList, GrowsShrinksAndMoves) {
    {
        ArrayList<Counted> list;
        EXPECT_TRUE(list.is_empty());
        for (int i = 0; i < 100; ++i) ASSERT_TRUE(list.try_push(i));
        EXPECT_EQ(list.size(), 100u);
        EXPECT_EQ(Counted::alive, 100);
        list.remove_at(0);
        list.remove_at(98);
        EXPECT_EQ(*list[0].value, 1);
        EXPECT_EQ(*list.back().value, 98);
        EXPECT_EQ(*list.pop().value, 98);
        ArrayList<Counted> moved = std::move(list);
        EXPECT_EQ(moved.size(), 97u);
        EXPECT_TRUE(list.is_empty()); // NOLINT(bugprone-use-after-move): that is what is tested
        ASSERT_TRUE(moved.try_resize(10));
        EXPECT_EQ(Counted::alive, 10);
        ASSERT_TRUE(moved.try_resize(20));
        EXPECT_EQ(Counted::alive, 20);
        list = std::move(moved);
        EXPECT_EQ(list.size(), 20u);
        int sum = 0;
        for (const Counted& one : list) sum += one.value ? *one.value : 0;
        EXPECT_EQ(sum, 55);
    }
    EXPECT_EQ(Counted::alive, 0);
}

TEST(ArrayList, TooLargeIsAnErrorNotADisaster) {
    ArrayList<u64> list;
    ASSERT_TRUE(list.try_push(5));
    for (usize size : {~usize{0}, ~usize{0} / 8 + 2}) {
        EXPECT_EQ(list.try_resize(size).error(), Errno::ENOMEM) << size;
        EXPECT_EQ(list.try_reserve(size).error(), Errno::ENOMEM) << size;
    }
    EXPECT_EQ(list.size(), 1u);
    EXPECT_EQ(list[0], 5u);
    EXPECT_DEATH((void)list[1], "VERIFY");
}

TEST(ArrayList, PushingAnElementOfItself) {
    ArrayList<std::string> list;
    ASSERT_TRUE(list.try_push("a text that doesn't fit into the object itself"));
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(list.try_push(list[0]));
    for (const auto& text : list) EXPECT_EQ(text, list[0]);
}

// ---- pointers ----

struct Shared : RefCounted<Shared> {
    static inline int alive = 0;
    Shared() { ++alive; }
    ~Shared() { --alive; }
};
struct Special : RefCounted<Special> {
    int* dropped;
    explicit Special(int* counter) : dropped(counter) {}
    void last_reference_dropped() { ++*dropped; }
};

TEST(RefPtr, CountsReferences) {
    {
        RefPtr<Shared> first = adopt_ref(*new Shared);
        EXPECT_EQ(first->ref_count(), 1u);
        NullableRefPtr<Shared> second = first, nothing;
        EXPECT_EQ(first->ref_count(), 2u);
        EXPECT_TRUE(second && !nothing);
        EXPECT_TRUE(second == first.get());
        second = std::move(nothing);
        EXPECT_EQ(first->ref_count(), 1u);
        second = NullableRefPtr<Shared>(first);
        NullableRefPtr<Shared>& itself = second;
        second = itself;
        EXPECT_EQ(first->ref_count(), 2u);
        Shared* raw = second.release();
        EXPECT_FALSE(second);
        EXPECT_EQ(raw->ref_count(), 2u);
        second = NullableRefPtr<Shared>::adopt(raw);
        EXPECT_TRUE(raw->try_ref());
        raw->unref();
        EXPECT_FALSE(([&] {
            raw->ref();
            return raw->drop_ref();
        }()));
        EXPECT_EQ(Shared::alive, 1);
    }
    EXPECT_EQ(Shared::alive, 0);
    EXPECT_DEATH(RefPtr<Shared>{NullableRefPtr<Shared>{}}, "VERIFY");
}

TEST(RefPtr, ItsOwnWayToGo) {
    int dropped = 0;
    Special object(&dropped);
    {
        RefPtr<Special> last = adopt_ref(object);
        RefPtr<Special> copy = last;
        EXPECT_EQ(dropped, 0);
    }
    EXPECT_EQ(dropped, 1);
    EXPECT_FALSE(object.try_ref()); // it is dying
}

TEST(OwnPtr, MadeAndGuarded) {
    auto made = try_make<std::pair<int, int>>(1, 2);
    ASSERT_TRUE(made);
    EXPECT_EQ((*made)->second, 2);
    int runs = 0;
    {
        ScopeGuard guard([&] { ++runs; });
        ScopeGuard dismissed([&] { runs += 100; });
        dismissed.dismiss();
    }
    EXPECT_EQ(runs, 1);
}

Result<int> half(int value) { return value % 2 ? Result<int>(error(Errno::EINVAL)) : value / 2; }
Result<int> quarter(int value) { return TRY(half(TRY(half(value)))); }

TEST(Result, TryGivesErrorsOn) {
    EXPECT_EQ(quarter(8), 2);
    EXPECT_EQ(quarter(6).error(), Errno::EINVAL);
    EXPECT_EQ(MUST(quarter(4)), 1);
    EXPECT_DEATH((void)MUST(quarter(1)), "MUST");
}

TEST(FunctionRef, CallsWhatItWasMadeFrom) {
    int calls = 0;
    auto count = [&](int by) { return calls += by; };
    FunctionRef<int(int)> ref = count;
    EXPECT_EQ(ref(2), 2);
    EXPECT_EQ(ref(3), 5);
    EXPECT_EQ(calls, 5);
}

} // namespace
