"""The engine for CUDA on a card: kernels against plain torch, recordings against launches, drafts against none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import tiny_model

from rag_core.engines.llama import read_settings

if not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0):
    pytest.skip("needs a CUDA card of compute capability 8.0 or more", allow_module_level=True)

from rag_core.engines.cuda.engine import CudaEngine
from rag_core.engines.cuda.fused import FusedOps
from rag_core.engines.cuda.weights import Matrix, pack

DEVICE = torch.device("cuda")
NONE: frozenset[int] = frozenset()
PROMPTS = [[1, 20, 21, 22, 20, 21] * 4, [1, 40, 41], [1, *range(5, 45)], [1, 7, 9, 7, 9, 7], [1, 20, 21, 60], [1, 90]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("models") / "mistral", "mistral", dtype="bfloat16")


def engine(folder: Path, **options: Any) -> CudaEngine:
    settings = read_settings(folder, windowed=True)
    assert settings is not None
    return CudaEngine(folder, settings, NONE, **{"length": 400, "most_chats": 4, **options})


def tokens(made: CudaEngine, prompt: list[int], count: int = 60) -> list[int]:
    return [token for step in made.generate(prompt, count) for token in step.tokens]


@pytest.mark.parametrize("four_bit", [False, True])
def test_kernels_compute_what_plain_torch_computes(folder: Path, four_bit: bool) -> None:
    settings = read_settings(folder)
    assert settings is not None
    with torch.inference_mode():
        FusedOps(settings, 400, DEVICE, torch.bfloat16).try_out(four_bit)


@pytest.mark.parametrize("four_bit", [False, True])
def test_a_row_s_numbers_do_not_depend_on_the_others(folder: Path, four_bit: bool) -> None:
    settings = read_settings(folder)
    assert settings is not None
    operations = FusedOps(settings, 400, DEVICE, torch.bfloat16)
    weights = torch.randn(512, 1_024, device=DEVICE, dtype=torch.bfloat16)
    matrix = pack(weights) if four_bit else Matrix(512, 1_024, dense=weights)
    x, norm = (torch.randn(*shape, device=DEVICE, dtype=torch.bfloat16) for shape in ((16, 1_024), (1_024,)))
    for work in (lambda rows: operations.multiply(rows, matrix), lambda rows: operations.gate(rows, matrix, norm)):
        together = work(x)
        for first, last in ((0, 1), (3, 8), (15, 16), (0, 15)):
            assert torch.equal(work(x[first:last].contiguous()), together[first:last])


@pytest.mark.parametrize("four_bit", [False, True])
def test_drafts_recordings_and_company_change_no_token(folder: Path, four_bit: bool) -> None:
    plain = engine(folder, four_bit=four_bit, prompt_lookup=False, prepare=False)
    plain._passes._record = False
    expected = [tokens(plain, prompt) for prompt in PROMPTS]
    for lookup in (False, True):
        made = engine(folder, four_bit=four_bit, prompt_lookup=lookup)
        assert made.prepared()
        assert made._passes.recording
        assert [tokens(made, prompt) for prompt in PROMPTS] == expected
        # Afresh, so that nobody finds the start of their prompt, which would be read in another way.
        made = engine(folder, four_bit=four_bit, prompt_lookup=lookup)
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda prompt, made=made: tokens(made, prompt), PROMPTS[:4])) == expected[:4]


def test_a_pass_is_launched_without_waiting_for_the_one_before(folder: Path) -> None:
    made = engine(folder, prepare=False)
    passes = made._passes
    with torch.inference_mode(), made._context():
        for _ in range(2):  # compiles, records, takes page-locked memory
            pending = [passes.read(PROMPTS[2], 0, 0), passes.advance([0], 64)]
            passes.place(0, 5, len(PROMPTS[2]) + 1)
            assert all(0 <= token < 128 for each in pending for token in each.tokens())
        torch.cuda.set_sync_debug_mode("error")
        try:
            pending = [passes.read(PROMPTS[2], 0, 0), passes.advance([0], 64)]
            passes.place(0, 5, len(PROMPTS[2]) + 1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert all(0 <= token < 128 for each in pending for token in each.tokens())


def test_rows_of_one_chat_attend_as_rows_of_any(folder: Path) -> None:
    settings = read_settings(folder)
    assert settings is not None
    operations = FusedOps(settings, 400, DEVICE, torch.bfloat16)
    head, kept = settings.head_size, settings.key_value_heads
    keys, values = (torch.randn(3, kept, 400, head, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    qkv = torch.randn(8, (settings.heads + 2 * kept) * head, device=DEVICE, dtype=torch.bfloat16)
    slots = torch.tensor([2] * 6 + [3, 3], device=DEVICE)
    positions = torch.tensor([*range(125, 131), -1, -1], device=DEVICE)
    apart = operations.attend(qkv, keys, values, slots, positions, 400)
    assert torch.equal(operations.attend(qkv, keys, values, slots, positions, 400, True)[:6], apart[:6])


@pytest.mark.parametrize("four_bit", [False, True])
def test_kernels_that_begin_early_compute_the_same(folder: Path, four_bit: bool) -> None:
    settings = read_settings(folder)
    assert settings is not None
    operations = FusedOps(settings, 400, DEVICE, torch.bfloat16)
    if not operations._chain["CHAIN"]:
        pytest.skip("this card begins no kernel before the one ahead has ended")
    weights = torch.randn(512, 512, device=DEVICE, dtype=torch.bfloat16) / 16
    matrix = pack(weights) if four_bit else Matrix(512, 512, dense=weights)
    norm, start = (torch.randn(*shape, device=DEVICE, dtype=torch.bfloat16) for shape in ((512,), (4, 512)))

    def chained() -> torch.Tensor:
        x = start
        for _ in range(40):
            x = operations.multiply(x, matrix, norm=norm, residual=x)
        return x

    early = [chained() for _ in range(5)]
    operations._chain = {"CHAIN": False}
    assert all(torch.equal(each, chained()) for each in early)
