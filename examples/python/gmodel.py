"""gmodel from Python: a thin layer of ctypes over libgmodel, with NumPy arrays. No compiled parts.

    import gmodel
    with gmodel.Context() as context, context.load("model.onnx") as model:
        print(model.run({"z": numpy.zeros((16, 100), "float32")})["image"].shape)

The library is found as the loader finds it, or where the variable GMODEL_LIBRARY says. Every failure is a gmodel.Error with the
library's message. Types: those of NumPy; bfloat16 is not one of them.
"""
import ctypes
import os
import weakref
from ctypes import POINTER, byref, c_char_p, c_double, c_int, c_int64, c_size_t, c_uint64, c_void_p

import numpy

_TYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
          11: "float64", 12: "uint32", 13: "uint64"}


class _View(ctypes.Structure):  # gm_tensor_view
    _fields_ = [("name", c_char_p), ("type", c_int), ("rank", c_int), ("dims", c_int64 * 8), ("bytes", c_size_t),
                ("data", c_void_p)]


class _Value(ctypes.Structure):  # gm_value_info
    _fields_ = [("name", c_char_p), ("type", c_int), ("rank", c_int), ("dims", c_int64 * 8), ("symbols", c_char_p * 8)]


class _Parameter(ctypes.Structure):  # gm_parameter_info
    _fields_ = [("path", c_char_p), ("network", c_char_p), ("is_buffer", c_int), ("type", c_int), ("rank", c_int),
                ("dims", c_int64 * 8)]


class _Dimension(ctypes.Structure):  # gm_dimension
    _fields_ = [("name", c_char_p), ("size", c_int64)]


class _Feed(ctypes.Structure):  # gm_feed
    _fields_ = [("name", c_char_p), ("data", c_void_p), ("bytes", c_size_t)]


class _ContextOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("allocate", c_void_p), ("release", c_void_p), ("log", c_void_p), ("user", c_void_p),
                ("threads", c_int), ("direct_math", c_int)]


class _ModelOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("settings", POINTER(c_char_p)), ("setting_count", c_size_t),
                ("data_directory", c_char_p), ("has_seed", c_int), ("seed", c_uint64), ("fixed", POINTER(_View)),
                ("fixed_count", c_size_t), ("adopt", c_int)]


class _SessionOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("batch", c_int64), ("has_seed", c_int), ("seed", c_uint64), ("reference", c_int),
                ("training", c_int), ("dimensions", POINTER(_Dimension)), ("dimension_count", c_size_t), ("caller_arena", c_int)]


class _TrainerOptions(ctypes.Structure):
    _fields_ = [("struct_size", c_size_t), ("batch", c_int64), ("reference", c_int), ("resume", c_char_p)]


_library = ctypes.CDLL(os.environ.get("GMODEL_LIBRARY", "libgmodel.so.0"))
_P, _S, _N = c_void_p, c_char_p, c_size_t
for _name, _result, *_arguments in [
        ("version", _S), ("status_name", _S, c_int), ("context_create", c_int, _P, POINTER(_P)), ("context_destroy", None, _P),
        ("context_message", _S, _P), ("context_options_default", None, _P, _N), ("model_options_default", None, _P, _N),
        ("session_options_default", None, _P, _N), ("trainer_options_default", None, _P, _N),
        ("model_load", c_int, _P, _S, _P, POINTER(_P)), ("model_load_memory", c_int, _P, _S, _N, _S, _P, POINTER(_P)),
        ("model_destroy", None, _P), ("model_save", c_int, _P, _S), ("model_part_count", _N, _P, c_int),
        ("model_part_name", _S, _P, c_int, _N), ("model_input_count", _N, _P, _S), ("model_output_count", _N, _P, _S),
        ("model_input", c_int, _P, _S, _N, POINTER(_Value)), ("model_output", c_int, _P, _S, _N, POINTER(_Value)),
        ("model_parameter_count", _N, _P), ("model_parameter_info", c_int, _P, _N, POINTER(_Parameter)),
        ("model_read", c_int, _P, _S, _P, _N), ("model_write", c_int, _P, _S, _P, _N),
        ("session_create", c_int, _P, _S, _P, POINTER(_P)), ("session_destroy", None, _P), ("session_input_count", _N, _P),
        ("session_output_count", _N, _P), ("session_input", c_int, _P, _N, POINTER(_View)),
        ("session_output", c_int, _P, _N, POINTER(_View)), ("session_run", c_int, _P),
        ("trainer_create", c_int, _P, _P, POINTER(_P)), ("trainer_destroy", None, _P),
        ("trainer_step", c_int, _P, _S, POINTER(_Feed), _N), ("trainer_report", c_int, _P, _S, POINTER(c_double)),
        ("trainer_report_count", _N, _P), ("trainer_report_name", _S, _P, _N), ("trainer_feed_count", _N, _P, _S),
        ("trainer_feed", c_int, _P, _S, _N, POINTER(_View), POINTER(c_int)), ("trainer_state_count", _N, _P),
        ("trainer_state", c_int, _P, _N, POINTER(_View)), ("trainer_read", c_int, _P, _S, _P, _N),
        ("trainer_write", c_int, _P, _S, _P, _N), ("trainer_save", c_int, _P, _S)]:
    _function = getattr(_library, "gm_" + _name)
    _function.restype, _function.argtypes = _result, _arguments

