/* Elaboration: data sets, and what of them feeds steps and samples. */
#include "graph/container.h"
#include "graph/elaborate.h"

#include <string.h>

/* --- Declarations --- */

static bool take_range(elaborator *e, const gm_ast_expression *range, gm_data_field *field)
{
    el_value value = el_evaluate_attribute(e, range);
    if (value.kind == EL_FAILED)
        return false;
    if (value.kind != EL_LIST || value.count != 2) {
        el_error(e, range->where, "the range of a field is a list of two numbers: in [0, 1]");
        return false;
    }
    field->has_range = true;
    if (!el_to_number(e, value.items[0], range->where, "the low end of the range", &field->low) ||
        !el_to_number(e, value.items[1], range->where, "the high end of the range", &field->high))
        return false;
    if (field->low < field->high)
        return true;
    el_error(e, range->where, "the range of a field goes from low to high, found [%.9g, %.9g]", field->low,
             field->high);
    return false;
}

static bool take_field(elaborator *e, const gm_ast_field *from, gm_data_field *field)
{
    gm_dim dims[GM_MAX_RANK];
    el_frame frame = {0};
    bool good;
    field->name = from->name;
    field->where = from->where;
    field->type = from->type->type;
    if (from->type->any_shape) {
        el_error(e, from->where, "the shape of field '%s' must be written out", from->name);
        return false;
    }
    e->frame = &frame;
    good = el_type_dims(e, from->type, &field->rank, dims);
    e->frame = NULL;
    for (int i = 0; good && i < field->rank; i++) {
        if (!gm_dim_is_known(dims[i])) {
            el_error(e, from->where, "the shape of field '%s' must be made of numbers", from->name);
            return false;
        }
        field->dims[i] = dims[i];
    }
    return good && (!from->range || take_range(e, from->range, field));
}

static bool is_field_twice(elaborator *e, const gm_ast_declaration *from, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (strcmp(from->fields[i].name, from->fields[index].name) == 0) {
            el_error(e, from->fields[index].where, "the data set '%s' has two fields called '%s'", from->names[0],
                     from->fields[i].name);
            return true;
        }
    return false;
}

static bool is_attribute_twice(const gm_ast_declaration *from, size_t index)
{
    for (size_t i = 0; i < index; i++)
        if (from->attributes.items[i].name &&
            strcmp(from->attributes.items[i].name, from->attributes.items[index].name) == 0)
            return true;
    return false;
}

void el_data_declaration(elaborator *e, const gm_ast_declaration *from)
{
    gm_data_declaration *data = &e->program->data[e->program->data_count];
    gm_attribute *attributes = gm_pool_array(e->pool, from->attributes.count + 1, sizeof *attributes);
    if (gm_program_data(e->program, from->names[0])) {
        el_error(e, from->where, "the data set '%s' is declared twice", from->names[0]);
        return;
    }
    data->name = from->names[0];
    data->source = from->text;
    data->where = from->where;
    data->fields = gm_pool_array(e->pool, from->field_count + 1, sizeof *data->fields);
    if (!attributes || !data->fields) {
        el_out_of_memory(e);
        return;
    }
    for (size_t i = 0; i < from->attributes.count; i++) {
        const gm_ast_attribute *item = &from->attributes.items[i];
        if (!item->name || !item->value) {
            el_error(e, item->where, "attributes of a data set have names: %s <name = value>", from->text);
            continue;
        }
        if (is_attribute_twice(from, i)) {
            el_error(e, item->where, "the attribute '%s' is given twice", item->name);
            continue;
        }
        if (el_to_attribute(e, item->name, 0, el_evaluate_attribute(e, item->value), item->where,
                            &attributes[data->attribute_count]))
            data->attribute_count++;
    }
    data->attributes = attributes;
    for (size_t i = 0; i < from->field_count; i++)
        if (!is_field_twice(e, from, i) && take_field(e, &from->fields[i], &data->fields[data->field_count]))
            data->field_count++;
    e->program->data_count++;
}

/* --- Tables that sets export --- */

