/* Symbolic dimensions. */
#include "graph/dim.h"

#include <check.h>
#include <stdlib.h>

static gm_context *context;
static gm_pool *pool;
static gm_symbols *symbols;
static gm_dim n, c;

static void setup(void)
{
    ck_assert_int_eq(gm_context_create(NULL, &context), GM_OK);
    pool = gm_pool_create(context);
    symbols = gm_symbols_create(pool);
    n = gm_dim_symbol(symbols, "N");
    c = gm_dim_symbol(symbols, "C");
}

static void teardown(void)
{
    gm_pool_destroy(pool);
    gm_context_destroy(context);
}

static const char *text(gm_dim dim)
{
    static char buffer[256];
    return gm_dim_print(symbols, dim, buffer, sizeof buffer);
}

START_TEST(EqualPolynomialsAreOneNumber)
{
    gm_dim a = gm_dim_mul(symbols, gm_dim_add(symbols, n, c), gm_dim_add(symbols, n, c));
    gm_dim b = gm_dim_add(symbols, gm_dim_mul(symbols, n, n), gm_dim_mul(symbols, c, c));
    b = gm_dim_add(symbols, b, gm_dim_mul(symbols, gm_dim_mul(symbols, 2, c), n));
    ck_assert(a == b);
    ck_assert(gm_dim_symbol(symbols, "N") == n);
    ck_assert(n != c);
    ck_assert(gm_dim_unknown(symbols) != gm_dim_unknown(symbols));
    ck_assert_str_eq(gm_dim_symbol_name(symbols, n), "N");
    ck_assert_ptr_null(gm_dim_symbol_name(symbols, a));
    ck_assert_ptr_null(gm_dim_symbol_name(symbols, 3));
}
END_TEST

START_TEST(NumbersStayNumbers)
{
    ck_assert(gm_dim_add(symbols, 3, 4) == 7);
    ck_assert(gm_dim_sub(symbols, n, n) == 0);
    ck_assert(gm_dim_sub(symbols, gm_dim_add(symbols, n, 5), n) == 5);
    ck_assert(gm_dim_mul(symbols, n, 0) == 0);
    ck_assert(gm_dim_mul(symbols, n, 1) == n);
    ck_assert(gm_dim_is_known(0) && !gm_dim_is_known(n));
}
END_TEST

START_TEST(ImpossibleResultsAreErrors)
{
    ck_assert(gm_dim_sub(symbols, 2, 5) == GM_DIM_ERROR);
    ck_assert(gm_dim_mul(symbols, INT64_MAX, 2) == GM_DIM_ERROR);
    ck_assert(gm_dim_mul(symbols, gm_dim_mul(symbols, n, INT64_MAX), 2) == GM_DIM_ERROR);
    ck_assert(gm_dim_add(symbols, INT64_MAX, 1) == GM_DIM_ERROR);
    ck_assert(gm_dim_add(symbols, GM_DIM_ERROR, 1) == GM_DIM_ERROR);
    ck_assert(gm_dim_add(symbols, -999999, 1) == GM_DIM_ERROR);
    ck_assert(gm_dim_div_exact(symbols, n, 0) == GM_DIM_ERROR);
    ck_assert(gm_dim_window(symbols, n, 0, 0, 1, false) == GM_DIM_ERROR);
    ck_assert(gm_dim_bind(symbols, GM_DIM_ERROR, NULL, 0) == GM_DIM_ERROR);
}
END_TEST

START_TEST(DivisionIsExactOrAnError)
{
    gm_dim flat = gm_dim_mul(symbols, n, 784), nc = gm_dim_mul(symbols, n, c);
    gm_dim sum = gm_dim_mul(symbols, gm_dim_add(symbols, n, 2), gm_dim_add(symbols, c, 3));
    ck_assert(gm_dim_div_exact(symbols, flat, 784) == n);
    ck_assert(gm_dim_div_exact(symbols, flat, n) == 784);
    ck_assert(gm_dim_div_exact(symbols, nc, n) == c);
    ck_assert(gm_dim_div_exact(symbols, sum, gm_dim_add(symbols, n, 2)) == gm_dim_add(symbols, c, 3));
    ck_assert(gm_dim_div_exact(symbols, 12, 4) == 3);
    ck_assert(gm_dim_div_exact(symbols, 0, n) == 0);
    ck_assert(gm_dim_div_exact(symbols, 13, 4) == GM_DIM_ERROR);
    ck_assert(gm_dim_div_exact(symbols, n, 2) == GM_DIM_ERROR);
    ck_assert(gm_dim_div_exact(symbols, n, c) == GM_DIM_ERROR);
    ck_assert(gm_dim_div_exact(symbols, 4, n) == GM_DIM_ERROR);
}
END_TEST

