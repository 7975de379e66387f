"""Values with their units, as tables have them."""


def amount(value: float, unit: str) -> str:
    """A value with its unit, three digits or so."""
    if unit == "bytes":
        return f"{value / 1e9:.2f} GB" if value >= 1e8 else f"{digits(value / 1e6)} MB"
    if value < 1.0:
        return f"{digits(1e3 * value)} ms"
    return f"{digits(value)} s" if value < 120.0 else f"{digits(value / 60.0)} min"


def digits(value: float) -> str:
    """Three digits that count, without powers of ten."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def counted(count: int, what: str) -> str:
    """A number of things, as in `1 seed` and `2 seeds`."""
    return f"{count} {what}{'' if count == 1 else 's'}"
