"""A compiled model in this process: `model.so` by ctypes, with as little as possible done per call."""

from __future__ import annotations

import contextlib
import ctypes
import difflib
import itertools
import math
import mmap
import os
import tempfile
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..errors import UserError
from .host_features import host_features

if TYPE_CHECKING:
    from typing import Self  # boards may have Python 3.9

    from ..compiler.bundle import Bundle, Manifest, TensorInfo

ABI = 1
ALIGNMENT = 64

_Entry = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)
_Tick = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


class _Call(ctypes.Structure):
    """`fk_call` of fusekit.h."""

    _fields_ = [
        ("inputs", ctypes.c_void_p),
        ("outputs", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("arena", ctypes.c_void_p),
        ("scratch", ctypes.c_void_p),
        ("barrier", ctypes.c_void_p),
        ("tick", ctypes.c_void_p),
    ]


class _Descriptor(ctypes.Structure):
    """`fk_model` of fusekit.h."""

    _fields_ = [
        ("abi", ctypes.c_uint32),
        ("threads", ctypes.c_uint32),
        ("n_inputs", ctypes.c_uint32),
        ("n_outputs", ctypes.c_uint32),
        ("n_steps", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("weights_bytes", ctypes.c_uint64),
        ("arena_bytes", ctypes.c_uint64),
        ("scratch_bytes", ctypes.c_uint64),
        ("input_bytes", ctypes.POINTER(ctypes.c_uint64)),
        ("output_bytes", ctypes.POINTER(ctypes.c_uint64)),
        ("symbol", ctypes.c_char_p),
        ("features", ctypes.c_char_p),
        ("run", ctypes.c_void_p),
        ("profile", ctypes.c_void_p),
    ]


class _State:
    """Everything one call in flight owns: arena, scratch, pointer tables and, with threads, a crew."""

    def __init__(self, library: ctypes.CDLL, descriptor: _Descriptor, weights_address: int) -> None:
        self.arena = _aligned(int(descriptor.arena_bytes))
        self.scratch = _aligned(int(descriptor.scratch_bytes))
        self.inputs = (ctypes.c_void_p * int(descriptor.n_inputs))()
        self.outputs = (ctypes.c_void_p * int(descriptor.n_outputs))()
        self.call = _Call(
            inputs=ctypes.addressof(self.inputs),
            outputs=ctypes.addressof(self.outputs),
            weights=weights_address,
            arena=self.arena.ctypes.data,
            scratch=self.scratch.ctypes.data,
        )
        self.call_address = ctypes.c_void_p(ctypes.addressof(self.call))
        self.crew: ctypes.c_void_p | None = None
        if descriptor.threads > 1:
            crew = library.fk_crew_create(descriptor.threads, None)
            if not crew:
                raise UserError(
                    f"the system refused {descriptor.threads} threads: raise its limit (ulimit -u) "
                    f"or compile with fewer --threads"
                )
            self.crew = ctypes.c_void_p(crew)


class Model:
    """A bundle loaded into this process; `run` may be called from several Python threads at once.

    The model owns its arena (64-byte aligned, one per call in flight) and maps its weights read-only. Models of
    `threads > 1` keep a crew of parked threads until `close`.
    """

    def __init__(self, bundle: Bundle, *, weights_path: Path | None = None) -> None:
        """Loads `model.so`; weights are mapped from `weights_path` when given, else copied once from the bundle.

        Raises UserError for a bundle without `model.so`, of another ABI, or for a CPU that this host is not.
        """
        manifest = bundle.manifest
        shared = bundle.files.get("model.so")
        if shared is None:
            raise UserError(
                f"bundle {manifest.name} is for {manifest.target.name} and holds no model.so for this host: "
                f"compile it with target='host'"
            )
        _check_features(manifest)
        self.manifest = manifest
        self._library = _open_library(shared, manifest.name)
        self._descriptor = _read_descriptor(self._library, manifest)
        self._weights = _map_weights(bundle, weights_path)
        if self._weights.nbytes != self._descriptor.weights_bytes:
            raise UserError(
                f"weights of {manifest.name} are {self._weights.nbytes} bytes where the code expects "
                f"{self._descriptor.weights_bytes}: the bundle is damaged, compile it again"
            )
        self._inputs = tuple((t.name, np.dtype(t.dtype), tuple(t.shape)) for t in manifest.inputs)
        self._outputs = tuple((t.name, np.dtype(t.dtype), tuple(t.shape)) for t in manifest.outputs)
        self._run_address = self._descriptor.run
        self._profile_address = self._descriptor.profile
        self._run_alone = _Entry(self._run_address)
        self._crew_run = self._library.fk_crew_run
        self._states: list[_State] = []
        self._every_crew: list[ctypes.c_void_p] = []
        self._finalizer = weakref.finalize(self, _release, self._library, self._every_crew, os.getpid())
        self._finalizer.atexit = False  # at exit the system frees all of it
        _loaded.add(self)
        self._states.append(self._new_state())

    def run(self, feeds: Mapping[str, npt.NDArray[np.generic]]) -> dict[str, npt.NDArray[np.generic]]:
        """Outputs by ONNX name, as fresh arrays, for inputs by ONNX name.

        Inputs have the manifest's dtypes and shapes; C-contiguous aligned ones are read in place.
        Raises UserError for a missing, unknown or mistyped input.
        """
        state, kept, outputs = self._prepare(feeds)
        try:
            if state.crew is None:
                self._run_alone(state.call_address, 0)
            else:
                self._crew_run(state.crew, state.call_address, self._run_address)
        finally:
            self._states.append(state)
        del kept  # the inputs had to outlive the kernels
        return outputs

    def run_profiled(self, feeds: Mapping[str, npt.NDArray[np.generic]]) -> tuple[int, ...]:
        """Nanoseconds of each step of one inference, in manifest order.

        Each figure includes about a microsecond for the Python callback; `fusekit bench` measures without.
        """
        state, kept, _outputs = self._prepare(feeds)
        stamps: list[int] = []

        def tick(_call: int, thread: int, _step: int) -> None:
            if thread == 0:
                stamps.append(time.perf_counter_ns())

        callback = _Tick(tick)
        state.call.tick = ctypes.cast(callback, ctypes.c_void_p).value
        stamps.append(time.perf_counter_ns())
        try:
            if state.crew is None:
                _Entry(self._profile_address)(state.call_address, 0)
            else:
                self._crew_run(state.crew, state.call_address, self._profile_address)
        finally:
            state.call.tick = None
            self._states.append(state)
        del kept
        return tuple(after - before for before, after in itertools.pairwise(stamps))

    def close(self) -> None:
        """Ends the crews and unloads the code; the model must not be running or be used afterwards."""
        self._states.clear()
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _prepare(
        self, feeds: Mapping[str, npt.NDArray[np.generic]]
    ) -> tuple[_State, list[npt.NDArray[np.generic]], dict[str, npt.NDArray[np.generic]]]:
        """A call state with its pointers set, the arrays that must stay alive, and the fresh outputs."""
        try:
            if len(feeds) != len(self._inputs):
                raise self._feed_error(feeds)
            kept = []
            for name, dtype, shape in self._inputs:
                array = feeds.get(name)
                if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
                    raise self._feed_error(feeds)
                flags = array.flags
                if not (flags.c_contiguous and flags.aligned):
                    array = array.copy()
                kept.append(array)
        except (TypeError, AttributeError):  # feeds is no mapping; looking first would cost every call
            raise self._feed_error(feeds) from None
        outputs: dict[str, npt.NDArray[np.generic]] = {
            name: np.empty(shape, dtype) for name, dtype, shape in self._outputs
        }
        # list.pop and list.append are atomic in CPython: the pool needs no lock of its own.
        try:
            state = self._states.pop()
        except IndexError:
            state = self._new_state()
        for i, array in enumerate(kept):
            state.inputs[i] = _address(array)
        for i, array in enumerate(outputs.values()):
            state.outputs[i] = _address(array)
        return state, kept, outputs

    def _new_state(self) -> _State:
        if not self._finalizer.alive:
            raise UserError(f"model {self.manifest.name} is closed: load it again with fusekit.load")
        state = _State(self._library, self._descriptor, self._weights.ctypes.data)
        if state.crew is not None:
            self._every_crew.append(state.crew)
        return state

    def _feed_error(self, feeds: object) -> UserError:
        """The first thing wrong with the feeds, in words."""
        known = ", ".join(f"{n} {d}{list(s)}" for n, d, s in self._inputs)
        names = [n for n, _, _ in self._inputs]
        takes = f"{self.manifest.name} takes a dict of input names to numpy arrays"
        if not isinstance(feeds, Mapping):
            return UserError(f"{takes}, not {type(feeds).__name__}: its inputs are {known}")
        for name in feeds:
            if not isinstance(name, str):
                return UserError(f"{takes}, not a dict with the key {name!r}: its inputs are {known}")
            if name not in names:
                guess = difflib.get_close_matches(name, names, 1)
                hint = f" (did you mean '{guess[0]}'?)" if guess else ""
                return UserError(f"{self.manifest.name} has no input '{name}'{hint}: its inputs are {known}")
        for name, dtype, shape in self._inputs:
            if name not in feeds:
                return UserError(f"input '{name}' of {self.manifest.name} is missing: its inputs are {known}")
            array = feeds[name]
            if not isinstance(array, np.ndarray):
                return UserError(
                    f"input '{name}' of {self.manifest.name} is a {type(array).__name__}: give a numpy array"
                )
            if array.dtype != dtype or array.shape != shape:
                return UserError(
                    f"input '{name}' of {self.manifest.name} is {array.dtype}{list(array.shape)} "
                    f"where the model takes {dtype}{list(shape)}"
                )
        raise AssertionError("feeds are right")


_loaded: weakref.WeakSet[Model] = weakref.WeakSet()


def _forget_states_after_fork() -> None:
    # A forked child has none of the parent's crew threads: it makes its own states at the first call.
    for model in _loaded:
        model._states.clear()
        model._every_crew.clear()


os.register_at_fork(after_in_child=_forget_states_after_fork)


def _release(library: ctypes.CDLL, crews: list[ctypes.c_void_p], owner_pid: int) -> None:
    if os.getpid() != owner_pid and not crews:
        return
    while crews:
        library.fk_crew_destroy(crews.pop())
    _dlclose(ctypes.c_void_p(library._handle))


_dlclose = ctypes.CDLL(None).dlclose
_dlclose.argtypes = [ctypes.c_void_p]


def _open_library(shared: bytes, name: str) -> ctypes.CDLL:
    # dlopen returns the library that it already has under a name: every load gets a name of its own.
    with tempfile.TemporaryDirectory(prefix="fusekit-") as folder:
        path = Path(folder, "model.so")
        path.write_bytes(shared)
        try:
            library = ctypes.CDLL(str(path))
            library.fk_crew_create.argtypes = [ctypes.c_int64, ctypes.c_void_p]
            library.fk_crew_create.restype = ctypes.c_void_p
            library.fk_crew_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
            library.fk_crew_run.restype = None
            library.fk_crew_destroy.argtypes = [ctypes.c_void_p]
            library.fk_crew_destroy.restype = None
        except (OSError, AttributeError) as error:
            said = str(error).removeprefix(f"{path}: ")
            raise UserError(f"model.so of {name} is damaged ({said}): compile it again") from None
    return library


def _read_descriptor(library: ctypes.CDLL, manifest: Manifest) -> _Descriptor:
    apart = UserError(
        f"manifest.json and model.so of {manifest.name} do not belong together, one is damaged: compile it again"
    )
    try:
        descriptor = _Descriptor.in_dll(library, manifest.symbol)
    except ValueError:
        raise apart from None
    if descriptor.abi != ABI:
        raise UserError(
            f"bundle {manifest.name} has ABI {descriptor.abi} where this fusekit has {ABI}: compile it again"
        )
    inputs, outputs = ([_size(t) for t in tensors] for tensors in (manifest.inputs, manifest.outputs))
    # counts first: they say how far the code's own lists reach
    counts = (descriptor.n_inputs, descriptor.n_outputs, descriptor.n_steps, descriptor.threads)
    if counts != (len(inputs), len(outputs), len(manifest.kernels), manifest.threads):
        raise apart
    sizes = (descriptor.weights_bytes, descriptor.arena_bytes, descriptor.scratch_bytes)
    if sizes != (manifest.weights_bytes, manifest.arena_bytes, manifest.scratch_bytes):
        raise apart
    if (descriptor.input_bytes[: len(inputs)], descriptor.output_bytes[: len(outputs)]) != (inputs, outputs):
        raise apart
    return descriptor


def _size(tensor: TensorInfo) -> int:
    """The bytes that an array of the tensor's dtype and shape has."""
    return math.prod(tensor.shape) * np.dtype(tensor.dtype).itemsize


def _map_weights(bundle: Bundle, path: Path | None) -> npt.NDArray[np.uint8]:
    """The weights, 64-byte aligned and never written: pages of the file, shared by processes, or a copy in large pages, which kernels stream faster."""
    if path is not None and path.stat().st_size:
        with path.open("rb") as file:
            return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
    data = bundle.files["weights.bin"]
    if not data:
        return _aligned(0)
    pages = mmap.mmap(-1, len(data))
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with contextlib.suppress(OSError):  # a kernel built without them
            pages.madvise(mmap.MADV_HUGEPAGE)
    pages.write(data)
    return np.frombuffer(pages, np.uint8)


def _address(array: npt.NDArray[np.generic]) -> int:
    """Where the elements of a contiguous array lie: asked of its buffer, which takes a quarter of the time, unless it is read-only or empty."""
    try:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))
    except (TypeError, ValueError):
        return int(array.__array_interface__["data"][0])


def _aligned(size: int) -> npt.NDArray[np.uint8]:
    block = np.zeros(size + ALIGNMENT, np.uint8)
    start = -block.ctypes.data % ALIGNMENT
    return block[start : start + size]


def _check_features(manifest: Manifest) -> None:
    missing = [f for f in manifest.target.features if f not in host_features()]
    if missing:
        raise UserError(
            f"this CPU lacks {', '.join(missing)}, which {manifest.name} for {manifest.target.name} needs: "
            f"compile it with target='host'"
        )