START_TEST(WindowsOfNumbers)
{
    /* 28 wide, kernel 5, padding 2 + 2, stride 2: floor((28 + 4 - 5) / 2) + 1 */
    ck_assert(gm_dim_window(symbols, 28, -1, 2, 1, false) == 14);
    ck_assert(gm_dim_window(symbols, 28, -1, 2, 1, true) == 15);
    ck_assert(gm_dim_window(symbols, 2, -5, 2, 1, false) == GM_DIM_ERROR);
    ck_assert(gm_dim_window(symbols, 2, -3, 2, 1, false) == 0);
    ck_assert(gm_dim_window(symbols, INT64_MAX, 1, 2, 1, false) == GM_DIM_ERROR);
}
END_TEST

START_TEST(WindowsOfSymbolsSimplify)
{
    gm_dim even = gm_dim_mul(symbols, n, 4);
    ck_assert(gm_dim_window(symbols, n, -1, 1, 1, false) == n);
    ck_assert(gm_dim_window(symbols, even, -2, 2, 1, false) == gm_dim_mul(symbols, n, 2));
    ck_assert(gm_dim_window(symbols, even, -1, 2, 1, false) == gm_dim_mul(symbols, n, 2));
    ck_assert(gm_dim_window(symbols, even, -1, 2, 0, true) == gm_dim_mul(symbols, n, 2));
    ck_assert(gm_dim_window(symbols, n, -1, 2, 1, false) == gm_dim_window(symbols, n, -3, 2, 2, false));
    ck_assert_str_eq(text(gm_dim_window(symbols, n, -1, 2, 1, false)), "floor((N + 1) / 2)");
    ck_assert_str_eq(text(gm_dim_window(symbols, n, 0, 2, 0, false)), "floor(N / 2)");
}
END_TEST

START_TEST(BindingReplacesSymbols)
{
    gm_dim window = gm_dim_window(symbols, gm_dim_add(symbols, n, c), -5, 2, 1, false);
    gm_dim outer = gm_dim_mul(symbols, gm_dim_window(symbols, window, 3, 4, 0, true), n);
    gm_binding both[] = {{n, 7}, {c, 9}};
    ck_assert(gm_dim_bind(symbols, window, both, 2) == 6);
    ck_assert(gm_dim_bind(symbols, outer, both, 2) == 21);
    ck_assert(gm_dim_bind(symbols, n, both, 2) == 7);
    ck_assert(gm_dim_bind(symbols, 12, both, 2) == 12);
    ck_assert(gm_dim_bind(symbols, window, both, 1) == gm_dim_window(symbols, c, 2, 2, 1, false));
    ck_assert(gm_dim_bind(symbols, window, NULL, 0) == window);
    /* Values below zero are fine inside a larger sum, not alone. */
    gm_dim small = gm_dim_window(symbols, n, -3, 2, 1, false);
    ck_assert(gm_dim_bind(symbols, small, &(gm_binding){n, 1}, 1) == 0);
    ck_assert(gm_dim_bind(symbols, small, &(gm_binding){n, 0}, 1) == GM_DIM_ERROR);
}
END_TEST

START_TEST(PrintsAsPeopleWrite)
{
    char buffer[64], small[6];
    gm_dim flat = gm_dim_mul(symbols, n, 784);
    ck_assert_str_eq(text(256), "256");
    ck_assert_str_eq(text(n), "N");
    ck_assert_str_eq(text(gm_dim_mul(symbols, 2, n)), "2*N");
    ck_assert_str_eq(text(gm_dim_add(symbols, flat, 1)), "784*N + 1");
    ck_assert_str_eq(text(gm_dim_sub(symbols, 5, n)), "-N + 5");
    ck_assert_str_eq(text(gm_dim_mul(symbols, n, c)), "N*C");
    ck_assert_str_eq(text(gm_dim_unknown(symbols)), "?");
    ck_assert_str_eq(text(GM_DIM_ERROR), "error");
    ck_assert_str_eq(gm_dims_print(symbols, 4, (gm_dim[]){n, 1, 28, 28}, buffer, sizeof buffer), "[N, 1, 28, 28]");
    ck_assert_str_eq(gm_dims_print(symbols, 0, NULL, buffer, sizeof buffer), "[]");
    ck_assert_str_eq(gm_dim_print(symbols, flat, small, sizeof small), "784*N");
    ck_assert_str_eq(gm_dim_print(symbols, flat, small, 4), "784");
}
END_TEST

