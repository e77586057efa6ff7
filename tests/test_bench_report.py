from typing import Any

import torch

from pipeline.bench.report import COLUMNS, machine, ratios, remarks, row, table

MS = {name: {"median": 10.0, "min": 9.0, "p95": 12.0} for name in ("denoise", "context", "passes", "decode", "chunk")}
FACTS = {
    **{"model": "toy", "size": "64x64", "dtype": "bfloat16", "attention": "fa3", "linears": "fp8", "compiled": True},
    **{"graph": False, "decoder": "taehv", "window": 12, "sink": 3, "steps": 4},
}
FIRST: dict[str, Any] = {
    **{"name": "as configured", "words": [], "facts": FACTS, "ms": MS, "frames_per_s": 50.0, "times_real_time": 3.1},
    **{"share_of_ceiling": {"bfloat16": 0.81, "fp8": 0.5}, "peak_gib": 20.25, "start_s": {"cold": 50.0, "warm": 9.0}},
    **{"ceilings": [{"operation": "8x8x8", "how": "bfloat16", "tflops": 800.0}], "tflop": 141.0},
    "baseline": {"ms": MS, "times_as_fast": 1.9},
}
OTHER = {**FIRST, "name": "the same, x=1", "baseline": None, "start_s": None, "share_of_ceiling": {}}


def test_a_row_tells_what_ran_and_how_fast() -> None:
    """Everything that a reader compares stands in its own cell; what was not measured is a dash."""
    cells = [cell.strip() for cell in row(FIRST).strip("|").split(" | ")]
    told = dict(zip(COLUMNS, cells, strict=True))
    assert told["what runs"] == "toy, 64x64, bfloat16, fa3, linears fp8, compiled, taehv"
    assert told["window / sink / steps"] == "12 / 3 / 4"
    assert told["chunk, ms (min to p95)"] == "10.0 (9.0 to 12.0)"
    assert told["new text, ms"] == "-"
    assert told["share of ceiling"] == "bfloat16 81%, fp8 50%"
    assert told["start cold / warm, s"] == "50.0 / 9.0"
    assert row(OTHER).endswith("| - | 20.2 | - |")
    assert len({line.count("|") for line in table([FIRST, OTHER])}) == 1


def test_faster_is_more_than_one() -> None:
    """A ratio says how many times as fast the other setting is, for each stage that both have."""
    half = {"ms": {name: {"median": 5.0} for name in ("denoise", "chunk", "new_text")}}
    assert ratios(FIRST, half) == {"denoise": 2.0, "chunk": 2.0}


def test_what_a_row_has_no_place_for_is_said_below() -> None:
    """One line for the machine, one for each measurement of ceilings, one for each ratio."""
    told = {"chunks": 20, **machine(torch.device("cpu")), "settings": [FIRST, {**OTHER, "ratios": {"chunk": 0.5}}]}
    lines = remarks(told)
    assert [line.partition(":")[0] for line in lines[1:]] == [
        "ceilings, TFLOP/s, of 141 TFLOP",
        "as configured",
        "the same, x=1",
    ]
    assert "1.90 times as fast as the eager baseline, 10.0 ms" in lines[2]
    assert lines[3].endswith("chunk 0.50")
    assert lines[0].endswith("medians of 20 chunks")


def test_the_machine_is_named() -> None:
    """A figure without it says nothing; a CPU's depends on its threads."""
    told = machine(torch.device("cpu"))
    assert told["device"].endswith(f", {torch.get_num_threads()} threads")
    assert (told["torch"], told["cuda"]) == (torch.__version__, None)
