"""Reading tensors from a checkpoint, and rejecting anything else."""

import pickle
import struct
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meet_transcriber.core.errors import EngineUnavailable
from meet_transcriber.engines.onnx.network import read_checkpoint
from tests.unit.engines.onnx.checkpoints import (
    Tensor,
    called,
    dictionary,
    named,
    number,
    program,
    small,
    text,
    tuple_of,
    write,
)

NUMBERS = np.arange(12, dtype=np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.bin"


def test_tensors_are_read_by_their_names(path: Path) -> None:
    tensors = {
        "weight": Tensor("0", "FloatStorage", [3, 4], [4, 1]).opcodes(),
        "count": Tensor("1", "LongStorage", [], []).opcodes(),
    }
    write(path, dictionary(tensors), {"0": NUMBERS, "1": np.array([7], np.int64)})
    found = read_checkpoint(path)
    assert list(found) == ["weight", "count"]
    np.testing.assert_array_equal(found["weight"], NUMBERS.reshape(3, 4))
    assert found["weight"].dtype == np.float32
    assert found["count"] == 7


@pytest.mark.parametrize(
    ("shape", "strides", "offset", "expected"),
    [
        ([4, 3], [1, 4], 0, NUMBERS.reshape(3, 4).T),
        ([2, 2], [4, 2], 1, [[1, 3], [5, 7]]),
        ([12], [1], 0, NUMBERS),
        ([0, 4], [4, 1], 12, np.zeros((0, 4))),
    ],
)
def test_a_tensor_may_be_any_part_of_its_storage(
    path: Path, shape: list[int], strides: list[int], offset: int, expected: object
) -> None:
    tensor = Tensor("0", "FloatStorage", shape, strides, offset)
    found = read_checkpoint(write(path, dictionary({"w": tensor.opcodes()}), {"0": NUMBERS}))["w"]
    np.testing.assert_array_equal(found, np.asarray(expected))
    assert found.flags.c_contiguous


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("FloatStorage", "f4"), ("HalfStorage", "f2"), ("LongStorage", "i8"), ("IntStorage", "i4")],
)
def test_types_of_storages(path: Path, kind: str, dtype: str) -> None:
    tensor = Tensor("0", kind, [3], [1])
    values = np.array([1, -2, 3], f"<{dtype}")
    found = read_checkpoint(write(path, dictionary({"w": tensor.opcodes()}), {"0": values}))["w"]
    np.testing.assert_array_equal(found, values)
    assert found.dtype == values.dtype


def test_the_weights_of_a_training_checkpoint_are_below_its_state(path: Path) -> None:
    trained = {
        "epoch": number(3),
        "callback": called(named("lightning.callbacks", "Stopping"), number(1)),
        "state_dict": dictionary({"w": Tensor("0", "FloatStorage", [12], [1]).opcodes()}),
    }
    assert list(read_checkpoint(write(path, dictionary(trained), {"0": NUMBERS}))) == ["w"]


def _with_code(mark: Path) -> list[bytes]:
    """Pickles that would run `touch`."""
    command = f"touch {mark}"
    source = f"open({str(mark)!r}, 'w')"
    arguments = tuple_of(text(command))
    as_text = f"S'{command}'\n".encode()
    return [
        called(named("os", "system"), text(command)),
        called(named("posix", "system"), text(command)),
        called(named("builtins", "eval"), text(source)),
        called(named("builtins", "exec"), text(source)),
        called(named("subprocess", "getoutput"), text(command)),
        called(named("torch._utils", "exec"), text(source)),
        called(named("meet_transcriber.engines.onnx.checkpoint", "np.save"), text(str(mark))),
        named("subprocess", "Popen") + arguments + pickle.NEWOBJ,
        pickle.MARK + as_text + pickle.INST + b"os\nsystem\n",
        pickle.MARK + named("os", "system") + text(command) + pickle.OBJ,
        text("os") + text("system") + pickle.STACK_GLOBAL + arguments + pickle.REDUCE,
        called(called(named("builtins", "getattr"), named("os", "x"), text("system")), arguments),
    ]


@pytest.mark.parametrize("way", range(12))
def test_no_code_in_a_checkpoint_runs(path: Path, tmp_path: Path, way: int) -> None:
    mark = tmp_path / "mark"
    attack = _with_code(mark)[way]
    good = Tensor("0", "FloatStorage", [12], [1]).opcodes()
    write(path, dictionary({"attack": attack, "w": good}), {"0": NUMBERS})
    with suppress(EngineUnavailable):
        assert list(read_checkpoint(path)) == ["w"]
    assert not mark.exists()


