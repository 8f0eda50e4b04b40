// The public header in C++: compiled with warnings as a C++ application would, linked with the shared library, used once.
#include <gmodel/gmodel.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

int main()
{
    static const char text[] = "model m <gmodel = 1, opset = 21>\n"
                               "network twice (float[N, 2] x) => (float[N, 2] y) { y = x * 2 }\n";
    gm_context *context = nullptr;
    gm_model *model = nullptr;
    gm_session *session = nullptr;
    gm_session_options options;
    gm_tensor_view view;
    gm_session_options_default(&options, sizeof options);
    options.batch = 3;
    if (gm_context_create(nullptr, &context) != GM_OK ||
        gm_model_load_memory(context, text, std::strlen(text), "m.gmodel", nullptr, &model) != GM_OK ||
        gm_session_create(model, nullptr, &options, &session) != GM_OK ||
        gm_session_input(session, 0, &view) != GM_OK) {
        std::fprintf(stderr, "%s\n", gm_context_message(context));
        return 1;
    }
    std::unique_ptr<gm_session, void (*)(gm_session *)> owner(session, gm_session_destroy);
    std::vector<float> numbers{1, 2, 3, 4, 5, 6};
    std::memcpy(view.data, numbers.data(), view.bytes);
    bool good = gm_session_run(session) == GM_OK && gm_session_output(session, 0, &view) == GM_OK;
    for (std::size_t i = 0; good && i < numbers.size(); i++)
        good = static_cast<const float *>(view.data)[i] == 2 * numbers[i];
    owner.reset();
    gm_model_destroy(model);
    gm_context_destroy(context);
    std::printf("%s\n", good ? "ok" : "wrong numbers");
    return good ? 0 : 1;
}
