/* Every gradient rule against finite differences, first and second order; an operator that has a rule and no case here
 * fails the suite. */
#include "tests/gradcheck.h"

#include "ops/TEMPLATE.c" /* the worked example must work */

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IN(...)   .inputs = {__VA_ARGS__}
#define WITH(...) .attributes = {__VA_ARGS__}

static const gradcheck_case cases[] = {
    /* shape.c */
    {.op = "Identity", IN("Nx3")},
    {.op = "Reshape", IN("Nx6", "int 3 [0 2 -1]")},
    {.op = "Reshape", IN("Nx6", "int 2 [-1 3]")},
    {.op = "Reshape", IN("Nx6", "int 1 [-1]")},
    {.op = "Flatten", IN("Nx3x2")},
    {.op = "Flatten", IN("2x3x2"), WITH(GRAD_INT("axis", -1))},
    {.op = "Squeeze", IN("Nx1x2", "int 1 [1]")},
    {.op = "Squeeze", IN("1x3x1")},
    {.op = "Unsqueeze", IN("Nx2", "int 2 [0 -1]")},
    {.op = "Transpose", IN("Nx3x4"), WITH(GRAD_INTS("perm", 2, 0, 1))},
    {.op = "Transpose", IN("Nx3")},
    {.op = "Expand", IN("3x1", "int 3 [2 1 4]")},
    {.op = "Expand", IN("scalar", "int 2 [2 3]")},
    /* move.c */
    {.op = "Concat", IN("Nx2", "Nx3"), WITH(GRAD_INT("axis", 1))},
    {.op = "Concat", IN("Nx2", "3x2", "Nx2"), WITH(GRAD_INT("axis", 0))},
    {.op = "Slice", IN("Nx5", "int 1 [1]", "int 1 [-1]", "int 1 [1]")},
    {.op = "Slice", IN("4x5", "int 2 [-1 4]", "int 2 [-9 0]", "int 2 [0 1]", "int 2 [-1 -2]")},
    {.op = "Slice", IN("Nx5", "int 1 [0]", "int 1 [1]")},
    {.op = "gmodel.SliceGrad", IN("2x2", "int 2 [2 5]", "int 1 [1]", "int 1 [5]", "int 1 [1]", "int 1 [2]")},
    {.op = "Split", IN("Nx5"), WITH(GRAD_INT("axis", 1), GRAD_INT("num_outputs", 2)), .outputs = 2},
    {.op = "Split", IN("Nx5", "int 3 [1 3 1]"), WITH(GRAD_INT("axis", -1)), .outputs = 3, .unseeded = 2},
    /* elementwise_ops.c, elementwise_more.c */
    {.op = "Add", IN("Nx3", "Nx3")},
    {.op = "Add", IN("Nx1x3", "2x1")},
    {.op = "Sub", IN("Nx3", "Nx3")},
    {.op = "Sub", IN("Nx1x3", "2x1")},
    {.op = "Mul", IN("Nx3", "Nx3")},
    {.op = "Mul", IN("Nx1x3", "2x1")},
    {.op = "Div", IN("Nx3", "Nx3 0.5 2")},
    {.op = "Div", IN("3", "Nx1 0.5 2")},
    {.op = "Pow", IN("Nx3 0.5 2", "3")},
    {.op = "Pow", IN("Nx3", "double scalar [2]")},
    {.op = "Pow", IN("Nx3", "double scalar [3]")},
    {.op = "Mod", IN("Nx3 2.1 2.9", "double scalar [2]"), WITH(GRAD_INT("fmod", 1))},
    {.op = "Neg", IN("Nx3")},
    {.op = "Abs", IN("Nx3")},
    {.op = "Exp", IN("Nx3")},
    {.op = "Sin", IN("Nx3")},
    {.op = "Cos", IN("Nx3")},
    {.op = "Erf", IN("Nx3")},
    {.op = "Relu", IN("Nx3")},
    {.op = "LeakyRelu", IN("Nx3")},
    {.op = "Tanh", IN("Nx3")},
    {.op = "Sigmoid", IN("Nx3")},
    {.op = "Softplus", IN("Nx3")},
    {.op = "Elu", IN("Nx3")},
    {.op = "Selu", IN("Nx3")},
    {.op = "HardSigmoid", IN("Nx3")},
    {.op = "Softsign", IN("Nx3")},
    {.op = "Mish", IN("Nx3")},
    {.op = "Gelu", IN("Nx3")},
    {.op = "HardSwish", IN("Nx3 -4 4"), .kinks = {-3, 3}},
    {.op = "Gelu", IN("Nx3"), WITH(GRAD_STRING("approximate", "tanh"))},
    {.op = "Gelu", IN("Nx3"), WITH(GRAD_STRING("approximate", "none"))},
    {.op = "Log", IN("Nx3 0.5 2")},
    {.op = "Sqrt", IN("Nx3 0.5 2")},
    {.op = "Reciprocal", IN("Nx3 0.5 2")},
    {.op = "LeakyRelu", IN("Nx3"), WITH(GRAD_FLOAT("alpha", 0.3))},
    {.op = "Elu", IN("Nx3"), WITH(GRAD_FLOAT("alpha", 0.7))},
    {.op = "PRelu", IN("Nx3x2", "3x1")},
    {.op = "Min", IN("Nx3", "Nx3", "3")},
    {.op = "Max", IN("Nx3", "Nx3", "3")},
    {.op = "Sum", IN("Nx3", "Nx3", "3")},
    {.op = "Mean", IN("Nx3", "Nx3", "3")},
    {.op = "Clip", IN("Nx5", "double scalar [-0.5]", "double scalar [0.5]"), .kinks = {-0.5, 0.5}},
    {.op = "Where", IN("bool 2x3 [1 0 1 0 0 1]", "2x3", "3")},
    {.op = "Cast", IN("Nx3"), WITH(GRAD_INT("to", GM_DOUBLE))},
    {.op = "ThresholdedRelu", IN("Nx3"), WITH(GRAD_FLOAT("alpha", 0.5)), .kinks = {0.5}},
    {.op = "Celu", IN("Nx3"), WITH(GRAD_FLOAT("alpha", 0.7))},
    {.op = "Shrink", IN("Nx3"), WITH(GRAD_FLOAT("lambd", 0.5), GRAD_FLOAT("bias", 0.3)), .kinks = {-0.5, 0.5}},
    {.op = "Swish", IN("Nx3"), WITH(GRAD_FLOAT("alpha", 0.7))},
    {.op = "SwiGLU", IN("Nx3", "Nx3")},
    {.op = "CastLike", IN("Nx3", "double 1 [0]")},
    /* trigonometry.c */
    {.op = "Tan", IN("Nx3 -1 1")},
    {.op = "Asin", IN("Nx3 -0.9 0.9")},
    {.op = "Acos", IN("Nx3 -0.9 0.9")},
    {.op = "Atan", IN("Nx3")},
    {.op = "Sinh", IN("Nx3")},
    {.op = "Cosh", IN("Nx3")},
    {.op = "Asinh", IN("Nx3")},
    {.op = "Acosh", IN("Nx3 1.5 3")},
    {.op = "Atanh", IN("Nx3 -0.8 0.8")},
    /* random.c */
    {.op = "Dropout", IN("4x5", "double scalar [0.4]", "bool scalar [1]"), .outputs = 2},
    /* gather.c */
    {.op = "Gather", IN("4x3", "int 2x2 [0 3 -1 0]")},
    {.op = "Gather", IN("Nx3x2", "int 3 [2 0 2]"), WITH(GRAD_INT("axis", 1))},
    {.op = "Gather", IN("Nx3", "int scalar [1]"), WITH(GRAD_INT("axis", 1))},
    {.op = "gmodel.GatherGrad", IN("3x2", "int 3 [1 3 1]", "int 2 [4 2]")},
    {.op = "GatherElements", IN("Nx4", "int 2x2 [0 3 -1 -1]"), WITH(GRAD_INT("axis", 1))},
    {.op = "gmodel.GatherElementsGrad", IN("2x2", "int 2x2 [0 3 1 1]", "int 2 [2 4]"), WITH(GRAD_INT("axis", 1))},
    /* resize.c */
    {.op = "Upsample", IN("Nx3", "float 2 [1 2]")},
    {.op = "Resize", IN("Nx2x3", "", "float 3 [1 2 1.5]"), WITH(GRAD_STRING("mode", "linear"))},
    {.op = "Resize", IN("Nx2x3", "", "float 3 [1 2 2]")},
    {.op = "Resize",
     IN("Nx4x3", "", "", "int 2 [2 5]"),
     WITH(GRAD_STRING("mode", "cubic"), GRAD_INT("antialias", 1), GRAD_INTS("axes", 1, 2))},
    {.op = "Resize",
     IN("Nx4", "double 2 [-0.25 0.75]", "", "int 1 [3]"),
     WITH(GRAD_STRING("mode", "linear"), GRAD_STRING("coordinate_transformation_mode", "tf_crop_and_resize"),
          GRAD_FLOAT("extrapolation_value", 2), GRAD_INTS("axes", 1))},
    {.op = "gmodel.ResizeGrad",
     IN("2x5", "int 2 [2 3]", "", "", "int 1 [5]"),
     WITH(GRAD_STRING("mode", "linear"), GRAD_INTS("axes", 1))},
    /* rearrange.c, select.c */
    {.op = "Tile", IN("Nx3", "int 2 [2 3]")},
    {.op = "DepthToSpace", IN("Nx8x2x3"), WITH(GRAD_INT("blocksize", 2))},
    {.op = "SpaceToDepth", IN("Nx2x4x2"), WITH(GRAD_INT("blocksize", 2), GRAD_STRING("mode", "CRD"))},
    {.op = "Trilu", IN("Nx3x4", "int 1 [1]")},
    {.op = "ReverseSequence", IN("4x3x2", "int 3 [2 4 0]")},
    {.op = "CenterCropPad", IN("Nx5x2", "int 2 [2 5]"), WITH(GRAD_INTS("axes", 1, 2))},
    {.op = "Compress", IN("3x2", "bool 3 [1 0 1]"), WITH(GRAD_INT("axis", 0))},
    {.op = "Compress", IN("3x2", "bool 5 [1 0 0 1 1]")},
    /* scatter.c, scan.c */
    {.op = "ScatterElements", IN("Nx4", "int 2x2 [0 3 2 -3]", "2x2"), WITH(GRAD_INT("axis", 1))},
    {.op = "ScatterElements",
     IN("3x2", "int 2x2 [0 0 0 2]", "2x2"),
     WITH(GRAD_INT("axis", 0), GRAD_STRING("reduction", "add"))},
    {.op = "Scatter", IN("3x2", "int 1x2 [0 2]", "1x2")},
    {.op = "ScatterND", IN("3x2x2", "int 2x2 [0 1 2 -1]", "2x2")},
    {.op = "ScatterND", IN("3x2", "int 3x1 [1 1 0]", "3x2"), WITH(GRAD_STRING("reduction", "add"))},
    {.op = "GatherND", IN("3x2x2", "int 3x2 [0 1 2 -1 0 1]")},
    {.op = "GatherND", IN("Nx3x2", "int 2x2x1 [0 2 1 1]"), WITH(GRAD_INT("batch_dims", 1))},
    {.op = "gmodel.GatherNDGrad", IN("3x2", "int 3x1 [1 1 0]", "int 2 [4 2]")},
    {.op = "CumSum", IN("Nx3x2", "int scalar [1]")},
    {.op = "CumSum", IN("Nx3", "int scalar [-1]"), WITH(GRAD_INT("exclusive", 1), GRAD_INT("reverse", 1))},
    /* einsum.c */
    {.op = "Einsum", IN("Nx3", "2x3"), WITH(GRAD_STRING("equation", "ni,oi->no"))},
    {.op = "Einsum", IN("Nx2x3", "Nx3x2", "2"), WITH(GRAD_STRING("equation", "bij,bjk,k->ib"))},
    {.op = "Einsum", IN("Nx3x3"), WITH(GRAD_STRING("equation", "...ii->...i"))},
    {.op = "Einsum", IN("NxNx2"), WITH(GRAD_STRING("equation", "abc->ca"))},
    {.op = "Einsum", IN("Nx2", "1x2"), WITH(GRAD_STRING("equation", "ab,ab->b"))},
    /* reduce.c */
    {.op = "ReduceSum", IN("Nx3x2", "int 2 [0 -1]"), WITH(GRAD_INT("keepdims", 0))},
    {.op = "ReduceSum", IN("Nx3x2", "int 1 [1]")},
    {.op = "ReduceSum", IN("Nx3")},
    {.op = "ReduceMean", IN("Nx3x2", "int 2 [0 -1]"), WITH(GRAD_INT("keepdims", 0))},
    {.op = "ReduceMean", IN("Nx3x2", "int 1 [1]")},
    {.op = "ReduceMean", IN("Nx3")},
    {.op = "ReduceMax", IN("Nx3x2", "int 2 [0 -1]"), WITH(GRAD_INT("keepdims", 0))},
    {.op = "ReduceMax", IN("Nx3x2", "int 1 [1]")},
    {.op = "ReduceMax", IN("Nx3")},
    {.op = "ReduceMin", IN("Nx3x2", "int 2 [0 -1]"), WITH(GRAD_INT("keepdims", 0))},
    {.op = "ReduceMin", IN("Nx3x2", "int 1 [1]")},
    {.op = "ReduceMin", IN("Nx3")},
    {.op = "ReduceMean", IN("Nx3"), WITH(GRAD_INT("noop_with_empty_axes", 1))},
    {.op = "ReduceProd", IN("Nx3 0.5 2", "int 1 [1]"), WITH(GRAD_INT("keepdims", 0))},
    {.op = "gmodel.SumTo", IN("Nx3x2", "int 2 [1 2]")},
    {.op = "gmodel.SumTo", IN("Nx3x2", "int 0")},
    /* reduce_more.c */
    {.op = "ReduceL1", IN("Nx3x2", "int 1 [1]"), WITH(GRAD_INT("keepdims", 0))},
    {.op = "ReduceL2", IN("Nx3x2", "int 1 [1]"), WITH(GRAD_INT("keepdims", 0))},
    {.op = "ReduceSumSquare", IN("Nx3x2", "int 1 [1]"), WITH(GRAD_INT("keepdims", 0))},
    {.op = "ReduceLogSumExp", IN("Nx3x2", "int 1 [1]"), WITH(GRAD_INT("keepdims", 0))},
    {.op = "ReduceLogSum", IN("Nx3 0.5 2", "int 1 [1]")},
    /* arg.c, pad.c */
    {.op = "TopK", IN("Nx5", "int 1 [2]"), .outputs = 2},
    {.op = "TopK", IN("Nx5x2", "int 1 [3]"), WITH(GRAD_INT("axis", 1), GRAD_INT("largest", 0))},
    {.op = "Pad", IN("Nx3", "int 4 [0 1 1 2]", "scalar")},
    {.op = "Pad", IN("2x5", "int 2 [-1 2]", "", "int 1 [-1]")},
    /* cross_entropy.c */
    {.op = "SoftmaxCrossEntropyLoss", IN("3x4", "int 3 [1 0 3]")},
    {.op = "SoftmaxCrossEntropyLoss",
     IN("2x3x2", "int 2x2 [1 0 9 2]", "double 3 [0.5 1 2]"),
     WITH(GRAD_INT("ignore_index", 9)),
     .outputs = 2},
    {.op = "SoftmaxCrossEntropyLoss", IN("3x4", "int 3 [1 0 3]"), WITH(GRAD_STRING("reduction", "none"))},
    {.op = "NegativeLogLikelihoodLoss", IN("3x4", "int 3 [1 0 3]"), WITH(GRAD_STRING("reduction", "sum"))},
    /* softmax.c */
    {.op = "Softmax", IN("Nx3x2"), WITH(GRAD_INT("axis", 1))},
    {.op = "Softmax", IN("Nx4")},
    {.op = "LogSoftmax", IN("Nx3x2"), WITH(GRAD_INT("axis", 1))},
    {.op = "LogSoftmax", IN("Nx4")},
    /* conv.c */
    {.op = "Conv", IN("Nx2x4x3", "2x2x3x2", "2"), WITH(GRAD_INTS("pads", 1, 0, 1, 1), GRAD_INTS("strides", 2, 1))},
    {.op = "Conv", IN("1x4x4", "4x2x2", "4"), WITH(GRAD_INT("group", 2), GRAD_INTS("dilations", 2))},
    {.op = "ConvTranspose",
     IN("Nx2x2x3", "2x2x3x2", "2"),
     WITH(GRAD_INTS("strides", 2, 1), GRAD_INTS("pads", 1, 0, 0, 1), GRAD_INTS("output_padding", 1, 0))},
    {.op = "gmodel.ConvWeightGrad",
     IN("Nx2x3x3", "Nx2x2x2"),
     WITH(GRAD_INTS("kernel_shape", 3, 2), GRAD_INTS("pads", 1, 0, 0, 0))},
    {.op = "gmodel.ConvWeightGrad",
     IN("Nx2x3x3", "Nx2x2x2"),
     WITH(GRAD_INTS("kernel_shape", 3, 2), GRAD_INTS("pads", 1, 0, 0, 0)),
     .outputs = 2},
    {.op = "gmodel.ConvWeightGrad",
     IN("Nx2x4", "Nx2x2"),
     WITH(GRAD_INTS("kernel_shape", 3)),
     .outputs = 2,
     .unseeded = 1},
    /* norm.c */
    {.op = "BatchNormalization", IN("Nx2x3", "2", "2", "2", "2 0.5 2")},
    {.op = "BatchNormalization", IN("Nx2x3", "2", "2", "2", "2 0.5 2"), .training = 1, .outputs = 3},
    {.op = "gmodel.BatchNormalizationTraining", IN("3x2x2", "2", "2"), WITH(GRAD_FLOAT("epsilon", 0.1)), .outputs = 3},
    {.op = "gmodel.BatchNormalizationGrad", IN("Nx2x2", "2", "2", "2 0.5 2", "Nx2x2"), .outputs = 3},
    {.op = "gmodel.BatchNormalizationGrad",
     IN("Nx2x2", "2", "2", "2 0.5 2", "Nx2x2", "Nx2x2"),
     WITH(GRAD_FLOAT("slope", 0.3)),
     .outputs = 3},
    /* norm_more.c */
    {.op = "LayerNormalization", IN("Nx3x2", "3x2", "2"), WITH(GRAD_INT("axis", 1)), .outputs = 3},
    {.op = "LayerNormalization", IN("Nx4", "4"), WITH(GRAD_FLOAT("epsilon", 0.1))},
    {.op = "RMSNormalization", IN("Nx3x2", "3x1"), WITH(GRAD_INT("axis", -2))},
    {.op = "InstanceNormalization", IN("Nx2x3", "2", "2"), WITH(GRAD_FLOAT("epsilon", 0.1))},
    {.op = "GroupNormalization", IN("Nx4x2", "4", "4"), WITH(GRAD_INT("num_groups", 2), GRAD_FLOAT("epsilon", 0.1))},
    {.op = "MeanVarianceNormalization", IN("2x2x2x3")},
    {.op = "MeanVarianceNormalization", IN("Nx3"), WITH(GRAD_INTS("axes", -1))},
    {.op = "LpNormalization", IN("Nx3x2"), WITH(GRAD_INT("axis", 1))},
    {.op = "LpNormalization", IN("Nx3"), WITH(GRAD_INT("p", 1))},
    {.op = "LRN", IN("Nx4x2"), WITH(GRAD_INT("size", 3), GRAD_FLOAT("alpha", 0.5))},
    {.op = "LRN", IN("Nx3"), WITH(GRAD_INT("size", 2), GRAD_FLOAT("bias", 2.0), GRAD_FLOAT("alpha", 0.5))},
    /* pool_more.c */
    {.op = "GlobalAveragePool", IN("Nx2x3")},
    {.op = "GlobalMaxPool", IN("Nx2x3x2")},
    {.op = "GlobalLpPool", IN("Nx2x3")},
    {.op = "GlobalLpPool", IN("Nx2x3"), WITH(GRAD_INT("p", 3))},
    {.op = "LpPool", IN("Nx2x4"), WITH(GRAD_INTS("kernel_shape", 2), GRAD_INTS("strides", 2))},
    /* recurrent.c */
    {.op = "RNN", IN("3xNx2", "1x2x2", "1x2x2", "1x4"), .outputs = 2},
    {.op = "GRU",
     IN("2x2x2", "2x6x2", "2x6x2", "2x12", "int32 2 [2 1]", "2x2x2"),
     WITH(GRAD_STRING("direction", "bidirectional")),
     .outputs = 2,
     .no_second = 1},
    {.op = "GRU", IN("2xNx1", "1x3x1", "1x3x1", "1x6"), WITH(GRAD_INT("linear_before_reset", 1))},
    {.op = "LSTM", IN("2xNx2", "1x4x2", "1x4x1", "1x8", "", "1xNx1", "1xNx1", "1x3"), .outputs = 3, .no_second = 1},
    {.op = "LSTM", IN("Nx3x1", "1x4x1", "1x4x1"), WITH(GRAD_INT("layout", 1), GRAD_STRING("direction", "reverse"))},
    /* linear_attention.c */
    {.op = "LinearAttention",
     IN("2x2x2", "2x2x1", "2x2x2", "2x1x1x2", "2x2x1", "2x2x1"),
     WITH(GRAD_INT("q_num_heads", 2), GRAD_INT("kv_num_heads", 1)),
     .outputs = 2,
     .no_second = 1},
    {.op = "CausalConvWithState",
     IN("Nx2x3", "2x1x2", "2", "Nx2x1"),
     WITH(GRAD_STRING("activation", "silu")),
     .outputs = 2},
    /* quantize.c */
    {.op = "DequantizeLinear", IN("int8 2x3 [1 2 3 4 5 -6]", "3", "int8 3 [1 0 -1]")},
    {.op = "DequantizeLinear",
     IN("uint8 3x2 [1 2 3 4 5 6]", "2x2"),
     WITH(GRAD_INT("axis", 0), GRAD_INT("block_size", 2))},
    /* attention.c */
    {.op = "Attention", IN("Nx2x2x3", "Nx2x3x3", "Nx2x3x2", "2x3"), WITH(GRAD_INT("is_causal", 1))},
    {.op = "Attention",
     IN("Nx2x4", "Nx3x2", "Nx3x1", "bool 2x3 [1 0 1 0 0 0]", "Nx1x1x2", "Nx1x1x1"),
     WITH(GRAD_INT("q_num_heads", 2), GRAD_INT("kv_num_heads", 1), GRAD_FLOAT("softcap", 2.0)),
     .outputs = 3},
    {.op = "RotaryEmbedding",
     IN("2x2x2x6", "3x2", "3x2", "int 2x2 [1 0 2 2]"),
     WITH(GRAD_INT("rotary_embedding_dim", 4))},
    {.op = "RotaryEmbedding",
     IN("Nx2x4", "Nx2x1", "Nx2x1"),
     WITH(GRAD_INT("num_heads", 2), GRAD_INT("interleaved", 1))},
    /* pool.c */
    {.op = "MaxPool",
     IN("Nx2x5x4"),
     WITH(GRAD_INTS("kernel_shape", 3, 2), GRAD_INTS("strides", 2, 1), GRAD_INTS("pads", 1, 0, 1, 1),
          GRAD_INT("ceil_mode", 1))},
    {.op = "gmodel.MaxPoolGrad", IN("Nx2x5", "Nx2x4"), WITH(GRAD_INTS("kernel_shape", 2))},
    {.op = "AveragePool",
     IN("Nx2x5x4"),
     WITH(GRAD_INTS("kernel_shape", 3, 2), GRAD_INTS("strides", 2, 1), GRAD_STRING("auto_pad", "SAME_LOWER"))},
    {.op = "gmodel.AveragePoolGrad",
     IN("Nx2x3"),
     WITH(GRAD_INTS("kernel_shape", 3), GRAD_INTS("strides", 2), GRAD_INTS("pads", 1, 1), GRAD_INTS("input_shape", 5),
          GRAD_INT("count_include_pad", 1))},
    /* matmul.c */
    {.op = "MatMul", IN("Nx3", "3x2")},
    {.op = "MatMul", IN("Nx2x3", "3x2")},
    {.op = "MatMul", IN("2x2x3", "1x3x2")},
    {.op = "MatMul", IN("3", "Nx3x2")},
    {.op = "MatMul", IN("Nx3", "3")},
    {.op = "Gemm", IN("Nx3", "3x2", "2")},
    {.op = "Gemm",
     IN("3xN", "2x3", "Nx2"),
     WITH(GRAD_INT("transA", 1), GRAD_INT("transB", 1), GRAD_FLOAT("alpha", 0.5), GRAD_FLOAT("beta", 2.0))},
    /* deform_conv.c: the offsets keep between pixels */
    {.op = "Col2Im", IN("Nx4x6", "int 2 [3 4]", "int 2 [2 2]")},
    {.op = "Col2Im", IN("Nx6x3", "int 1 [4]", "int 1 [3]"), WITH(GRAD_INTS("pads", 2, 1), GRAD_INTS("dilations", 2))},
    {.op = "DeformConv",
     IN("Nx2x3x3", "2x1x2x2", "Nx16x2x2 0.2 0.4", "2", "Nx8x2x2"),
     WITH(GRAD_INT("group", 2), GRAD_INT("offset_group", 2)),
     .no_second = 1},
    {.op = "DeformConv", IN("1x1x4", "2x1x2", "1x2x4 0.2 0.4"), WITH(GRAD_INTS("pads", 1, 0)), .no_second = 1},
    /* grid_sample.c: no point comes near a kink of an axis of 3 or 4 pixels */
    {.op = "AffineGrid", IN("Nx2x3", "int 4 [2 1 3 2]")},
    {.op = "GridSample", IN("1x2x3x4", "1x2x2x2 0.3 0.6"), .no_second = 1},
    {.op = "GridSample", IN("1x1x3x4", "1x2x2x2 -1.2 -1.05"), .no_second = 1},
    {.op = "GridSample",
     IN("1x1x3x4", "1x2x2x2 1.05 1.2"),
     WITH(GRAD_STRING("padding_mode", "reflection")),
     .no_second = 1},
    {.op = "GridSample",
     IN("Nx1x3x4", "Nx1x2x2 0.35 0.6"),
     WITH(GRAD_STRING("mode", "cubic"), GRAD_STRING("padding_mode", "border"), GRAD_INT("align_corners", 1)),
     .no_second = 1},
    {.op = "GridSample",
     IN("1x1x3x4", "1x2x2x2 -1.5 -1.4"),
     WITH(GRAD_STRING("mode", "cubic"), GRAD_STRING("padding_mode", "border")),
     .no_second = 1},
    {.op = "GridSample", IN("1x2x3x4", "1x2x2x2 0.3 0.6"), WITH(GRAD_STRING("mode", "nearest")), .no_second = 1},
    {.op = "GridSample", IN("1x1x2x3x2", "1x1x2x1x3 0.3 0.4"), .no_second = 1},
    /* vision.c, det.c */
    {.op = "RoiAlign",
     IN("2x2x3x4", "double 2x4 [0 0 3 2 1 0.5 3.5 2]", "int 2 [1 0]"),
     WITH(GRAD_INT("output_height", 2), GRAD_INT("output_width", 3), GRAD_FLOAT("spatial_scale", 0.9))},
    {.op = "gmodel.RoiAlignGrad", IN("1x2x1x1", "double 1x4 [0 0 3 2]", "int 1 [0]", "int 4 [1 2 3 4]")},
    {.op = "Det", IN("Nx3x3"), .no_second = 1},
};

