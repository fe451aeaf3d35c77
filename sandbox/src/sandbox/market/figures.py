"""Figures as the exchange and the provider write them: exact decimals."""

from __future__ import annotations

from wattbook.units import CT_PER_EUR, KW_PER_MW


def euro_text(price_ct: int) -> str:
    """Euro with one or two decimals: 20.5, 12.0, -0.07."""
    sign, whole, rest = "-" if price_ct < 0 else "", *divmod(abs(price_ct), CT_PER_EUR)
    tens, ones = divmod(rest, 10)
    return f"{sign}{whole}.{tens}{ones}" if ones else f"{sign}{whole}.{tens}"


def mw_text(quantity_kw: int) -> str:
    """MW with one decimal, as the exchange's step is 0.1 MW."""
    whole, rest = divmod(quantity_kw, KW_PER_MW)
    return f"{whole}.{rest // 100}"