bool el_is_data_set(const elaborator *e, const char *name)
{
    const gm_ast_file *file = e->frame && e->frame->scope ? e->frame->scope->file : e->file;
    for (size_t i = 0; i < file->declaration_count; i++)
        if (file->declarations[i].kind == GM_AST_DATA_SET && file->declarations[i].name_count &&
            strcmp(file->declarations[i].names[0], name) == 0)
            return true;
    return false;
}

static bool keep_table(elaborator *e, const char *name, const gm_tensor *tensor)
{
    gm_program *program = e->program;
    if (!gm_pool_grow(e->pool, (void **)&program->tables, &program->table_capacity, program->table_count + 1,
                      sizeof *program->tables))
        return el_out_of_memory(e), false;
    program->tables[program->table_count++] = (gm_table_use){name, tensor};
    return true;
}

/* Asks for a table that is not in use yet. A set that cannot be opened is told like a mistake of the text. */
static const gm_tensor *ask_table(elaborator *e, const gm_data_declaration *data, const char *name, gm_location where)
{
    const gm_program_options *options = e->options;
    const gm_tensor *tensor = NULL;
    gm_report *before = gm_pool_copy(e->pool, gm_report_of(e->context), sizeof *before);
    gm_status status = GM_OK;
    if (!before)
        return el_out_of_memory(e), NULL;
    if (options && options->table)
        status = options->table(options->user, e->pool, data, name, &tensor);
    if (status == GM_ERROR_MEMORY)
        return el_out_of_memory(e), NULL;
    if (status != GM_OK) {
        e->fatal = status; /* the data set's own message stands */
        return NULL;
    }
    *gm_report_of(e->context) = *before; /* opening it has cleared the message */
    if (tensor)
        return tensor;
    el_error(e, where, "the data set has no table '%s'", strchr(name, '.') + 1);
    return NULL;
}

const gm_tensor *el_table(elaborator *e, const char *set, const char *table, gm_location where)
{
    const el_module *scope = e->frame ? e->frame->scope : NULL;
    const char *name = gm_pool_printf(e->pool, "%s%s.%s", scope ? scope->prefix : "", set, table);
    const gm_data_declaration *data = scope ? NULL : gm_program_data(e->program, set);
    const gm_tensor *tensor = NULL;
    if (!name)
        return el_out_of_memory(e), NULL;
    if (!scope && !data)
        return el_error(e, where, "'%s.%s' is known in bodies, not here: a const is made before the data are looked at",
                        set, table),
               NULL;
    for (size_t i = 0; i < e->program->table_count; i++)
        if (strcmp(e->program->tables[i].name, name) == 0)
            return e->program->tables[i].tensor;
    if (scope && scope->container) {
        if (gm_table_stored(e->pool, scope->container, name + strlen(scope->prefix), &tensor) != GM_OK)
            return el_out_of_memory(e), NULL;
        if (!tensor)
            el_error(e, where, "the loaded file has no table '%s.%s'", set, table);
    } else {
        tensor = ask_table(e, data, name, where);
    }
    return tensor && keep_table(e, name, tensor) ? tensor : NULL;
}

el_value el_table_value(elaborator *e, const char *set, const char *table, gm_location where)
{
    const gm_tensor *tensor = el_table(e, set, table, where);
    if (!tensor)
        return el_failed;
    if (tensor->type == GM_STRING)
        return el_error(e, where, "'%s.%s' are words: they stand behind `as` of a result", set, table);
    if (tensor->rank == 0)
        return gm_type_find(tensor->type)->floating ? el_real(gm_get(tensor, 0)) : el_integer(gm_get_int(tensor, 0));
    if (!e->graph || !e->frame)
        return el_error(e, where, "'%s.%s' is a table, not a number", set, table);
    return el_tensor(gm_graph_constant(e->graph, tensor));
}

/* --- Inputs of steps and fields of sets --- */

