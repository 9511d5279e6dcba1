"""No plugin can stop another, and whatever is wrong with one is said with its distribution and version."""

from __future__ import annotations

import dataclasses

import pytest

from probgen.errors import PluginLoadError, UnknownNameError
from probgen.plugin import registry

GOOD = """
    from probgen.plugin import ModelSpec, hookimpl

    @hookimpl
    def probgen_models():
        return [ModelSpec("{name}", "A model.", "nowhere:Nothing")]
"""

BAD = {
    "raises on import": (
        "raise RuntimeError('no luck today')",
        "RuntimeError: no luck today",
    ),
    "exits on import": (
        "import sys; sys.exit('goodbye')",
        "SystemExit: goodbye",
    ),
    "imports what is not installed": (
        "import surely_not_installed",
        "ModuleNotFoundError: No module named 'surely_not_installed'",
    ),
    "raises in a hook": (
        """
        from probgen.plugin import hookimpl

        @hookimpl
        def probgen_models():
            return [1 / 0]
        """,
        "probgen_models: ZeroDivisionError: division by zero",
    ),
    "returns a spec without a list": (
        """
        from probgen.plugin import ModelSpec, hookimpl

        @hookimpl
        def probgen_models():
            return ModelSpec("fake/one", "A model.", "nowhere:Nothing")
        """,
        "probgen_models: expected a list of ModelSpec; got an object of type ModelSpec",
    ),
    "returns nothing": (
        """
        from probgen.plugin import hookimpl

        @hookimpl
        def probgen_models():
            pass
        """,
        "probgen_models: expected a list of ModelSpec; got None",
    ),
    "registers a wrong type": (
        """
        from probgen.plugin import DataSpec, hookimpl

        @hookimpl
        def probgen_models():
            return [DataSpec("fake-data", "Data.", "nowhere:Nothing")]
        """,
        "probgen_models: expected ModelSpecs only; got an object of type DataSpec",
    ),
    "makes an invalid spec": (
        """
        from probgen.plugin import ModelSpec, hookimpl

        @hookimpl
        def probgen_models():
            return [ModelSpec("Fake", "A model.", "nowhere:Nothing")]
        """,
        "probgen_models: PluginLoadError: ModelSpec 'Fake': expected a name like 'family/model'; got 'Fake'.",
    ),
    "misspells a hook": (
        """
        from probgen.plugin import hookimpl

        @hookimpl
        def probgen_modles():
            return []
        """,
        "there is no hook probgen_modles. Did you mean 'probgen_models'?",
    ),
    "takes arguments that no hook has": (
        """
        from probgen.plugin import hookimpl

        @hookimpl
        def probgen_models(registry):
            return []
        """,
        "probgen_models: PluginValidationError: Argument(s) {'registry'} are declared in the hookimpl",
    ),
    "forgets the mark": (
        """
        def probgen_models():
            return []
        """,
        "probgen_models is not marked with probgen.plugin.hookimpl",
    ),
    "has no hooks": (
        "",
        "no function of its module is marked with probgen.plugin.hookimpl",
    ),
}


def info(name):
    """Return what the registry knows of the plugin called `name`."""
    (found,) = [plugin for plugin in registry().plugins if plugin.name == name]
    return found


def test_a_good_plugin_is_registered_with_its_origin(acme):
    plugin = info("acme")
    assert (plugin.distribution, plugin.version, plugin.problems) == ("acme", "1.2", ())
    assert plugin.models == ("acme/cloud", "acme/coins", "acme/mistake", "acme/missing")
    assert plugin.data == ("acme-points",)
    assert plugin.metrics == ("acme-metric",)
    assert plugin.commands == ()
    assert set(plugin.hooks) == {"probgen_models", "probgen_estimators", "probgen_data", "probgen_metrics"}
    registered = registry().model("acme/cloud")
    assert (registered.spec.name, registered.plugin, registered.origin) == ("acme/cloud", "acme", "acme 1.2")
    assert registry().estimator("score-only").distribution == "acme"
    assert registry().dataset("acme-points").version == "1.2"
    assert registry().metric("acme-metric").origin == "acme 1.2"