MEMORY, ARGUMENT, MODEL, FILE, BAD_DATA, UNSUPPORTED, NUMERIC, INTERRUPTED, INTERNAL = range(1, 10)  # gm_status
NETWORKS, STEPS, SAMPLES, DATA, TRAININGS, EVALUATIONS = range(6)  # gm_part


class Error(Exception):
    """A call failed; `status` is its gm_status (a number), the text is the library's message."""

    def __init__(self, status, message):
        super().__init__(message or _library.gm_status_name(status).decode())
        self.status = status


def version():
    return _library.gm_version().decode()


def _text(name):
    return None if name is None else os.fsencode(name)


def _shape(info):
    """Sizes; the names of those that are not fixed, None for what follows from others."""
    names = getattr(info, "symbols", None)
    return tuple(info.dims[i] if info.dims[i] >= 0 else names[i] and names[i].decode() for i in range(info.rank))


def _type(info):
    if info.type not in _TYPES:
        raise Error(UNSUPPORTED, "%s is of type %d, which NumPy has not" % (info.name.decode(), info.type))
    return numpy.dtype(_TYPES[info.type])


def _fitting(array, name, kind, shape):
    """The array as the library wants it: dense, of the right type (floats become float32) and of this shape."""
    array = numpy.asarray(array)
    if array.dtype != kind and not (numpy.can_cast(array.dtype, kind, "same_kind")):
        raise Error(ARGUMENT, "'%s' must be %s, not %s" % (name, kind, array.dtype))
    if array.shape != shape:
        raise Error(ARGUMENT, "'%s' must have the shape %s, not %s" % (name, shape, array.shape))
    return numpy.ascontiguousarray(array, kind).reshape(shape)


class _Object:
    """A handle, destroyed by close(), at the end of `with`, or with the last reference; what was made from it goes first."""

    _destroy = None

    def __init__(self, parent):
        self.parent, self.handle = parent, c_void_p()
        self.context = parent.context if parent else self
        self._children = weakref.WeakSet()
        if parent:
            parent._children.add(self)
            if not parent.handle:
                raise Error(ARGUMENT, "what this is made from is closed")

    def close(self):
        for child in list(self._children):
            child.close()
        handle, self.handle = self.handle, c_void_p()
        if handle:
            getattr(_library, self._destroy)(handle)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        self.close()

    def _require(self, status):
        if status:
            message = _library.gm_context_message(self.context.handle) or b""
            raise Error(status, message.decode(errors="replace"))

    def _names(self, count, name):
        return [name(self.handle, i).decode() for i in range(count(self.handle))]


class Context(_Object):
    _destroy = "gm_context_destroy"

    def __init__(self, threads=0):
        super().__init__(None)
        options = _ContextOptions()
        _library.gm_context_options_default(byref(options), ctypes.sizeof(options))
        options.threads = threads
        self._require(_library.gm_context_create(byref(options), byref(self.handle)))

    def load(self, path, settings=(), seed=None, data_directory=None):
        """A model from a file: .gmodel, text or binary, or .onnx. settings: "NAME=VALUE" each."""
        return Model(self, path, None, settings, seed, data_directory)

    def load_memory(self, data, name="memory", settings=(), seed=None, data_directory=None):
        """The same from bytes or a text; `name` stands in messages."""
        data = data.encode() if isinstance(data, str) else bytes(data)
        return Model(self, name, data, settings, seed, data_directory)