/* The field that feeds an input: "image", or "photos.image" where several sets have it. */
static const gm_data_field *field_named(const gm_data_declaration *data, const char *input)
{
    size_t length = strlen(data->name);
    if (strncmp(input, data->name, length) == 0 && input[length] == '.')
        input += length + 1;
    for (size_t i = 0; i < data->field_count; i++)
        if (strcmp(data->fields[i].name, input) == 0)
            return &data->fields[i];
    return NULL;
}

/* A row of the input and one of the field must hold the same number of elements. */
static bool field_fits(const gm_value *value, const gm_data_field *field)
{
    double input = 1, row = 1;
    for (int i = 1; i < value->rank; i++)
        input *= gm_dim_is_known(value->dims[i]) ? (double)value->dims[i] : -1;
    for (int i = 0; i < field->rank; i++)
        row *= (double)field->dims[i];
    return value->type == field->type && value->rank > 0 && input == row;
}

static void wrong_field(elaborator *e, const gm_entry *entry, const gm_graph_input *input, const gm_data_field *field)
{
    char found[160], dims_text[160] = "";
    gm_dim dims[GM_MAX_RANK];
    for (int i = 0; i < field->rank; i++)
        dims[i] = field->dims[i];
    if (field->rank)
        gm_dims_print(e->program->symbols, field->rank, dims, dims_text, sizeof dims_text);
    el_error(e, entry->where, "the input '%s' of '%s' is %s, but a row of the field '%s' is %s%s", input->name,
             entry->name, gm_shape_text(entry->graph, input->value, found, sizeof found), field->name,
             gm_type_name(field->type), dims_text);
}

static void check_input(elaborator *e, const gm_entry *entry, const gm_graph_input *input, const char *const *sets,
                        size_t set_count, gm_location where)
{
    const gm_data_field *field = NULL;
    gm_spelling spelling;
    if (!set_count) {
        el_error(e, where, "'%s' has the input '%s', but names no data set: %s %s on SET (...)", entry->name,
                 input->name, entry->kind == GM_ENTRY_SAMPLE ? "sample" : "evaluate", entry->name);
        return;
    }
    gm_spelling_init(&spelling, input->name);
    for (size_t s = 0; s < set_count; s++) {
        const gm_data_declaration *data = gm_program_data(e->program, sets[s]);
        const gm_data_field *found = data ? field_named(data, input->name) : NULL;
        if (found && field) {
            el_error(e, entry->where, "the input '%s' of '%s' is a field of several data sets: write %s.%s",
                     input->name, entry->name, sets[0], input->name);
            return;
        }
        field = found ? found : field;
        for (size_t i = 0; data && i < data->field_count; i++)
            gm_spelling_offer(&spelling, data->fields[i].name);
    }
    if (!field)
        el_error(e, entry->where, "the input '%s' of '%s' is not a field of the data set '%s'%s", input->name,
                 entry->name, sets[0], el_hint(e, &spelling));
    else if (!field_fits(gm_value_of(entry->graph, input->value), field))
        wrong_field(e, entry, input, field);
    else if (entry->kind == GM_ENTRY_SAMPLE && !gm_dim_is_known(gm_value_of(entry->graph, input->value)->dims[0]))
        el_error(e, entry->where, "the first dimension of the input '%s' of the sample '%s' must be a number of rows",
                 input->name, entry->name);
    else if (entry->kind != GM_ENTRY_SAMPLE &&
             gm_value_of(entry->graph, input->value)->dims[0] != gm_dim_symbol(e->program->symbols, "N"))
        el_error(e, entry->where, "the first dimension of the input '%s' of '%s' must be N, the batch", input->name,
                 entry->name);
}

void el_check_inputs(elaborator *e, gm_entry_kind kind, const char *name, const char *const *sets, size_t set_count,
                     gm_location where)
{
    const gm_entry *entry = gm_program_entry(e->program, kind, name);
    for (size_t i = 0; entry && i < entry->graph->input_count; i++) {
        const gm_graph_input *input = &entry->graph->inputs[i];
        if (!input->is_draw && strcmp(input->name, "epoch") != 0 && strcmp(input->name, "epochs") != 0 &&
            strcmp(input->name, "iteration") != 0)
            check_input(e, entry, input, sets, set_count, where);
    }
}