def test_the_core_is_a_plugin_like_any_other():
    core = registry().plugins[0]
    assert (core.name, core.distribution, core.problems) == ("core", "probgen", ())
    assert {"elbo", "maximum-likelihood"} <= set(core.estimators)
    assert "digits" in core.data
    assert registry().estimator("maximum-likelihood").distribution == "probgen"


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_plugin_is_reported_and_stops_no_other(kind, install):
    source, reason = BAD[kind]
    install("fake-bad", source, version="0.3")
    install("fake-first", GOOD.format(name="fake/first"), plugin="a")
    install("fake-last", GOOD.format(name="fake/last"), plugin="z")
    plugin = info("fake-bad")
    (problem,) = plugin.problems
    assert (problem.plugin, problem.distribution, problem.version) == ("fake-bad", "fake-bad", "0.3")
    assert problem.reason.startswith(reason)
    assert "\n" not in problem.reason
    assert info("a").problems == info("z").problems == ()
    assert {"fake/first", "fake/last"} <= set(registry().models)


def test_one_bad_hook_leaves_the_plugins_others_standing(install):
    bad = BAD["raises in a hook"][0]
    data = """
        from probgen.plugin import DataSpec

        @hookimpl
        def probgen_data():
            return [DataSpec("fake-data", "Data.", "nowhere:Nothing"), "not a spec"]
        """
    install("fake-bad", bad + data)
    plugin = info("fake-bad")
    assert plugin.data == ("fake-data",)
    assert [problem.reason for problem in plugin.problems] == [
        "probgen_models: ZeroDivisionError: division by zero",
        "probgen_data: expected DataSpecs only; got an object of type str",
    ]


def test_a_hook_may_have_another_name_or_belong_to_a_later_version(install):
    install(
        "fake-odd",
        """
        from probgen.plugin import ModelSpec, hookimpl

        @hookimpl(specname="probgen_models")
        def the_models():
            return [ModelSpec("fake/odd", "A model.", "nowhere:Nothing")]

        @hookimpl(optionalhook=True)
        def probgen_of_the_future():
            return 1 / 0
        """,
    )
    assert info("fake-odd").problems == ()
    assert info("fake-odd").models == ("fake/odd",)


def test_an_entry_point_that_is_no_module_is_reported(install):
    install("fake-function", GOOD.format(name="fake/one"), entry="fake_function_plugin:probgen_models")
    install("fake-missing", entry="fake_surely_missing")
    assert (
        info("fake-function").problems[0].reason == "its entry point is an object of type function, not a module with hooks"
    )
    assert info("fake-missing").problems[0].reason == "ModuleNotFoundError: No module named 'fake_surely_missing'"


def test_a_taken_name_stays_with_the_first_distribution(install):
    install("fake-b", GOOD.format(name="fake/same"), version="2.0", plugin="aaa")
    install("fake-a", GOOD.format(name="fake/same"), version="1.0", plugin="zzz")
    assert registry().model("fake/same").origin == "fake-a 1.0"
    assert info("zzz").problems == ()
    (problem,) = info("aaa").problems
    assert str(problem) == "fake-b 2.0 (the model name 'fake/same' is taken by fake-a 1.0)"
    assert info("aaa").models == ()


def test_no_plugin_takes_a_name_from_the_core(install):
    install(
        "fake-thief",
        """
        from probgen.plugin import EstimatorSpec, hookimpl

        @hookimpl
        def probgen_estimators():
            return [EstimatorSpec("elbo", "Another.", "nowhere:Nothing")]
        """,
        plugin="thief",
    )
    assert registry().estimator("elbo").distribution == "probgen"
    assert "the estimator name 'elbo' is taken by probgen" in info("thief").problems[0].reason


def test_different_kinds_may_share_a_name(install):
    install(
        "fake-kinds",
        """
        from probgen.plugin import DataSpec, EstimatorSpec, hookimpl

        @hookimpl
        def probgen_estimators():
            return [EstimatorSpec("fake-same", "An estimator.", "nowhere:Nothing")]

        @hookimpl
        def probgen_data():
            return [DataSpec("fake-same", "Data.", "nowhere:Nothing")]
        """,
    )
    assert info("fake-kinds").problems == ()


# ------------------------------------------------------------------------------------------------------------- look-ups


def test_an_unknown_name_gets_a_suggestion_with_its_origin_and_the_plugins_that_failed(acme, install):
    install("fake-bad", "raise ImportError('no torchgan')", version="0.1")
    with pytest.raises(UnknownNameError) as caught:
        registry().model("acme/clouds")
    message = str(caught.value)
    assert message.startswith("Unknown model 'acme/clouds'. Did you mean 'acme/cloud' (acme 1.2)? Failed to load: ")
    assert "fake-bad 0.1 (ImportError: no torchgan)" in message