class Model(_Object):
    _destroy = "gm_model_destroy"

    def __init__(self, context, path, data, settings, seed, data_directory):
        super().__init__(context)
        options = _ModelOptions()
        _library.gm_model_options_default(byref(options), ctypes.sizeof(options))
        options.settings = (c_char_p * (len(settings) + 1))(*map(_text, settings))
        options.setting_count = len(settings)
        options.data_directory = _text(data_directory)
        options.has_seed, options.seed = int(seed is not None), seed or 0
        if data is None:
            status = _library.gm_model_load(context.handle, _text(path), byref(options), byref(self.handle))
        else:
            status = _library.gm_model_load_memory(context.handle, data, len(data), _text(path), byref(options),
                                                   byref(self.handle))
        self._require(status)

    def names(self, part=NETWORKS):
        """Names of MEMORY, ARGUMENT, MODEL, FILE, BAD_DATA, UNSUPPORTED, NUMERIC, INTERRUPTED, INTERNAL = range(1, 10)  # gm_status
NETWORKS, STEPS, SAMPLES, DATA, TRAININGS or EVALUATIONS."""
        count = _library.gm_model_part_count(self.handle, part)
        return [_library.gm_model_part_name(self.handle, part, i).decode() for i in range(count)]

    def _values(self, network, count, describe):
        found, info = {}, _Value()
        for i in range(count(self.handle, _text(network))):
            self._require(describe(self.handle, _text(network), i, byref(info)))
            found[info.name.decode()] = (_type(info), _shape(info))
        return found

    def inputs(self, network=None):
        """{name: (dtype, shape)} of a network or sample; of the main network without a name."""
        return self._values(network, _library.gm_model_input_count, _library.gm_model_input)

    def outputs(self, network=None):
        return self._values(network, _library.gm_model_output_count, _library.gm_model_output)

    def parameters(self):
        """{path: (dtype, shape)} of parameters and buffers."""
        found, info = {}, _Parameter()
        for i in range(_library.gm_model_parameter_count(self.handle)):
            self._require(_library.gm_model_parameter_info(self.handle, i, byref(info)))
            found[info.path.decode()] = (numpy.dtype(_TYPES.get(info.type, "V2")), tuple(info.dims[:info.rank]))
        return found

    def _known(self, path):
        if path not in self.parameters():
            raise Error(ARGUMENT, "the model has no parameter '%s'" % path)
        return self.parameters()[path]

    def __getitem__(self, path):
        """A copy of a parameter: model["generator.h0.Dense.W"]."""
        kind, shape = self._known(path)
        array = numpy.empty(shape, kind)
        self._require(_library.gm_model_read(self.handle, _text(path), array.ctypes.data, array.nbytes))
        return array

    def __setitem__(self, path, array):
        array = _fitting(array, path, *self._known(path))
        self._require(_library.gm_model_write(self.handle, _text(path), array.ctypes.data, array.nbytes))

    def save(self, path):
        self._require(_library.gm_model_save(self.handle, _text(path)))

    def session(self, network=None, seed=None, **sizes):
        """A network or sample planned for sizes: model.session("encoder", N=16)."""
        return Session(self, network, seed, sizes)

    def run(self, inputs=None, network=None, seed=None):
        """{output: array} of one run on {input: array}; the sizes are those of the arrays."""
        sizes, inputs = {}, inputs or {}
        for name, (_, shape) in self.inputs(network).items():
            if name in inputs:
                sizes.update((symbol, size) for symbol, size in zip(shape, numpy.shape(inputs[name])) if isinstance(symbol, str))
        with self.session(network, seed, **sizes) as session:
            return session.run(inputs)

    def trainer(self, batch=0, resume=None):
        return Trainer(self, batch, resume)


