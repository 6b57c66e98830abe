"""How numbers are put into words, the same on the device and in the console."""


def duration(seconds: float) -> str:
    """Write a time span as people say it: 45 s, 9 min, 3 h 10 min, 2 d 4 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def amount(value: float, unit: str) -> str:
    """Write a value with its unit as people read it; bytes in binary multiples."""
    if unit == "By":
        for prefix in ("B", "KiB", "MiB", "GiB", "TiB"):
            if abs(value) < 1024 or prefix == "TiB":
                return f"{value:.3g} {prefix}" if abs(value) < 1000 else f"{value:.0f} {prefix}"
            value /= 1024
    if unit == "Cel":
        return f"{value:.1f} °C"
    if unit == "Hz":
        return f"{value / 1e6:,.0f} MHz"
    if unit == "1":
        return f"{value * 100:.3g} %"
    return f"{value:,.4g} {unit.strip('{}')}" if abs(value) < 10_000 else f"{value:,.0f} {unit.strip('{}')}"
