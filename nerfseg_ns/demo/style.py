"""Looks of the report."""

CSS = """
:root { --ink: #1c2430; --soft: #5d6878; --line: #e1e5ea; --paper: #ffffff; --ground: #f5f6f8; --accent: #1f5fa8; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 40px 28px 64px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 0 0 4px; }
p { margin: 0 0 14px; color: var(--soft); max-width: 100ch; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 22px 24px;
  margin-top: 22px; }
.figures { display: grid; grid-template-columns: repeat(5, 1fr); gap: 1px; padding: 0; overflow: hidden; }
.figures div { padding: 14px 24px; box-shadow: 0 0 0 1px var(--line); }
.figures b { display: block; font-size: 22px; white-space: nowrap; font-weight: 600;
  font-variant-numeric: tabular-nums; }
.figures span { color: var(--soft); font-size: 13px; }
video { display: block; width: 100%; border-radius: 6px; background: #000; image-rendering: pixelated; }
.panels { display: grid; grid-template-columns: repeat(3, 1fr); color: var(--soft); font-size: 13px;
  text-align: center; margin: 6px 0 0; }
.views { display: grid; grid-template-columns: repeat(7, 1fr); gap: 6px; }
.views img { display: block; width: 100%; image-rendering: pixelated; border-radius: 3px; }
.views .head { font-size: 13px; font-weight: 600; padding-bottom: 2px; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 18px; margin: 14px 0 0; padding: 0; list-style: none;
  font-size: 13px; }
.swatch { display: inline-block; width: 13px; height: 13px; border-radius: 3px; margin-right: 7px;
  vertical-align: -2px; border: 1px solid rgb(0 0 0 / 0.15); }
.columns { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 22px; align-items: start; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-size: 13px; color: var(--soft); font-weight: 600; }
th, td { padding: 6px 8px; border-bottom: 1px solid var(--line); }
tr:last-child td { border-bottom: 0; }
tr.sum td { font-weight: 600; border-top: 2px solid var(--line); }
.number { text-align: right; white-space: nowrap; }
.bar { width: 34%; }
.bar i { display: block; height: 8px; border-radius: 4px; background: var(--accent); }
pre { margin: 2px 0 14px; padding: 10px 12px; background: var(--ground); border: 1px solid var(--line);
  border-radius: 6px; overflow-x: auto; font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono",
  monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
pre span { display: inline-block; max-width: 100%; }
.what { font-size: 14px; color: var(--ink); margin: 0; }
a { color: var(--accent); }
@media (max-width: 820px) { .columns { grid-template-columns: 1fr; }
  .figures { grid-template-columns: repeat(3, 1fr); } }
"""