@pytest.mark.parametrize("typed", ["cloud", "Acme/Cloud", "acme/cluod"])
def test_a_suggestion_forgives_case_and_a_missing_family(acme, typed):
    with pytest.raises(UnknownNameError, match=r"Did you mean 'acme/cloud' \(acme 1.2\)\?"):
        registry().model(typed)


def test_without_a_near_name_all_are_listed(acme):
    with pytest.raises(UnknownNameError, match=r"Unknown estimator 'xyz'. Available: .*score-only"):
        registry().estimator("xyz")
    with pytest.raises(UnknownNameError, match=r"Unknown data set 'qqq'. Available: acme-points, "):
        registry().dataset("qqq")


def test_nothing_registered_is_said_so(monkeypatch):
    monkeypatch.setenv("PROBGEN_PLUGINS", "")
    registry.cache_clear()
    with pytest.raises(UnknownNameError, match=r"Unknown model 'a/b'\. None is registered: install"):
        registry().model("a/b")


def test_a_missing_target_names_the_distribution(acme):
    with pytest.raises(
        PluginLoadError, match=r"acme/missing \(acme 1.2\): expected its target at 'acme_models:Nowhere'"
    ) as raised:
        registry().model("acme/missing").load()
    assert "Available: Cloud, " in str(raised.value)
    assert str(raised.value).endswith(" Correct target in the spec.")
    with pytest.raises(
        PluginLoadError, match=r"got ModuleNotFoundError: .*'acme_nowhere'. Correct target in the spec, or reinstall acme\."
    ):
        registry().estimator("acme-missing").load()


def test_targets_and_recipes_are_loaded_on_demand(acme):
    registered = registry().model("acme/cloud")
    assert registered.load().__name__ == "Cloud"
    assert registered.load("recipe")("anything") == "a recipe for str"
    assert registered.load("examples") is None


# ---------------------------------------------------------------------------------------------------------- environment


def test_the_environment_selects_plugins(acme, install, monkeypatch):
    install("fake-one", GOOD.format(name="fake/one"))
    monkeypatch.setenv("PROBGEN_PLUGINS", "fake-one, ")
    registry.cache_clear()
    assert [plugin.name for plugin in registry().plugins] == ["core", "fake-one"]
    assert list(registry().models) == ["fake/one"]


def test_an_empty_selection_leaves_the_core(acme, monkeypatch):
    monkeypatch.setenv("PROBGEN_PLUGINS", "")
    registry.cache_clear()
    assert [plugin.name for plugin in registry().plugins] == ["core"]


def test_a_selected_plugin_that_is_not_installed_is_reported(acme, monkeypatch):
    monkeypatch.setenv("PROBGEN_PLUGINS", "acme,acmee")
    registry.cache_clear()
    assert str(info("acmee").problems[0]) == "acmee (PROBGEN_PLUGINS names it; it is not installed)"
    assert "acme/cloud" in registry().models


@pytest.mark.parametrize("strict", ["1", "true"])
def test_strict_plugins_raise(install, monkeypatch, strict):
    install("fake-bad", "raise ImportError('no torchgan')", version="0.1")
    monkeypatch.setenv("PROBGEN_STRICT_PLUGINS", strict)
    monkeypatch.setenv("PROBGEN_PLUGINS", "fake-bad")
    with pytest.raises(PluginLoadError, match=r"got fake-bad 0.1 \(ImportError: no torchgan\)\. Repair"):
        registry()


@pytest.mark.parametrize("strict", ["", "0"])
def test_lenient_is_the_default(install, monkeypatch, strict):
    install("fake-bad", "raise ImportError('no torchgan')", version="0.1")
    monkeypatch.setenv("PROBGEN_STRICT_PLUGINS", strict)
    assert len(info("fake-bad").problems) == 1


def test_strict_passes_where_all_is_well(acme, monkeypatch):
    monkeypatch.setenv("PROBGEN_STRICT_PLUGINS", "1")
    monkeypatch.setenv("PROBGEN_PLUGINS", "acme")
    assert registry().problems == ()


def test_a_mistyped_target_is_answered_with_the_name_that_was_meant(acme):
    registered = registry().model("acme/cloud")
    mistyped = dataclasses.replace(registered, spec=dataclasses.replace(registered.spec, target="acme_models:Clowd"))
    with pytest.raises(PluginLoadError, match=r"Did you mean 'Cloud'\? Correct target in the spec\."):
        mistyped.load()
