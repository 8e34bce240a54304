"""Terrace in gdb: `gdb -x tools/gdb/terrace.py --args PROGRAM ...` with a program of `make debug` (docs/debugging.md).

    terrace-thread     the CUDA thread that stands here: kernel, block, thread, lane
    terrace-threads    all threads of the block that runs, and where each of them waits

Tensors, Variables and Shapes print as what they hold. Nothing is called in the program: core files will do.
"""
import gdb
import gdb.printing

DTYPES = {  # in the order of tensor/base/dtype.h: name, bytes, gdb's type
    0: ("f32", 4, "float"),
    1: ("bf16", 2, None),
    2: ("f64", 8, "double"),
    3: ("f16", 2, None),
    4: ("i64", 8, "long"),
    5: ("i32", 4, "int"),
    6: ("u8", 1, "unsigned char"),
    7: ("bool", 1, "bool"),
}
DEVICES = ("cpu", "cuda", "cuda-host")
VALUES = 8  # of a tensor that are printed


# --- The executor's threads ---


def runner():
    """The GridRunner of the thread that is selected."""
    try:
        value = gdb.parse_and_eval("'terrace::executor::(anonymous namespace)::runner'")
    except gdb.error as error:
        raise gdb.GdbError("no executor of `make debug` runs here: %s" % error)
    if int(value) == 0:
        raise gdb.GdbError("no kernel runs in this thread")
    return value.dereference()


def triple(value):
    return "(%d,%d,%d)" % tuple(int(value[axis]) for axis in "xyz")


def vector_items(vector):
    first, last = vector["_M_impl"]["_M_start"], vector["_M_impl"]["_M_finish"]
    return [first[i] for i in range(int(last - first))]


def place(location):
    impl = location["_M_impl"]
    return "%s:%d" % (impl["_M_file_name"].string().rsplit("/", 1)[-1], int(impl["_M_line"]))


def state_of(thread, running):
    if running:
        return "stands here"
    state = str(thread["state"]).rsplit("::", 1)[-1]
    if state == "kAtBarrier":
        return "at the barrier in " + place(thread["at"])
    if state == "kInCollective":
        return "in %s in %s" % (thread["collective_name"].string(), place(thread["at"]))
    return {"kExited": "left the kernel", "kReady": "ready to run"}[state]


class ThreadCommand(gdb.Command):
    """terrace-thread: the CUDA thread that stands here: kernel, block, thread, lane."""

    def __init__(self):
        super().__init__("terrace-thread", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        grid = runner()
        thread = grid["self_"].dereference()
        at = thread["position"]
        print("%s: block %s of %s, thread %s of %s, lane %d of warp %d" % (
            grid["name_"].string(), triple(at["block"]), triple(at["grid_dim"]), triple(at["thread"]),
            triple(at["block_dim"]), int(thread["index"]) % 32, int(thread["index"]) // 32))


class ThreadsCommand(gdb.Command):
    """terrace-threads: all threads of the block that runs, and where each of them waits."""

    def __init__(self):
        super().__init__("terrace-threads", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        grid = runner()
        print("%s: block %s of %s" % (grid["name_"].string(), triple(grid["block_"]), triple(grid["grid_dim_"])))
        runs = []  # first, last, state: neighbours in one state are one line
        for index, thread in enumerate(vector_items(grid["threads_"])[: int(grid["count_"])]):
            state = state_of(thread, thread.address == grid["self_"])
            if runs and runs[-1][2] == state:
                runs[-1][1] = index
            else:
                runs.append([index, index, state])
        for first, last, state in runs:
            print("  thread%s %s" % (" %d:" % first if first == last else "s %d to %d:" % (first, last), state))


# --- Values ---


def extents(shape):
    return [int(extent) for extent in vector_items(shape["dims_"])]


def tuple_text(values):
    return "(%s%s)" % (", ".join(str(value) for value in values), "," if len(values) == 1 else "")


def tensor_text(tensor):
    storage = tensor["storage_"]["_M_ptr"]
    if int(storage) == 0:
        return "undefined"
    shape = extents(tensor["shape_"])
    name, size, c_type = DTYPES[int(tensor["dtype_"])]
    text = "%s %s %s" % (name, tuple_text(shape), DEVICES[int(storage["device_"]["type"])])
    strides, expected = extents(tensor["strides_"]), 1
    count = 1
    for extent in shape:
        count *= extent
    for extent, stride in reversed(list(zip(shape, strides))):
        if extent != 1 and stride != expected:
            return text + ", strides " + tuple_text(strides)
        expected *= extent
    if c_type is None or count == 0:
        return text
    data = (storage["data_"] + int(tensor["offset_"]) * size).cast(gdb.lookup_type(c_type).pointer())
    try:
        values = []
        for i in range(min(count, VALUES)):
            values.append("%.6g" % float(data[i]) if c_type in ("float", "double") else str(int(data[i])))
    except gdb.MemoryError:  # memory of a GPU
        return text
    return "%s: %s%s" % (text, ", ".join(values), ", ..." if count > VALUES else "")


class ShapePrinter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        return tuple_text(extents(self.value))


class TensorPrinter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        return tensor_text(self.value)


class VariablePrinter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        impl = self.value["impl_"]["_M_ptr"]
        if int(impl) == 0:
            return "undefined"
        try:
            node = impl["node"]["_M_ptr"]
        except gdb.error:
            return "defined; what it holds is known in a program of `make debug`"
        made = "by %s, " % node["name"].string() if int(node) else "needs a gradient, " if impl["requires_grad"] else ""
        return made + tensor_text(impl["value"])


def register():
    printers = gdb.printing.RegexpCollectionPrettyPrinter("terrace")
    printers.add_printer("Shape", "^terrace::Shape$", ShapePrinter)
    printers.add_printer("Tensor", "^terrace::Tensor$", TensorPrinter)
    printers.add_printer("Variable", "^terrace::Variable$", VariablePrinter)
    gdb.printing.register_pretty_printer(None, printers, replace=True)
    ThreadCommand()
    ThreadsCommand()


register()
