"""How currencies and the scales of figures are written, as parts of patterns: one list for all that reads amounts."""

from __future__ import annotations

__all__ = ["CODE", "SCALES", "SCALE_NAMES", "SCALE_WORD", "SIGNS", "SYMBOL", "WRITTEN"]

# Signs that stand before or behind an amount; safe inside a character class.
SIGNS = "$€£¥₹₦₩₪₱₺₫฿₽₴"
SYMBOL = rf"(?:(?:US|HK|NZ|NT|MX|AU|CA|[ACRSJ])?[$]|[{SIGNS[1:]}])"
# ISO 4217 and what is used like it. Those that are words as well count in capitals alone, whatever a pattern's flags.
CODE = (
    r"(?:USD|EUR|GBP|JPY|CNY|RMB|CHF|INR|SEK|NOK|DKK|ISK|CAD|AUD|NZD|HKD|SGD|TWD|KRW|BRL|MXN|ARS|CLP|ZAR|PLN|CZK|HUF|BGN|"
    r"RUB|UAH|KZT|ILS|AED|SAR|QAR|KWD|BHD|OMR|EGP|NGN|KES|GHS|TZS|UGX|THB|IDR|MYR|PHP|VND|PKR|LKR|BDT|"
    r"(?-i:TRY|RON|PEN|COP|MAD|Rs\.?))"
)
# One way to write each currency that is written in several.
WRITTEN = {
    "£": "GBP",
    "€": "EUR",
    "$": "USD",
    "US$": "USD",
    "A$": "AUD",
    "AU$": "AUD",
    "C$": "CAD",
    "CA$": "CAD",
    "HK$": "HKD",
    "NZ$": "NZD",
    "NT$": "TWD",
    "MX$": "MXN",
    "R$": "BRL",
    "S$": "SGD",
    "¥": "JPY",
    "RMB": "CNY",
    "₹": "INR",
    "Rs": "INR",
    "Rs.": "INR",
    "₦": "NGN",
    "₩": "KRW",
    "₪": "ILS",
    "₱": "PHP",
    "₺": "TRY",
    "₫": "VND",
    "฿": "THB",
    "₽": "RUB",
    "₴": "UAH",
}
# Words of scale, without a plural's s, as powers of ten.
SCALES = {"thousand": 3, "lakh": 5, "million": 6, "crore": 7, "billion": 9}
SCALE_WORD = "|".join(SCALES)
SCALE_NAMES = {0: "", **{power: word for word, power in SCALES.items()}}
