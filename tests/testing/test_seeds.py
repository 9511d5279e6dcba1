"""Seeds of checks, and the light face of the kit."""

from __future__ import annotations

import subprocess
import sys

import pytest

from probgen import testing
from probgen.errors import ConfigurationError
from probgen.testing import derive_seed, session_entropy
from probgen.testing.seeds import SEED_VARIABLE


class TestSeeds:
    def test_every_part_counts(self) -> None:
        seeds = [
            derive_seed("a", entropy=1),
            derive_seed("b", entropy=1),
            derive_seed("a", entropy=2),
            derive_seed("a", "model", entropy=1),
            derive_seed("a", "model", 1, entropy=1),
            derive_seed("a", "model", "1", entropy=1),
            derive_seed("a", "model\0001", entropy=1),
        ]
        assert len(set(seeds)) == len(seeds)
        assert all(0 <= seed < 2**63 for seed in seeds)

    def test_they_are_the_same_in_every_process(self) -> None:
        assert derive_seed("mean", "sbn(k=2)", 3, entropy=7) == 5150548298948613654

    def test_a_sessions_entropy_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv(SEED_VARIABLE, raising=False)
        assert session_entropy() == session_entropy()
        assert derive_seed("a") == derive_seed("a", entropy=session_entropy())

    def test_sessions_differ(self) -> None:
        program = "from probgen.testing.seeds import session_entropy; print(session_entropy())"
        runs = [
            subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True) for _ in range(2)
        ]
        assert runs[0].stdout != runs[1].stdout

    @pytest.mark.parametrize(("text", "entropy"), [("12", 12), ("0xff", 255)])
    def test_the_environment_fixes_it(self, monkeypatch: pytest.MonkeyPatch, text: str, entropy: int) -> None:
        monkeypatch.setenv(SEED_VARIABLE, text)
        assert session_entropy() == entropy

    @pytest.mark.parametrize("text", ["-1", "lucky"])
    def test_the_environment_must_hold_a_number(self, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
        monkeypatch.setenv(SEED_VARIABLE, text)
        with pytest.raises(ConfigurationError, match=SEED_VARIABLE):
            session_entropy()


class TestFace:
    def test_every_name_resolves(self) -> None:
        assert set(testing.__all__) == set(testing._HOMES)
        assert all(getattr(testing, name) is not None for name in testing.__all__)

    def test_other_names_do_not(self) -> None:
        with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
            testing.nonsense  # noqa: B018

    def test_importing_it_imports_neither_torch_nor_pytest(self) -> None:
        program = "import sys, probgen.testing; sys.exit(bool({'torch', 'pytest', 'hypothesis'} & set(sys.modules)))"
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

    def test_the_engines_need_no_test_runner(self) -> None:
        names = ", ".join(testing.__all__)
        program = (
            f"import sys; from probgen.testing import {names}; sys.exit(bool({{'pytest', 'hypothesis'}} & set(sys.modules)))"
        )
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
