/* The memory planner. */
#include "runtime/arena.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static gm_context *context;
static size_t total, alive;

static void setup(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    total = alive = 12345;
}

static void teardown(void)
{
    gm_context_destroy(context);
}

static uint64_t random_state;
static size_t draw(size_t below)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(random_state >> 33) % below;
}

/* The oracle: every pair, and every instant. */
static void check_placement(const gm_arena_record *r, size_t count)
{
    size_t most = 0, outside = 0, crooked = 0, overlaps = 0;
    for (size_t i = 0; i < count; i++) {
        size_t now = 0;
        crooked += r[i].offset % (r[i].alignment ? r[i].alignment : 64) != 0;
        outside += r[i].size > total || r[i].offset > total - r[i].size;
        for (size_t k = 0; k < count; k++) {
            bool in_time = r[i].first <= r[k].last && r[k].first <= r[i].last;
            bool in_space = r[i].offset < r[k].offset + r[k].size && r[k].offset < r[i].offset + r[i].size;
            if (r[k].first <= r[i].first && r[i].first <= r[k].last)
                now += r[k].size;
            overlaps += i != k && in_time && in_space && r[i].size > 0 && r[k].size > 0;
        }
        if (now > most)
            most = now;
    }
    ck_assert_uint_eq(crooked, 0);
    ck_assert_uint_eq(outside, 0);
    ck_assert_uint_eq(overlaps, 0);
    ck_assert_uint_eq(alive, most);
    ck_assert_uint_ge(total, alive);
}

static void place(gm_arena_record *records, size_t count)
{
    ck_assert_int_eq(gm_arena_place(context, records, count, &total, &alive), GM_OK);
    check_placement(records, count);
}

START_TEST(NothingTakesNothing)
{
    place(NULL, 0);
    ck_assert_uint_eq(total, 0);
    ck_assert_uint_eq(alive, 0);
}
END_TEST

START_TEST(SizeZeroTakesNoRoom)
{
    gm_arena_record r[] = {{.first = 0, .last = 9, .size = 0, .offset = 77}, {.first = 2, .last = 3, .size = 100}};
    place(r, 2);
    ck_assert_uint_eq(r[0].offset, 0);
    ck_assert_uint_eq(total, 100);
    place(r, 1);
    ck_assert_uint_eq(total, 0);
}
END_TEST

START_TEST(RecordsOneAfterTheOtherShareMemory)
{
    gm_arena_record r[] = {{.first = 0, .last = 1, .size = 256},
                           {.first = 2, .last = 2, .size = 128},
                           {.first = 3, .last = 9, .size = 256}};
    place(r, 3);
    ck_assert_uint_eq(total, 256);
    ck_assert_uint_eq(alive, 256);
}
END_TEST

START_TEST(LastAndFirstUseAtOneTimeDoNotShare)
{
    gm_arena_record r[] = {{.first = 0, .last = 1, .size = 64}, {.first = 1, .last = 2, .size = 64}};
    place(r, 2);
    ck_assert_uint_eq(total, 128);
}
END_TEST

START_TEST(AlignmentIsKept)
{
    gm_arena_record r[] = {{.first = 0, .last = 1, .size = 1},
                           {.first = 0, .last = 1, .size = 3, .alignment = 4096},
                           {.first = 0, .last = 1, .size = 5, .alignment = 1},
                           {.first = 0, .last = 1, .size = 7}};
    place(r, 4);
    ck_assert_uint_eq(alive, 16);
    ck_assert_uint_le(total, 192);
}
END_TEST

START_TEST(AGapBetweenLongLivesIsUsed)
{
    gm_arena_record r[] = {{.first = 0, .last = 9, .size = 640},
                           {.first = 0, .last = 3, .size = 320},
                           {.first = 4, .last = 9, .size = 320},
                           {.first = 0, .last = 9, .size = 64}};
    place(r, 4);
    ck_assert_uint_eq(total, 1024);
}
END_TEST

START_TEST(BadRecordsAreRefused)
{
    gm_arena_record backwards = {.first = 3, .last = 2, .size = 1, .offset = 5};
    gm_arena_record crooked = {.first = 0, .last = 2, .size = 1, .alignment = 48, .offset = 5};
    ck_assert_int_eq(gm_arena_place(context, &backwards, 1, &total, &alive), GM_ERROR_ARGUMENT);
    ck_assert_int_eq(gm_arena_place(context, &crooked, 1, &total, &alive), GM_ERROR_ARGUMENT);
    ck_assert_uint_eq(backwards.offset, 5);
    ck_assert_uint_eq(total, 12345);
}
END_TEST