/* Rules that no finite difference can check, and why. */
static const char *const exempt[] = {
    "gmodel.Detach", /* its gradient is none by definition */
};

static void full_name(const gm_operator *op, char *buffer, size_t bytes)
{
    snprintf(buffer, bytes, "%s%s%s", op->domain, *op->domain ? "." : "", op->name);
}

START_TEST(RuleAgreesWithDifferences)
{
    if (gm_operator_find_name(cases[_i].op))
        gradcheck(&cases[_i]);
}
END_TEST

START_TEST(TemplateAgreesWithDifferences)
{
    gradcheck(
        &(gradcheck_case){.op = "gmodel.Swish", .definition = &gm_op_swish, IN("Nx3"), WITH(GRAD_FLOAT("beta", 0.5))});
}
END_TEST

START_TEST(EveryRuleHasACase)
{
    char missing[2048] = "", name[128];
    for (size_t i = 0; i < gm_operator_count(); i++) {
        const gm_operator *op = gm_operator_at(i);
        bool found = !op || (!op->gradient && (!op->expand || op->zero_gradient));
        if (found)
            continue;
        full_name(op, name, sizeof name);
        for (size_t k = 0; k < GM_COUNT(cases); k++)
            found = found || strcmp(cases[k].op, name) == 0;
        for (size_t k = 0; k < GM_COUNT(exempt); k++)
            found = found || strcmp(exempt[k], name) == 0;
        if (!found && strlen(missing) + strlen(name) + 2 < sizeof missing)
            strcat(strcat(missing, " "), name);
    }
    ck_assert_msg(!*missing, "operators with a gradient and no case in test_gradients.c:%s", missing);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gradients");
    TCase *all = tcase_create("gradients");
    SRunner *runner;
    int failed;
    tcase_set_timeout(all, 60);
    tcase_add_loop_test(all, RuleAgreesWithDifferences, 0, (int)GM_COUNT(cases));
    tcase_add_test(all, TemplateAgreesWithDifferences);
    tcase_add_test(all, EveryRuleHasACase);
    suite_add_tcase(suite, all);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