START_TEST(DeepQuotientsEndInsteadOfOverflowing)
{
    gm_dim dim = n, last = n;
    for (int i = 0; i < 1000 && dim != GM_DIM_ERROR; i++) {
        last = dim;
        dim = gm_dim_window(symbols, gm_dim_add(symbols, dim, gm_dim_mul(symbols, dim, c)), 1, 3, 0, false);
    }
    ck_assert(dim == GM_DIM_ERROR);
    gm_dim_bind(symbols, last, &(gm_binding){n, 5}, 1);
    ck_assert_int_eq(gm_dim_bind(symbols, last, (gm_binding[]){{n, 5}, {c, 1}}, 2), 1);
    ck_assert_ptr_nonnull(text(last));
}
END_TEST

/* Against plain numbers: random expressions, bound, equal the same computation on numbers. */
START_TEST(RandomExpressionsBindToTheirValue)
{
    uint64_t state = 1;
    for (int round = 0; round < 2000; round++) {
        int64_t values[2], value;
        gm_dim dim;
        state = state * 6364136223846793005u + 1442695040888963407u;
        values[0] = 1 + (int64_t)(state >> 33) % 50;
        values[1] = 1 + (int64_t)(state >> 43) % 50;
        dim = n;
        value = values[0];
        for (int i = 0; i < 6; i++) {
            int64_t number = 1 + (int64_t)(state >> (20 + i)) % 7;
            bool other = state >> (40 + i) & 1;
            gm_dim operand = other ? c : number;
            int64_t operand_value = other ? values[1] : number;
            switch (state >> (10 + 2 * i) & 3) {
            case 0:
                dim = gm_dim_add(symbols, dim, operand);
                value += operand_value;
                break;
            case 1:
                if (value < 100000) {
                    dim = gm_dim_mul(symbols, dim, operand);
                    value *= operand_value;
                }
                break;
            case 2:
                dim = gm_dim_window(symbols, dim, 0, number, 2, false);
                value = value / number + 2;
                break;
            default:
                dim = gm_dim_window(symbols, dim, 3, number, 1, true);
                value = (value + 3 + number - 1) / number + 1;
            }
        }
        ck_assert(dim != GM_DIM_ERROR);
        ck_assert_int_eq(gm_dim_bind(symbols, dim, (gm_binding[]){{n, values[0]}, {c, values[1]}}, 2), value);
    }
}
END_TEST

static void *refuse_after(size_t bytes, void *user)
{
    int *left = user;
    return (*left)-- > 0 ? malloc(bytes) : NULL;
}

static void release(void *memory, void *user)
{
    (void)user;
    free(memory);
}

START_TEST(NoMemoryIsAnError)
{
    int left = 4;
    gm_context_options options;
    gm_context *tight;
    gm_pool *small;
    gm_symbols *table;
    gm_dim dim = 0;
    gm_context_options_default(&options, sizeof options);
    options.allocate = refuse_after;
    options.release = release;
    options.user = &left;
    ck_assert_int_eq(gm_context_create(&options, &tight), GM_OK);
    small = gm_pool_create(tight);
    table = gm_symbols_create(small);
    ck_assert_ptr_nonnull(table);
    for (int i = 0; i < 100000 && dim != GM_DIM_ERROR; i++)
        dim = gm_dim_unknown(table);
    ck_assert(dim == GM_DIM_ERROR);
    gm_pool_destroy(small);
    gm_context_destroy(tight);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dim");
    TCase *all = tcase_create("dim");
    SRunner *runner;
    int failed;
    tcase_add_checked_fixture(all, setup, teardown);
    tcase_add_test(all, EqualPolynomialsAreOneNumber);
    tcase_add_test(all, NumbersStayNumbers);
    tcase_add_test(all, ImpossibleResultsAreErrors);
    tcase_add_test(all, DivisionIsExactOrAnError);
    tcase_add_test(all, WindowsOfNumbers);
    tcase_add_test(all, WindowsOfSymbolsSimplify);
    tcase_add_test(all, BindingReplacesSymbols);
    tcase_add_test(all, PrintsAsPeopleWrite);
    tcase_add_test(all, DeepQuotientsEndInsteadOfOverflowing);
    tcase_add_test(all, RandomExpressionsBindToTheirValue);
    tcase_add_test(all, NoMemoryIsAnError);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