START_TEST(OverflowOfSizesIsRefused)
{
    gm_arena_record sum[] = {{.first = 0, .last = 1, .size = SIZE_MAX / 2},
                             {.first = 0, .last = 1, .size = SIZE_MAX / 2},
                             {.first = 0, .last = 1, .size = 2}};
    gm_arena_record rounded[] = {{.first = 0, .last = 1, .size = SIZE_MAX - 8}, {.first = 0, .last = 1, .size = 4}};
    gm_arena_record apart[] = {{.first = 0, .last = 1, .size = SIZE_MAX / 2},
                               {.first = 2, .last = 3, .size = SIZE_MAX / 2}};
    ck_assert_int_eq(gm_arena_place(context, sum, 3, &total, &alive), GM_ERROR_MEMORY);
    ck_assert_int_eq(gm_arena_place(context, rounded, 2, &total, &alive), GM_ERROR_MEMORY);
    ck_assert_uint_eq(total, 12345);
    place(apart, 2);
    ck_assert_uint_eq(total, SIZE_MAX / 2);
}
END_TEST

START_TEST(TheSameRecordsGetTheSameOffsets)
{
    gm_arena_record a[200] = {{0}}, b[200];
    random_state = 3;
    for (size_t i = 0; i < 200; i++) {
        a[i].first = draw(100);
        a[i].last = a[i].first + draw(40);
        a[i].size = 1 + draw(5000);
    }
    memcpy(b, a, sizeof a);
    place(a, 200);
    place(b, 200);
    for (size_t i = 0; i < 200; i++)
        if (a[i].offset != b[i].offset)
            ck_abort_msg("record %zu differs", i);
}
END_TEST

START_TEST(RandomRecordsNeverOverlap)
{
    random_state = 1;
    for (int round = 0; round < 40; round++) {
        gm_arena_record r[120];
        size_t count = 1 + draw(120), times = 1 + draw(150), largest = 1 + draw(3000);
        for (size_t i = 0; i < count; i++) {
            r[i] = (gm_arena_record){.first = draw(times), .size = draw(largest)};
            r[i].last = r[i].first + draw(1 + times / 4);
            r[i].alignment = draw(3) ? 0 : (size_t)1 << draw(9);
        }
        place(r, count);
    }
}
END_TEST

/* Forward and backward through `layers`: activation i lives until its gradient is made, gradients live shortly, some
 * instructions have scratch memory. */
static size_t make_training(gm_arena_record *r, size_t layers, size_t width)
{
    size_t n = 0;
    for (size_t i = 0; i < layers; i++) {
        size_t size = 4 * width / (1 + i / 3) + 64 * draw(40), back = 2 * layers - 1 - i;
        r[n++] = (gm_arena_record){.first = i, .last = draw(3) ? back + 1 : i + 1, .size = size};
        r[n++] = (gm_arena_record){.first = back, .last = back + 1, .size = size};
        if (draw(2))
            r[n++] = (gm_arena_record){.first = i, .last = i, .size = 64 * draw(width / 16)};
        if (draw(2))
            r[n++] = (gm_arena_record){.first = back, .last = back, .size = 64 * draw(width / 16)};
        if (draw(2)) /* gradient of weights until the updates at the end */
            r[n++] = (gm_arena_record){.first = back, .last = 2 * layers, .size = 64 * (1 + draw(width / 8))};
    }
    return n;
}

START_TEST(TrainingIsWithinFivePercentOfTheLowerBound)
{
    gm_arena_record r[1000];
    random_state = 7;
    for (int round = 0; round < 30; round++) {
        size_t count = make_training(r, 4 + draw(round < 25 ? 40 : 150), 200 + draw(20000));
        place(r, count);
        ck_assert_msg((double)total <= 1.05 * (double)alive, "round %d: %zu records, %zu bytes, %.4f of max alive",
                      round, count, total, (double)total / (double)alive);
    }
}
END_TEST

START_TEST(AChainForInferenceReachesTheLowerBound)
{
    gm_arena_record r[50] = {{0}};
    random_state = 11;
    for (size_t i = 0; i < 50; i++)
        r[i] = (gm_arena_record){.first = i, .last = i + 1, .size = 64 * (1 + draw(1000))};
    place(r, 50);
    ck_assert_uint_eq(total, alive);
}
END_TEST

START_TEST(ThousandsOfRecordsArePlaced)
{
    size_t count = 4000;
    gm_arena_record *r = calloc(count, sizeof *r);
    random_state = 5;
    for (size_t i = 0; i < count; i++) {
        r[i].first = draw(3000);
        r[i].last = r[i].first + draw(60);
        r[i].size = 1 + draw(100000);
    }
    place(r, count);
    free(r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arena");
    TCase *all = tcase_create("arena");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, NothingTakesNothing);
    tcase_add_test(all, SizeZeroTakesNoRoom);
    tcase_add_test(all, RecordsOneAfterTheOtherShareMemory);
    tcase_add_test(all, LastAndFirstUseAtOneTimeDoNotShare);
    tcase_add_test(all, AlignmentIsKept);
    tcase_add_test(all, AGapBetweenLongLivesIsUsed);
    tcase_add_test(all, BadRecordsAreRefused);
    tcase_add_test(all, OverflowOfSizesIsRefused);
    tcase_add_test(all, TheSameRecordsGetTheSameOffsets);
    tcase_add_test(all, RandomRecordsNeverOverlap);
    tcase_add_test(all, TrainingIsWithinFivePercentOfTheLowerBound);
    tcase_add_test(all, AChainForInferenceReachesTheLowerBound);
    tcase_add_test(all, ThousandsOfRecordsArePlaced);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
