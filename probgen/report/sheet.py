"""The look of the reports' and galleries' pages: one style sheet, light and dark."""

from __future__ import annotations

__all__ = ["SHEET"]

SHEET = """
:root { --paper: #f6f7f9; --card: #ffffff; --ink: #1d2433; --muted: #5f6878; --line: #e2e6ec; --accent: #2f6fde; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #12151b; --card: #1b2029; --ink: #e8ebf1; --muted: #9aa4b5; --line: #2c3340; --accent: #7fa9f5; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 3rem 1.25rem 5rem; }
.kicker { margin: 0; color: var(--accent); font-size: .85rem; letter-spacing: .02em; }
h1 { margin: .1rem 0 .4rem; font-size: 2.1rem; line-height: 1.2; letter-spacing: -.015em; }
h2 { margin: 0 0 .9rem; font-size: 1.1rem; }
.lead { margin: 0 0 1.75rem; color: var(--muted); max-width: 46rem; }
.warning { margin: 0 0 1rem; padding: .7rem 1rem; background: var(--card); border: 1px solid var(--line);
  border-left: 4px solid #e08a1e; border-radius: 8px; }
.cards { list-style: none; display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .75rem;
  margin: 0 0 1.75rem; padding: 0; }
.cards li, section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
.cards li { padding: .9rem 1rem; display: flex; flex-direction: column; }
.cards strong { font-size: 1.3rem; line-height: 1.3; margin: .15rem 0; font-variant-numeric: tabular-nums; }
.cards strong span { font-size: .85rem; font-weight: 500; color: var(--muted); white-space: nowrap; }
.name, .unit { color: var(--muted); font-size: .82rem; line-height: 1.35; }
.unit { margin-top: auto; }
section { padding: 1.3rem 1.4rem; margin: 0 0 1rem; }
section > p { color: var(--muted); margin: -.5rem 0 .8rem; font-size: .9rem; }
figure { margin: 0; }
img { display: block; width: 100%; height: auto; border-radius: 8px; background: #fff; }
figcaption { margin-top: .6rem; color: var(--muted); font-size: .9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(12rem, 45%), 1fr)); gap: 1.3rem 1.1rem; }
.tiles img { image-rendering: pixelated; border-radius: 4px; }
.tiles strong, .tiles span { display: block; }
.tiles strong { color: var(--ink); font-weight: 600; }
.tiles figcaption { margin-top: .45rem; line-height: 1.4; }
h3 { margin: 1.4rem 0 .3rem; font-size: .95rem; font-weight: 600; }
a { color: var(--accent); text-decoration-thickness: 1px; text-underline-offset: .15em; }
.loose { white-space: normal; display: block; min-width: 15rem; }
.meter { display: inline-block; width: 4.5rem; height: .5rem; margin-right: .6rem; border-radius: 4px;
  background: linear-gradient(var(--accent), var(--accent)) 0 / var(--share) 100% no-repeat var(--line); }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: .92rem; }
th, td { padding: .5rem .75rem .5rem 0; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; color: var(--muted); font-weight: 500; font-size: .82rem; }
tbody th { font-weight: 500; }
td { white-space: nowrap; }
.number { font-variant-numeric: tabular-nums; }
small { display: block; color: var(--muted); font-weight: 400; font-size: .82rem; line-height: 1.4; max-width: 34rem; }
.notes { margin: .9rem 0 0; padding-left: 1.1rem; color: var(--muted); font-size: .9rem; }
dl { margin: 0; font-size: .92rem; }
dl > div { display: grid; grid-template-columns: 11rem 1fr; gap: 1rem; padding: .4rem 0; border-top: 1px solid var(--line); }
dl > div:first-child { border-top: 0; padding-top: 0; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
pre { margin: 0; padding: .8rem 1rem; overflow-x: auto; background: var(--paper); border-radius: 8px; font-size: .88rem; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
@media (max-width: 40rem) {
  h1 { font-size: 1.6rem; }
  dl > div { grid-template-columns: 1fr; gap: 0; }
}
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""
