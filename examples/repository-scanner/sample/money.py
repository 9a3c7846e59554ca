"""Part of a small application; nothing is wrong with this part."""

from decimal import Decimal


def gross(net: Decimal, rate: Decimal) -> Decimal:
    return (net * (1 + rate)).quantize(Decimal("0.01"))
