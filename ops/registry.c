/* The table of operators, from ops.def. */
#include "graph/operator.h"

#include <string.h>

#define GM_OPERATOR(symbol) extern const gm_operator symbol;
#include "ops/ops.def"
#undef GM_OPERATOR

static const gm_operator *const operators[] = {
#define GM_OPERATOR(symbol) &symbol,
#include "ops/ops.def"
#undef GM_OPERATOR
};

size_t gm_operator_count(void)
{
    return GM_COUNT(operators);
}

const gm_operator *gm_operator_at(size_t index)
{
    return index < GM_COUNT(operators) ? operators[index] : NULL;
}

const gm_operator *gm_operator_find(const char *domain, const char *name)
{
    if (strcmp(domain, "ai.onnx") == 0)
        domain = "";
    for (size_t i = 0; i < GM_COUNT(operators); i++)
        if (strcmp(operators[i]->name, name) == 0 && strcmp(operators[i]->domain, domain) == 0)
            return operators[i];
    return NULL;
}

const gm_operator *gm_operator_find_name(const char *name)
{
    const char *dot = strrchr(name, '.');
    if (!dot)
        return gm_operator_find("", name);
    for (size_t i = 0; i < GM_COUNT(operators); i++) {
        const gm_operator *op = operators[i];
        size_t length = (size_t)(dot - name);
        if (strcmp(op->name, dot + 1) == 0 && strlen(op->domain) == length && strncmp(op->domain, name, length) == 0)
            return op;
    }
    return NULL;
}
