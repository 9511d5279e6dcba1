"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.support.contest import Row, elsewhere
from benchmarks.support.setting import Setting, confine
from probgen.execution import keep_freed_memory

FAMILIES = (
    "vae",
    "discrete",
    "flows_training",
    "flows_sampling",
    "autoregressive",
    "boltzmann",
    "adversarial",
    "diffusion",
    "mmd",
    "trainer",
    "starting",
)
"""Modules of `benchmarks.families`, in the order of the table."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the rows that were asked for, and print and write what was measured; return 1 if a contestant failed."""
    options = _parser().parse_args(arguments)
    if options.publish is not None:
        from benchmarks.support.publishing import publish

        publish(options.publish)
        return 0
    setting = Setting(
        rounds=options.rounds,
        seconds=options.seconds,
        threads=options.threads,
        device=options.device,
        precision=options.precision,
        inductor=options.inductor,
    )
    confine(setting.threads)
    if options.scaling:
        from benchmarks.support.scaling import run_scaling

        return run_scaling(options.only, setting, options.out, _say)
    keep_freed_memory()  # for everybody: else what a row left behind decides what the next one pays for memory
    return _compare(options.only, setting, options.out, list_only=options.list)


def _compare(only: Sequence[str], setting: Setting, out: Path | None, *, list_only: bool) -> int:
    from benchmarks.support.plot import plot_ratios
    from benchmarks.support.report import as_json, table
    from benchmarks.support.running import run_row

    outcomes, begun = [], time.perf_counter()
    for row in _rows(only, setting):
        if list_only:
            print(f"{row.name}: {row.title} [{', '.join(row.makers)}]")
            continue
        outcomes.append(run_row(row, setting, lambda text: _say(text, begun)))
        for name, reason in outcomes[-1].failed.items():
            _say(f"{row.name}: {name} failed: {reason}", begun)
        if out is not None:  # after every row: a run that is stopped has measured something
            out.mkdir(parents=True, exist_ok=True)
            (out / "benchmarks.json").write_text(json.dumps(as_json(outcomes, setting), indent=1) + "\n")
            (out / "table.md").write_text(table(outcomes) + "\n")
    if list_only:
        return 0
    if not outcomes:
        _say(f"no row is called like {', '.join(only)}; --list shows all")
        return 2
    if out is not None:
        plot_ratios(outcomes, out / "ratios.svg")
    print(table(outcomes))
    return int(any(outcome.failed for outcome in outcomes))


def _rows(only: Sequence[str], setting: Setting) -> Iterator[Row]:
    """Yield the rows whose name or family starts with one of `only`, or all; a family is imported when its turn comes."""
    single, half = dataclasses.replace(setting, precision="float32"), setting.precision != "float32"
    for family in FAMILIES:
        made = importlib.import_module(f"benchmarks.families.{family}").rows
        for row, usual in zip(made(setting), made(single) if half else itertools.repeat(None), strict=False):
            if only and not any(row.name.startswith(word) or family.startswith(word) for word in only):
                continue
            if row.trains or not half:
                yield elsewhere(row, usual) if half or setting.device != "cpu" else row


def _say(text: str, begun: float | None = None) -> None:
    stamp = "" if begun is None else f"[{time.perf_counter() - begun:5.0f} s] "
    print(stamp + text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time probgen beside hand-written PyTorch and other libraries, in turns, and compare.",
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="rows or families, by how their names start")
    parser.add_argument("--list", action="store_true", help="show the rows and stop")
    parser.add_argument("--rounds", type=int, default=12, help="most rounds of a row (default 12)")
    parser.add_argument("--seconds", type=float, default=8.0, help="time after which a row starts no new round (default 8)")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1), help="threads of every contestant")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--no-inductor", dest="inductor", action="store_false", help="leave out what is compiled")
    parser.add_argument("--scaling", action="store_true", help="time and memory against size, instead of the comparison")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write JSON, table and plot here")
    parser.add_argument("--publish", type=Path, metavar="FOLDER", help="put what a run wrote there into the documentation")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
