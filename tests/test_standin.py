"""The stand-in for CuPy refuses what CuPy refuses, answers as CuPy answers, and counts what is copied."""

import copy
import operator
import pickle
import sys

import numpy as np
import pytest

from machinekit.arrays import backend_of, pick_backend, to_host

from . import standin
from .standin import launches, transfers

HOST = np.array([[3.0, 1.0, 2.0], [0.5, -1.0, 4.0]])


@pytest.fixture(scope="module")
def cupy():
    with standin.installed() as module:
        yield module


@pytest.fixture
def x(cupy):
    return cupy.asarray(HOST)


def kinds(ledger):
    return [f"{t.kind} {t.call}" for t in ledger]


REFUSED = {
    "np.asarray": lambda x, xp: np.asarray(x),
    "np.array of a list": lambda x, xp: np.array([x, x]),
    "np.sum": lambda x, xp: np.sum(x),
    "np.exp": lambda x, xp: np.exp(x),
    "np.testing": lambda x, xp: np.testing.assert_allclose(x, HOST),
    "a NumPy array on the right": lambda x, xp: x + HOST,
    "a NumPy array on the left": lambda x, xp: HOST + x,
    "a NumPy array in a product": lambda x, xp: x.T @ HOST,
    "a NumPy scalar on the left": lambda x, xp: np.float64(2.0) * x,
    "a NumPy array in place": lambda x, xp: operator.iadd(x, HOST),
    "a NumPy array in a function": lambda x, xp: xp.where(x > 0, x, HOST),
    "a NumPy array in a ufunc": lambda x, xp: xp.maximum(x, HOST),
    "a list in a ufunc": lambda x, xp: xp.exp([1.0, 2.0]),
    "a list in a reduction": lambda x, xp: xp.sum([1.0, 2.0]),
    "a number as a condition": lambda x, xp: xp.where(True, x, x),
    "NumPy arrays joined": lambda x, xp: xp.concat([x, HOST]),
    "copyto from NumPy": lambda x, xp: xp.copyto(x, HOST),
    "where= of a reduction": lambda x, xp: xp.sum(x, where=x > 0),
    "initial= of a reduction": lambda x, xp: xp.max(x, initial=0.0),
    "where= of a method": lambda x, xp: x.sum(where=x > 0),
    "device= of a constructor": lambda x, xp: xp.zeros(3, device=x.device),
    "out= of another dtype": lambda x, xp: xp.add(x, x, out=xp.zeros((2, 3), xp.int64)),
    "out= of NumPy": lambda x, xp: xp.add(x, x, out=np.zeros((2, 3))),
    "a list at a device number": lambda x, xp: [0, 1, 2][xp.asarray(1)],
    "a slice of device numbers": lambda x, xp: x[: xp.asarray(1)],
    "a number as an index": lambda x, xp: operator.index(xp.asarray(1)),
    "a hash": lambda x, xp: hash(x),
    "a hash of the device": lambda x, xp: hash(x.device),
    "item at a place": lambda x, xp: x.item(0, 1),
    "logic of complex numbers": lambda x, xp: xp.logical_not(x + 1j),
}  # fmt: skip
VALUES = {
    "a list into an array": lambda x, xp: operator.setitem(x, 0, [1.0, 2.0, 3.0]),
    "a NumPy array into an array": lambda x, xp: operator.setitem(x, ..., HOST),
    "words": lambda x, xp: xp.asarray(["a", "b"]),
    "objects": lambda x, xp: xp.asarray(np.array([None, 1])),
    "long doubles": lambda x, xp: xp.asarray(np.zeros(2, np.longdouble)),
    "the truth of many": lambda x, xp: bool(x),
    "a transform of nothing": lambda x, xp: xp.fft.rfftn(x[:0], axes=(1,)),
    "broadcast systems": lambda x, xp: xp.linalg.solve(xp.eye(2), xp.zeros((4, 2, 1))),
    "out= of another shape": lambda x, xp: xp.add(x, x, out=xp.zeros((3, 2))),
    "a dot into columns": lambda x, xp: x.dot(x.T, out=xp.zeros((2, 2)).T[:, ::-1]),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_a_type_error_where_cupy_has_one(cupy, x, name):
    with pytest.raises(TypeError):
        REFUSED[name](x, cupy)


@pytest.mark.parametrize("name", VALUES)
def test_a_value_error_where_cupy_has_one(cupy, x, name):
    with pytest.raises(ValueError):
        VALUES[name](x, cupy)


@pytest.mark.parametrize("name", ["unstack", "vecdot", "matvec", "__array_namespace_info__", "nonesuch"])
def test_functions_that_cupy_lacks_are_missing(cupy, name):
    assert not hasattr(cupy, name)


@pytest.mark.parametrize(
    "name", ["__array_namespace__", "to_device", "ctypes", "__index__", "__contains__", "tostring"]
)
def test_methods_that_cupy_lacks_are_missing(x, name):
    assert not hasattr(x, name)
    assert not hasattr(x.flags, "writeable")


COPIES = {
    "asarray": (lambda x, xp: xp.asarray(HOST), ["up asarray"]),
    "array": (lambda x, xp: xp.array([1.0]), ["up array"]),
    "asnumpy": (lambda x, xp: xp.asnumpy(x), ["down asnumpy"]),
    "get": (lambda x, xp: x.get(), ["down get"]),
    "set": (lambda x, xp: x.set(HOST), ["up set"]),
    "item": (lambda x, xp: x[0, 0].item(), ["down item"]),
    "tolist": (lambda x, xp: x.tolist(), ["down tolist"]),
    "float": (lambda x, xp: float(x[0, 0]), ["down float()"]),
    "int": (lambda x, xp: int(x[0, 0]), ["down int()"]),
    "if": (lambda x, xp: 1 if x[0, 0] > 0 else 2, ["down bool()"]),
    "complex": (lambda x, xp: complex(x[0, 0]), ["down complex()"]),
    "print": (lambda x, xp: f"{x}", ["down format"]),
    "a mask": (lambda x, xp: x[x > 0], ["wait indexing by a mask"]),
    "a list as an index": (lambda x, xp: x[[0, 1]], ["up indexing by a host array"]),
    "a list to take": (lambda x, xp: xp.take(x, [0, 1]), ["up take"]),
    "nonzero": (lambda x, xp: xp.nonzero(x), ["wait nonzero"]),
    "a stream": (lambda x, xp: xp.cuda.get_current_stream().synchronize(), ["wait Stream.synchronize"]),
    "an event": (lambda x, xp: xp.cuda.Event().synchronize(), ["wait Event.synchronize"]),
    "pickle": (lambda x, xp: pickle.dumps(x), ["down pickle"]),
    "to_host": (lambda x, xp: to_host(x), ["down asnumpy"]),
    "from_host": (lambda x, xp: pick_backend("cupy").from_host(HOST), ["up asarray"]),
}  # fmt: skip
FREE = {
    "arithmetic": lambda x, xp: (x + 1.0) @ x.T / 2 - x[:, :2],
    "a reduction": lambda x, xp: x.sum(axis=0) + xp.max(x),
    "a constructor": lambda x, xp: xp.zeros((2, 3)) + xp.full((), 2.0) + xp.eye(2, 3),
    "a choice": lambda x, xp: xp.where(x > 0, x, 0.0),
    "a number under a mask": lambda x, xp: operator.setitem(x, x > 0, 1.0),
    "a view": lambda x, xp: xp.reshape(x.T[1:, ::-1], (-1,)),
    "what it is": lambda x, xp: (x.shape, x.dtype, x.strides, x.nbytes, x.device, x.flags.c_contiguous, len(x)),
    "a copy on the device": lambda x, xp: (x.copy(), copy.deepcopy(x), x.astype("float32"), xp.asarray(x)),
}  # fmt: skip


@pytest.mark.parametrize("name", COPIES)
def test_copies_and_waits_are_counted(cupy, x, name):
    call, want = COPIES[name]
    with transfers() as ledger:
        call(x, cupy)
    assert kinds(ledger) == want
    assert ledger[0].place.split(":")[0].endswith(("test_standin.py", "backend.py"))
    call(x, cupy)
    assert kinds(ledger) == want, "the count goes on after its block"


@pytest.mark.parametrize("name", FREE)
def test_what_stays_on_the_device_is_not_counted(cupy, x, name):
    with transfers() as ledger:
        FREE[name](x, cupy)
    assert not ledger


def test_numpy_cannot_borrow_the_memory(x):
    with pytest.raises(BufferError):
        np.from_dlpack(x)


def test_launches_are_listed_by_name(cupy, x):
    with launches() as names:
        cupy.exp(x) + x.T[:2, :2].sum()
    assert names == ["exp", "sum", "add"]


def test_numbers_are_those_of_numpy(cupy, x):
    assert np.array_equal(to_host(cupy.tanh(x) @ x.T), np.tanh(HOST) @ HOST.T)
    assert np.array_equal(cupy.linalg.inv(x @ x.T).get(), np.linalg.inv(HOST @ HOST.T))


def test_reductions_are_arrays_without_axes(cupy, x):
    for value in (x.sum(), cupy.max(x), x[0, 0], cupy.matmul(x[0], x[0])):
        assert type(value) is cupy.ndarray
        assert value.shape == ()


def test_views_know_the_one_array_that_owns_their_memory(cupy, x):
    y = x.copy()
    assert y.base is None
    for view in (y.T, y[1:], cupy.reshape(y.T[:, ::-1], (3, 2)), y[0][:2]):
        assert view.base is y
    assert (y + 1).base is None


def test_integer_indices_wrap_around(cupy, x):
    """NumPy raises; CuPy does not look."""
    far = cupy.asarray(np.array([0, 3, -4]))
    assert np.array_equal(x[:, far].get(), HOST[:, [0, 0, 2]])
    assert np.array_equal(cupy.take(x, far, axis=1).get(), HOST[:, [0, 0, 2]])
    with pytest.raises(IndexError):
        x[:, 3]


def test_writing_an_entry_twice_is_an_error(cupy, x):
    """On a GPU it is a race."""
    twice = cupy.asarray(np.array([1, 1]))
    with pytest.raises(RuntimeError, match="twice"):
        x[:, twice] = cupy.zeros((2, 2))


def test_singular_matrices_are_not_noticed(cupy):
    assert np.isnan(cupy.linalg.solve(cupy.zeros((2, 2)), cupy.ones(2)).get()).all()
    found = cupy.linalg.inv(cupy.stack([cupy.eye(2), cupy.zeros((2, 2))])).get()
    assert np.array_equal(found[0], np.eye(2))
    assert np.isnan(found[1]).all()


def test_floating_errors_are_silent(cupy):
    assert np.isinf((cupy.ones(2) / cupy.zeros(2)).get()).all()
    assert np.isnan(cupy.log(-cupy.ones(2)).get()).all()


def test_new_arrays_lie_in_c_order_whatever_went_in(cupy, x):
    """NumPy's keep the order of their arguments."""
    for made in (x.T + 1.0, cupy.tanh(x.T), cupy.where(x.T > 0, x.T, x.T), cupy.concat([x.T, x.T]), -x.T):
        assert made.flags.c_contiguous, made.strides
    assert cupy.zeros_like(x.T).flags.f_contiguous


def test_an_output_may_be_of_lower_precision(cupy, x):
    out = cupy.zeros((2, 3), cupy.float32)
    assert cupy.multiply(x, 2.0, out=out) is out
    assert np.array_equal(out.get(), 2.0 * HOST)


def test_streams_have_addresses_and_are_current_inside_with(cupy):
    null, mine = cupy.cuda.get_current_stream(), cupy.cuda.Stream(non_blocking=True)
    assert null.ptr == 0 != mine.ptr
    with mine:
        assert cupy.cuda.get_current_stream().ptr == mine.ptr
        with cupy.cuda.Stream() as inner:
            assert cupy.cuda.get_current_stream() is inner
        assert cupy.cuda.get_current_stream() is mine
    assert cupy.cuda.get_current_stream().ptr == 0


def test_the_library_takes_it_for_cupy(cupy, x):
    home = pick_backend("cupy")
    assert home.name == "cupy"
    assert backend_of(x) == home
    assert str(home) == "cupy on <CUDA Device 0>"


def test_it_leaves_when_it_is_told_to():
    before = sys.modules.get("cupy")
    with standin.installed() as module:
        assert sys.modules["cupy"] is module
    assert sys.modules.get("cupy") is before
