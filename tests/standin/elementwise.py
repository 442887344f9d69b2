"""``cupy.ElementwiseKernel`` of the stand-in: the operation in a loop over all entries, compiled for the host."""

from __future__ import annotations

import ctypes

import numpy as np

from .arrays import SCALARS, ndarray, wrap
from .host_compiler import compiled
from .ledger import note_launch

__all__ = ["ElementwiseKernel"]

_CTYPES = {"?": "bool", "b": "signed char", "h": "short", "i": "int", "l": "long long", "q": "long long",
           "B": "unsigned char", "H": "unsigned short", "I": "unsigned", "L": "unsigned long long",
           "Q": "unsigned long long", "f": "float", "d": "double"}  # fmt: skip
_LOOP = """
struct Indexer {{ long long count; long long size() const {{ return count; }} }};
template <typename V> struct Raw {{
    char* data; int axes; const long long *shape, *strides;
    V& operator[](long long i) const {{
        char* at = data;
        for (int a = axes - 1; a >= 0; a--) {{ at += i % shape[a] * strides[a]; i /= shape[a]; }}
        return *reinterpret_cast<V*>(at);
    }}
}};
{types}
{preamble}
extern "C" void run(long long count, int axes, const long long* shape, char** data, const long long* strides,
                    const int* raw_axes, const long long** raw_shapes, const long long** raw_strides)
{{
    const Indexer _ind = {{count}};
    {raw}
    {before};
    for (long long i = 0; i < count; i++) {{
        long long offset[{many}] = {{}}, rest = i;
        for (int a = axes - 1; a >= 0; a--) {{
            const long long x = rest % shape[a];
            rest /= shape[a];
            for (int k = 0; k < {many}; k++) offset[k] += x * strides[k * axes + a];
        }}
        {bound}
        {operation};
    }}
    {after};
}}
"""


class _Parameter:
    def __init__(self, text, output):
        *words, kind, self.name = text.split()
        self.raw, self.output = "raw" in words, output
        self.free = kind if len(kind) == 1 else None
        self.dtype = None if self.free else np.dtype(kind)


def _parameters(text, output):
    return [_Parameter(part, output) for part in text.split(",") if part.strip()]


class ElementwiseKernel:
    """See ``cupy.ElementwiseKernel``."""

    def __init__(self, in_params, out_params, operation, name="kernel", reduce_dims=True, preamble="", no_return=False,
                 return_tuple=False, **more):  # fmt: skip
        if set(more) - {"loop_prep", "after_loop", "options"}:
            raise TypeError(f"ElementwiseKernel got unexpected {sorted(more)}")
        self.params = _parameters(in_params, False) + _parameters(out_params, True)
        self.nin = sum(not p.output for p in self.params)
        self.nout = len(self.params) - self.nin
        self.operation, self.name, self.preamble, self.more = operation, name, preamble, more
        self.no_return, self.return_tuple = no_return, return_tuple

    def __call__(self, *args, size=None, block_size=128):
        if len(args) not in (self.nin, self.nin + self.nout):
            raise TypeError(
                f"Wrong number of arguments for {self.name!r}. It must be either {self.nin} or {self.nin + self.nout} "
                f"(with outputs), but given {len(args)}."
            )
        for arg, p in zip(args, self.params, strict=False):
            if not isinstance(arg, ndarray) and (p.output or not isinstance(arg, SCALARS)):
                raise TypeError(f"Unsupported type {type(arg)}")
        types = self._types(args)
        shape = (size,) if size is not None else self._shape(args)
        outs = args[self.nin :] or tuple(
            wrap(np.empty(shape, p.dtype or types[p.free])) for p in self.params[self.nin :]
        )
        for out, p in zip(outs, self.params[self.nin :], strict=True):
            if not p.raw and out.shape != shape:
                raise ValueError(f"Out shape is mismatched: {out.shape} and {shape}")
        note_launch(self.name)
        self._run(types, shape, [*args[: self.nin], *outs])
        if self.no_return:
            return None
        return outs if self.return_tuple or len(outs) > 1 else outs[0]

    def _types(self, args):
        """Return the dtypes of the letters; arrays decide, numbers only where there is none."""
        types = {}
        for arrays in (True, False):
            for arg, p in zip(args, self.params, strict=False):
                if isinstance(arg, ndarray) != arrays:
                    continue
                want = p.dtype if p.free is None else types.get(p.free)
                if want is None:
                    types[p.free] = arg.dtype if arrays else np.asarray(arg).dtype
                elif arrays and want != arg.dtype:
                    raise TypeError(f"Type is mismatched. {p.name} {arg.dtype} {want}")
        return types

    def _shape(self, args):
        shapes = [a.shape for a, p in zip(args, self.params, strict=False) if isinstance(a, ndarray) and not p.raw]
        if not shapes:
            raise ValueError("Loop size is undecided.")
        return np.broadcast_shapes(*shapes)

    def _run(self, types, shape, args):
        hosts, raws = [], []
        for arg, p in zip(args, self.params, strict=True):
            dtype = p.dtype or types[p.free]
            host = arg._host if isinstance(arg, ndarray) else np.asarray(arg, dtype)
            raws.append(host)
            hosts.append(host if p.raw else np.broadcast_to(host, shape))
        still = (0,) * len(shape)
        strides = [s for h, p in zip(hosts, self.params, strict=True) for s in (still if p.raw else h.strides)]
        lists = [[_longs(getattr(h, what)) for h in raws] for what in ("shape", "strides")]
        pointers = [(ctypes.c_void_p * len(raws))(*(ctypes.addressof(a) for a in part)) for part in lists]
        data = (ctypes.c_void_p * len(hosts))(*(h.ctypes.data for h in hosts))
        axes = (ctypes.c_int * len(raws))(*(h.ndim for h in raws))
        count = ctypes.c_longlong(int(np.prod(shape, dtype=np.int64)))
        compiled(self._source(types)).run(count, len(shape), _longs(shape), data, _longs(strides), axes, *pointers)

    def _source(self, types):
        kinds = [_CTYPES[np.dtype(p.dtype or types[p.free]).char] for p in self.params]
        bound, raw = [], []
        for k, (p, kind) in enumerate(zip(self.params, kinds, strict=True)):
            if p.raw:
                view = f"{'' if p.output else 'const '}{kind}"
                parts = ", ".join(f"{part}[{k}]" for part in ("data", "raw_axes", "raw_shapes", "raw_strides"))
                raw.append(f"const Raw<{view}> {p.name} = {{{parts}}};")
            elif p.output:
                bound.append(f"{kind}& {p.name} = *reinterpret_cast<{kind}*>(data[{k}] + offset[{k}]);")
            else:
                bound.append(f"const {kind} {p.name} = *reinterpret_cast<{kind}*>(data[{k}] + offset[{k}]);")
        return _LOOP.format(
            types="\n".join(f"typedef {_CTYPES[np.dtype(dtype).char]} {letter};" for letter, dtype in types.items()),
            preamble=self.preamble, raw=" ".join(raw), bound=" ".join(bound), many=len(self.params),
            operation=self.operation, before=self.more.get("loop_prep", ""), after=self.more.get("after_loop", ""),
        )  # fmt: skip


def _longs(values):
    return (ctypes.c_longlong * max(len(values), 1))(*values)
