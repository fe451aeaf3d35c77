"""The code lists of the format (MDFF v1.02 to v2.6). They grow, so nothing is refused for them."""

from __future__ import annotations

QUALITIES = {"A": "actual", "E": "estimated", "S": "substituted", "F": "finally substituted"}
# Metrology Procedure B: types 1-4, 5, 6, 7.
METHODS = frozenset(
    str(number)
    for first, last in ((11, 25), (51, 59), (61, 69), (71, 75))
    for number in range(first, last + 1)
)
TRANSACTIONS = {
    "A": "alteration",
    "C": "reconfiguration",
    "G": "re-energisation",
    "D": "de-energisation",
    "E": "estimate",
    "N": "normal read",
    "O": "other or historical",
    "S": "special read",
    "R": "removal",
}
# The power of ten from a unit, in lower case, to thousandths of its base unit.
UNITS = {
    **{
        prefix + unit: power
        for prefix, power in (("m", 9), ("k", 6), ("", 3))
        for unit in ("wh", "varh", "var", "w", "vah", "va")
    },
    "kv": 6,
    "v": 3,
    "ka": 6,
    "a": 3,
    "pf": 3,
}
NEGATIVE_CONSUMPTION = "26"
# MDFF v2.5, appendix E. The texts of 100-109, which came with v2.6, are not known here.
REASONS = {
    "0": "Free text",
    "1": "Meter/equipment changed",
    "2": "Extreme weather conditions",
    "3": "Quarantined premises",
    "4": "Dangerous dog",
    "5": "Blank screen",
    "6": "De-energised premises",
    "7": "Unable to locate meter",
    "8": "Vacant premises",
    "9": "Under investigation",
    "10": "Lock damaged unable to open",
    "11": "In wrong route",
    "12": "Locked premises",
    "13": "Locked gate",
    "14": "Locked meter box",
    "15": "Overgrown vegetation",
    "16": "Noxious weeds",
    "17": "Unsafe equipment/location",
    "18": "Read less than previous",
    "19": "Consumer wanted",
    "20": "Damaged equipment/panel",
    "21": "Main switch off",
    "22": "Meter/equipment seals missing",
    "23": "Reader error",
    "24": "Substituted/replaced data (data correction)",
    "25": "Unable to locate premises",
    "26": "Negative consumption (generation)",
    "27": "RoLR",
    "28": "CT/VT fault",
    "29": "Relay faulty/damaged",
    "30": "Meter stop switch on",
    "31": "Not all meters read",
    "32": "Re-energised without readings",
    "33": "De-energised without readings",
    "34": "Meter not in handheld",
    "35": "Timeswitch faulty/reset required",
    "36": "Meter high/ladder required",
    "37": "Meter under churn",
    "38": "Unmarried lock",
    "39": "Reverse energy observed",
    "40": "Unrestrained livestock",
    "41": "Faulty Meter display/dials",
    "42": "Channel added/removed",
    "43": "Power outage",
    "44": "Meter testing",
    "45": "Readings failed to validate",
    "46": "Extreme weather/hot",
    "47": "Refused access",
    "48": "Dog on premises",
    "49": "Wet paint",
    "50": "Wrong tariff",
    "51": "Installation demolished",
    "52": "Access - blocked",
    "53": "Pests in meter box",
    "54": "Meter box damaged/faulty",
    "55": "Dials obscured",
    "58": "Meter ok - supply failure",
    "60": "Illegal connection",
    "61": "Equipment tampered",
    "62": "NSRD window expired",
    "64": "Key required",
    "65": "Wrong key provided",
    "67": "Transfer",
    "68": "Zero consumption",
    "69": "Reading exceeds Substitute",
    "70": "Probe reports tampering",
    "71": "Probe read error",
    "72": "Re-calculated based on Actual Metering Data",
    "73": "Low consumption",
    "74": "High consumption",
    "75": "Customer read",
    "76": "Communications fault",
    "77": "Estimation Forecast",
    "78": "Null Data",
    "79": "Power Outage Alarm",
    "80": "Short Interval Alarm",
    "81": "Long Interval Alarm",
    "82": "CRC error",
    "83": "RAM checksum error",
    "84": "ROM checksum error",
    "85": "Data missing alarm",
    "86": "Clock error alarm",
    "87": "Reset occurred",
    "88": "Watchdog timeout alarm",
    "89": "Time reset occurred",
    "90": "Test mode",
    "91": "Load control",
    "92": "Added interval (data correction)",
    "93": "Replaced interval (data correction)",
    "94": "Estimated interval (data correction)",
    "95": "Pulse overflow alarm",
    "96": "Data out of limits",
    "97": "Excluded data",
    "98": "Parity error",
    "99": "Energy type (register changed)",
}
REASON_CODES = frozenset(REASONS) | frozenset(str(number) for number in range(100, 110))


def reason_words(code: str, text: str) -> str:
    """A reason for people: the sender's own words for code 0, else the list's, or the number."""
    known = REASONS.get(code.lstrip("0") or "0") if code else ""
    return text or known or (f"reason {code}" if code else "")


def quality_words(quality: str, method: str, reason_code: str, reason_text: str) -> str:
    """``substituted (method 64): Locked gate``."""
    words = QUALITIES.get(quality, quality) + (f" (method {method})" if method else "")
    reason = reason_words(reason_code, reason_text)
    return f"{words}: {reason}" if reason else words