class Session(_Object):
    _destroy = "gm_session_destroy"

    def __init__(self, model, network, seed, sizes):
        super().__init__(model)
        options = _SessionOptions()
        _library.gm_session_options_default(byref(options), ctypes.sizeof(options))
        options.has_seed, options.seed = int(seed is not None), seed or 0
        options.dimensions = (_Dimension * (len(sizes) + 1))(*[(_text(name), size) for name, size in sizes.items()])
        options.dimension_count = len(sizes)
        self._require(_library.gm_session_create(model.handle, _text(network), byref(options), byref(self.handle)))
        self._inputs = self._arrays(_library.gm_session_input_count, _library.gm_session_input)
        self._outputs = self._arrays(_library.gm_session_output_count, _library.gm_session_output)

    def _arrays(self, count, describe):
        """{name: array over the session's own memory}"""
        found, view = {}, _View()
        for i in range(count(self.handle)):
            self._require(describe(self.handle, i, byref(view)))
            memory = (ctypes.c_char * view.bytes).from_address(view.data)
            found[view.name.decode()] = numpy.ndarray(_shape(view), _type(view), memory)
        return found

    def run(self, inputs=None):
        """Copies of all outputs. Every input must be given, and has the shape that the session was planned for."""
        inputs = inputs or {}
        for name in list(inputs) + list(self._inputs):
            if name not in self._inputs or name not in inputs:
                what = "is missing" if name in self._inputs else "is no input; there are: " + ", ".join(self._inputs)
                raise Error(ARGUMENT, "'%s' %s" % (name, what))
        for name, array in self._inputs.items():
            array[...] = _fitting(inputs[name], name, array.dtype, array.shape)
        self._require(_library.gm_session_run(self.handle))
        return {name: array.copy() for name, array in self._outputs.items()}

    def close(self):
        self._inputs = self._outputs = {}
        super().close()


class Trainer(_Object):
    _destroy = "gm_trainer_destroy"

    def __init__(self, model, batch, resume):
        super().__init__(model)
        options = _TrainerOptions()
        _library.gm_trainer_options_default(byref(options), ctypes.sizeof(options))
        options.batch, options.resume = batch, _text(resume)
        self._require(_library.gm_trainer_create(model.handle, byref(options), byref(self.handle)))

    def feeds(self, step):
        """{name: (dtype, shape, is it a random draw)} of what a step can be fed."""
        found, view, is_draw = {}, _View(), c_int()
        for i in range(_library.gm_trainer_feed_count(self.handle, _text(step))):
            self._require(_library.gm_trainer_feed(self.handle, _text(step), i, byref(view), byref(is_draw)))
            found[view.name.decode()] = (_type(view), _shape(view), bool(is_draw))
        return found

    def step(self, step, **arrays):
        """Runs one step: trainer.step("fit", image=pixels). Draws that are not given are drawn."""
        return self.step_with(step, arrays)

    def step_with(self, step, arrays):
        """The same from a dict, for names with dots."""
        known, kept = self.feeds(step), []
        for name, array in arrays.items():
            if name not in known:
                raise Error(ARGUMENT, "'%s' is no input of '%s'; there are: %s" % (name, step, ", ".join(known)))
            kept.append((_text(name), _fitting(array, name, *known[name][:2])))
        feeds = (_Feed * (len(kept) + 1))(*[(name, array.ctypes.data, array.nbytes) for name, array in kept])
        self._require(_library.gm_trainer_step(self.handle, _text(step), feeds, len(kept)))

    def report(self, name):
        """A report's value at the last run of its step."""
        value = c_double()
        self._require(_library.gm_trainer_report(self.handle, _text(name), byref(value)))
        return value.value

    def reports(self):
        return self._names(_library.gm_trainer_report_count, _library.gm_trainer_report_name)

    def state(self):
        """{path: (dtype, shape)} of parameters, buffers and optimizer slots."""
        found, view = {}, _View()
        for i in range(_library.gm_trainer_state_count(self.handle)):
            self._require(_library.gm_trainer_state(self.handle, i, byref(view)))
            found[view.name.decode()] = (_type(view), _shape(view))
        return found

    def _known(self, path):
        if path not in self.state():
            raise Error(ARGUMENT, "the training has no '%s'" % path)
        return self.state()[path]

    def __getitem__(self, path):
        kind, shape = self._known(path)
        array = numpy.empty(shape, kind)
        self._require(_library.gm_trainer_read(self.handle, _text(path), array.ctypes.data, array.nbytes))
        return array

    def __setitem__(self, path, array):
        array = _fitting(array, path, *self._known(path))
        self._require(_library.gm_trainer_write(self.handle, _text(path), array.ctypes.data, array.nbytes))

    def save(self, path):
        self._require(_library.gm_trainer_save(self.handle, _text(path)))