def test_the_code_would_run_in_an_ordinary_unpickler(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    pickle.loads(program(_with_code(mark)[2])).close()
    assert mark.exists()


def test_checkpoints_do_not_affect_each_other(path: Path) -> None:
    builder = named("torch._utils", "_rebuild_tensor_v2")
    state = dictionary({"__defaults__": tuple_of(), "__call__": pickle.NONE})
    changed = [
        value + tuple_of(pickle.NONE, state) + pickle.BUILD
        for value in (builder, named("torch", "FloatStorage"), named("collections", "OrderedDict"))
    ]
    for attack in changed:
        write(path, dictionary({"attack": attack}), {})
        with pytest.raises(EngineUnavailable):
            read_checkpoint(path)
    assert read_checkpoint(small(path))["bias"].tolist() == [1.5, -2.0, 4.0]


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ([13], [1], 0),
        ([3], [6], 0),
        ([2, 2], [1, 11], 1),
        ([12], [1], 1),
        ([1], [1], 12),
        ([1], [1], -1),
        ([4], [-1], 6),
        ([-2], [1], 0),
        ([1 << 40], [0], 0),
        ([1 << 62, 4], [4, 1], 0),
        ([3], [1, 1], 0),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(
    path: Path, shape: list[int], strides: list[int], offset: int
) -> None:
    tensor = Tensor("0", "FloatStorage", shape, strides, offset)
    write(path, dictionary({"w": tensor.opcodes()}), {"0": NUMBERS})
    with pytest.raises(EngineUnavailable, match=r"cannot be read as a checkpoint: .+\.$"):
        read_checkpoint(path)


def test_a_tensor_of_a_tensor_is_refused(path: Path) -> None:
    """An empty tensor with many rows would pass a check of its length."""
    empty = Tensor("0", "FloatStorage", [1000, 0], [0, 0]).opcodes()
    again = called(
        named("torch._utils", "_rebuild_tensor_v2"),
        empty, number(0), tuple_of(number(1000)), tuple_of(number(1)),
    )  # fmt: skip
    write(path, dictionary({"w": again}), {"0": NUMBERS})
    with pytest.raises(EngineUnavailable, match="a tensor has no storage"):
        read_checkpoint(path)


def test_a_shape_of_arrays_is_refused(path: Path) -> None:
    """Their sums would wrap around."""
    size = Tensor("1", "LongStorage", [1], [1]).opcodes()
    whole = Tensor("0", "FloatStorage", [12], [1]).opcodes()
    made = called(
        named("torch._utils", "_rebuild_tensor_v2"),
        whole, number(0), tuple_of(size), tuple_of(number(4)),
    )  # fmt: skip
    write(path, dictionary({"w": made}), {"0": NUMBERS, "1": np.array([1 << 62], np.int64)})
    with pytest.raises(EngineUnavailable, match="an invalid shape"):
        read_checkpoint(path)


@pytest.mark.parametrize("kind", ["QInt8Storage", "ComplexFloatStorage", "Tensor", "load"])
def test_an_unknown_type_of_storage_is_refused(path: Path, kind: str) -> None:
    tensor = Tensor("0", kind, [3], [1])
    with pytest.raises(EngineUnavailable, match="unknown storage type"):
        read_checkpoint(write(path, dictionary({"w": tensor.opcodes()}), {"0": NUMBERS}))


def test_a_storage_that_is_missing_or_cut_is_refused(path: Path) -> None:
    content = dictionary({"w": Tensor("0", "FloatStorage", [3], [1]).opcodes()})
    for storages in ({}, {"0": np.zeros(11, np.uint8)}):
        with pytest.raises(EngineUnavailable):
            read_checkpoint(write(path, content, storages))


@pytest.mark.parametrize(
    "content", [dictionary({}), number(5), dictionary({"state_dict": number(5)}), text("w")]
)
def test_a_checkpoint_without_tensors_is_refused(path: Path, content: bytes) -> None:
    with pytest.raises(EngineUnavailable, match="contains no tensors"):
        read_checkpoint(write(path, content, {}))


def test_a_compressed_member_is_refused(path: Path) -> None:
    """torch.save does not compress, so a small file cannot become a large one."""
    tensor = Tensor("0", "FloatStorage", [1 << 22], [1])
    zeros = np.zeros(1 << 22, np.float32)
    write(path, dictionary({"w": tensor.opcodes()}), {"0": zeros}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 16
    with pytest.raises(EngineUnavailable, match="is compressed"):
        read_checkpoint(path)


@pytest.mark.parametrize("place", [1 << 20, (1 << 32) - 1])
def test_a_pickle_with_a_huge_memo_index_is_refused(path: Path, place: int) -> None:
    content = pickle.EMPTY_DICT + pickle.LONG_BINPUT + struct.pack("<I", place)
    with pytest.raises(EngineUnavailable, match="memo index"):
        read_checkpoint(write(path, content, {}))


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip at all", b"\x80\x02}q\x00."])
def test_a_file_that_is_not_an_archive_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(EngineUnavailable, match=r"cannot be read as a checkpoint: .+\.$"):
        read_checkpoint(path)


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="No such file"):
        read_checkpoint(path)


def test_every_truncation_is_refused(path: Path) -> None:
    whole = small(path).read_bytes()
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(EngineUnavailable):
            read_checkpoint(path)


def _read(path: Path) -> None:
    """EngineUnavailable is the only error."""
    with suppress(EngineUnavailable):
        assert all(isinstance(array, np.ndarray) for array in read_checkpoint(path).values())


FUZZED = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200
)


@FUZZED
@given(at=st.integers(0, 10_000), new=st.binary(min_size=1, max_size=8))
def test_damaged_files_raise_nothing_else(path: Path, at: int, new: bytes) -> None:
    content = bytearray(small(path).read_bytes())
    place = at % len(content)
    content[place : place + len(new)] = new
    path.write_bytes(content)
    _read(path)


@FUZZED
@given(st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=4)), max_size=4))
def test_damaged_pickles_raise_nothing_else(path: Path, edits: list[tuple[int, bytes]]) -> None:
    content = bytearray(dictionary({"w": Tensor("0", "FloatStorage", [12], [1]).opcodes()}))
    for at, new in edits:
        place = at % len(content)
        content[place : place + len(new)] = new
    _read(write(path, bytes(content), {"0": NUMBERS}))


@FUZZED
@given(st.binary(max_size=200))
def test_any_pickle_raises_nothing_else(path: Path, content: bytes) -> None:
    _read(write(path, content, {"0": NUMBERS}))
